"""The rules as their papers have them, in NumPy and float64; and options to try them with."""

import numpy as np


def sgd(
    p, gradients, rates, momentum=0, dampening=0, weight_decay=0, nesterov=False, maximize=False
):
    """Sutskever et al., ICML 2013, with lr outside of v as in PyTorch; returns each position."""
    v, path = None, []
    for g, lr in zip(gradients, rates, strict=True):
        g = (-g if maximize else g) + weight_decay * p
        if momentum:
            v = g if v is None else momentum * v + (1 - dampening) * g
            g = g + momentum * v if nesterov else v
        p = p - lr * g
        path.append(p)
    return path


def adam(
    p, gradients, rates, betas=(0.9, 0.999), eps=1e-8,
    weight_decay=0, amsgrad=False, maximize=False, decoupled=False,
):  # fmt: skip
    """Kingma & Ba, algorithm 1; Reddi et al. for AMSGrad; Loshchilov & Hutter, algorithm 2."""
    m = v = largest = 0
    path = []
    for t, (g, lr) in enumerate(zip(gradients, rates, strict=True), 1):
        g = (-g if maximize else g) + (0 if decoupled else weight_decay * p)
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        largest = np.maximum(largest, v)
        m_hat, v_hat = m / (1 - betas[0] ** t), (largest if amsgrad else v) / (1 - betas[1] ** t)
        shrunk = p * (1 - lr * weight_decay) if decoupled else p
        p = shrunk - lr * m_hat / (np.sqrt(v_hat) + eps)
        path.append(p)
    return path


def adamw(p, gradients, rates, weight_decay=1e-2, **options):
    return adam(p, gradients, rates, weight_decay=weight_decay, decoupled=True, **options)


RULES = {"SGD": sgd, "Adam": adam, "AdamW": adamw}

OPTIONS = [
    ("SGD", {}),
    ("SGD", {"weight_decay": 0.1}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "dampening": 0.5}),
    ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("SGD", {"momentum": 0.9, "weight_decay": 0.1, "maximize": True}),
    ("SGD", {"weight_decay": 0.1, "maximize": True}),
    ("Adam", {}),
    ("Adam", {"betas": (0.5, 0.7), "eps": 1e-3}),
    ("Adam", {"betas": (0.0, 0.0)}),
    ("Adam", {"amsgrad": True, "betas": (0.9, 0.5)}),
    ("Adam", {"weight_decay": 0.1, "maximize": True}),
    ("AdamW", {}),
    ("AdamW", {"weight_decay": 0.5, "amsgrad": True}),
    ("AdamW", {"weight_decay": 0.0, "maximize": True}),
]
