"""The rules as their papers have them, in NumPy and float64; and options to try them with.

Each takes the first position, the gradients and the learning rates of the steps, and the options
under PyTorch's names; it returns the position after each step.
"""

import numpy as np


def sgd(
    p, gradients, rates, momentum=0, dampening=0, weight_decay=0, nesterov=False, maximize=False
):
    """Sutskever et al., ICML 2013, with lr outside of v as in PyTorch."""
    v, path = None, []
    for g, lr in zip(gradients, rates, strict=True):
        g = (-g if maximize else g) + weight_decay * p
        if momentum:
            v = g if v is None else momentum * v + (1 - dampening) * g
            g = g + momentum * v if nesterov else v
        p = p - lr * g
        path.append(p)
    return path


def adagrad(
    p, gradients, rates, lr_decay=0, weight_decay=0, initial_accumulator_value=0, eps=1e-10,
    maximize=False,
):  # fmt: skip
    """Duchi et al., figure 1, whose s_t is the norm of all gradients g_1:t of a weight."""
    squares, path = [initial_accumulator_value + 0 * p], []
    for t, (g, lr) in enumerate(zip(gradients, rates, strict=True)):
        g = (-g if maximize else g) + weight_decay * p
        squares.append(g * g)
        p = p - lr / (1 + t * lr_decay) * g / (np.sqrt(sum(squares)) + eps)
        path.append(p)
    return path


def adadelta(p, gradients, rates, rho=0.9, eps=1e-6, weight_decay=0, maximize=False):
    """Zeiler, algorithm 1: RMS[x] = √(E[x²] + ε)."""
    mean_g2 = mean_x2 = 0 * p
    path = []
    for g, lr in zip(gradients, rates, strict=True):
        g = (-g if maximize else g) + weight_decay * p
        mean_g2 = rho * mean_g2 + (1 - rho) * g**2
        x = -np.sqrt(mean_x2 + eps) / np.sqrt(mean_g2 + eps) * g
        mean_x2 = rho * mean_x2 + (1 - rho) * x**2
        p = p + lr * x
        path.append(p)
    return path


def rmsprop(
    p, gradients, rates, alpha=0.99, eps=1e-8, weight_decay=0, momentum=0, centered=False,
    maximize=False,
):  # fmt: skip
    """Tieleman & Hinton; Graves, equations 38 to 41 with ε outside of the root, as in PyTorch."""
    n = mean = step = 0 * p
    path = []
    for g, lr in zip(gradients, rates, strict=True):
        g = (-g if maximize else g) + weight_decay * p
        n = alpha * n + (1 - alpha) * g**2
        mean = alpha * mean + (1 - alpha) * g if centered else mean
        step = momentum * step + g / (np.sqrt(n - mean**2) + eps)
        p = p - lr * step
        path.append(p)
    return path


def adam(
    p, gradients, rates, betas=(0.9, 0.999), eps=1e-8,
    weight_decay=0, amsgrad=False, maximize=False, decoupled_weight_decay=False,
):  # fmt: skip
    """Kingma & Ba, algorithm 1; Reddi et al. for AMSGrad; Loshchilov & Hutter, algorithm 2."""
    m = v = largest = 0 * p
    path = []
    for t, (g, lr) in enumerate(zip(gradients, rates, strict=True), 1):
        g, p = decayed(p, g, lr, weight_decay, decoupled_weight_decay, maximize)
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        largest = np.maximum(largest, v)
        m_hat, v_hat = m / (1 - betas[0] ** t), (largest if amsgrad else v) / (1 - betas[1] ** t)
        p = p - lr * m_hat / (np.sqrt(v_hat) + eps)
        path.append(p)
    return path


def decayed(p, g, lr, weight_decay, decoupled, maximize):
    """Gradient and position: weight decay changes the one or the other."""
    g = -g if maximize else g
    return (g, p * (1 - lr * weight_decay)) if decoupled else (g + weight_decay * p, p)


def adamw(p, gradients, rates, weight_decay=1e-2, **options):
    options["decoupled_weight_decay"] = True
    return adam(p, gradients, rates, weight_decay=weight_decay, **options)


def adamax(p, gradients, rates, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, maximize=False):
    """Kingma & Ba, algorithm 2, with ε added to |g| as in PyTorch."""
    m = u = 0 * p
    path = []
    for t, (g, lr) in enumerate(zip(gradients, rates, strict=True), 1):
        g = (-g if maximize else g) + weight_decay * p
        m = betas[0] * m + (1 - betas[0]) * g
        u = np.maximum(betas[1] * u, np.abs(g) + eps)
        p = p - lr / (1 - betas[0] ** t) * m / u
        path.append(p)
    return path


def nadam(
    p, gradients, rates, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, momentum_decay=4e-3,
    decoupled_weight_decay=False, maximize=False,
):  # fmt: skip
    """Dozat, algorithm 2, with the schedule of μ that its section 2 recommends."""
    m = v = 0 * p
    path = []
    mu = [betas[0] * (1 - 0.5 * 0.96 ** (t * momentum_decay)) for t in range(len(rates) + 2)]
    for t, (g, lr) in enumerate(zip(gradients, rates, strict=True), 1):
        g, p = decayed(p, g, lr, weight_decay, decoupled_weight_decay, maximize)
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        m_hat = mu[t + 1] * m / (1 - np.prod(mu[1 : t + 2]))
        g_hat = (1 - mu[t]) * g / (1 - np.prod(mu[1 : t + 1]))
        p = p - lr * (m_hat + g_hat) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)
        path.append(p)
    return path


def radam(
    p, gradients, rates, betas=(0.9, 0.999), eps=1e-8, weight_decay=0,
    decoupled_weight_decay=False, maximize=False,
):  # fmt: skip
    """Liu et al., algorithm 2, with l_t = √(1 − β₂ᵗ) / (√v + ε) and ρ > 5 as in PyTorch."""
    m = v = 0 * p
    path = []
    rho_inf = 2 / (1 - betas[1]) - 1
    for t, (g, lr) in enumerate(zip(gradients, rates, strict=True), 1):
        g, p = decayed(p, g, lr, weight_decay, decoupled_weight_decay, maximize)
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        m_hat = m / (1 - betas[0] ** t)
        rho = rho_inf - 2 * t * betas[1] ** t / (1 - betas[1] ** t)
        if rho > 5:
            r = ((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho)) ** 0.5
            p = p - lr * r * m_hat * (1 - betas[1] ** t) ** 0.5 / (np.sqrt(v) + eps)
        else:
            p = p - lr * m_hat
        path.append(p)
    return path


RULES = {
    "SGD": sgd,
    "Adagrad": adagrad,
    "Adadelta": adadelta,
    "RMSprop": rmsprop,
    "Adam": adam,
    "AdamW": adamw,
    "Adamax": adamax,
    "NAdam": nadam,
    "RAdam": radam,
}

# Weight decay, climbing and a second setting of all else, for every rule; arrays come and go with
# momentum, centered and amsgrad.
OPTIONS = [
    ("SGD", {}),
    ("SGD", {"weight_decay": 0.1}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "dampening": 0.5}),
    ("SGD", {"momentum": 0.9, "dampening": 0.9, "weight_decay": 0.1}),
    ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("SGD", {"momentum": 0.9, "weight_decay": 0.1, "maximize": True}),
    ("SGD", {"weight_decay": 0.1, "maximize": True}),
    ("Adagrad", {}),
    ("Adagrad", {"lr_decay": 0.1, "initial_accumulator_value": 0.5, "eps": 1e-3}),
    ("Adagrad", {"weight_decay": 0.1, "maximize": True}),
    ("Adadelta", {}),
    ("Adadelta", {"rho": 0.5, "eps": 1e-3}),
    ("Adadelta", {"weight_decay": 0.1, "maximize": True}),
    ("RMSprop", {}),
    ("RMSprop", {"alpha": 0.9, "eps": 1e-3, "weight_decay": 0.1}),
    ("RMSprop", {"momentum": 0.9}),
    ("RMSprop", {"centered": True, "alpha": 0.9}),
    ("RMSprop", {"centered": True, "momentum": 0.9, "weight_decay": 0.1, "maximize": True}),
    ("Adam", {}),
    ("Adam", {"betas": (0.5, 0.7), "eps": 1e-3}),
    ("Adam", {"betas": (0.0, 0.0)}),
    ("Adam", {"amsgrad": True, "betas": (0.9, 0.5)}),
    ("Adam", {"weight_decay": 0.1, "maximize": True}),
    ("Adam", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("AdamW", {}),
    ("AdamW", {"weight_decay": 0.5, "amsgrad": True}),
    ("AdamW", {"weight_decay": 0.0, "maximize": True}),
    ("Adamax", {}),
    ("Adamax", {"betas": (0.5, 0.7), "eps": 1e-3}),
    ("Adamax", {"weight_decay": 0.1, "maximize": True}),
    ("NAdam", {}),
    ("NAdam", {"betas": (0.5, 0.7), "eps": 1e-3, "momentum_decay": 0.5}),
    ("NAdam", {"weight_decay": 0.1, "maximize": True}),
    ("NAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {}),
    ("RAdam", {"betas": (0.5, 0.9), "eps": 1e-3}),
    ("RAdam", {"betas": (0.5, 0.5)}),  # the average is never long enough
    ("RAdam", {"weight_decay": 0.1, "maximize": True}),
    ("RAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
]
