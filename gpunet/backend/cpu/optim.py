"""Optimizer steps: one pass over the memory of each parameter. CUDA twins: kernels/optim.cu.

A loop here is over one parameter `p`, its gradient `g` and what the rule remembers of it; `@rule`
makes of it a step over lists of parameters (gpunet/backend/cpu/rule.py). Step counts are raised
first: a loop sees 1 in the first step. All scalars of a step are worked out in float64, then
rounded to the parameter's dtype.
"""

from __future__ import annotations

import math
from typing import Any

from gpunet.backend.base import Array
from gpunet.backend.cpu.jit import T
from gpunet.backend.cpu.rule import rule

MU_DECAY = 0.96  # a global name, since literals in loops are rounded to the parameter's dtype


@rule
def sgd_step(
    p, g, momentum_buffer, step, lr, momentum, dampening, weight_decay, nesterov, maximize
):
    """v ← μv + (1 − d)(g + λp);  p ← p − lr·v, or p − lr·(g + λp + μv) with Nesterov.

    Without momentum there are neither buffers nor steps.
    """
    rate, sign, decay = T(lr[0]), T(-1) if maximize else T(1), T(weight_decay)
    if momentum_buffer.size == 0:
        for i in range(p.size):
            p[i] -= rate * (sign * g[i] + decay * p[i])
        return
    # The first velocity is the gradient itself, undampened.
    fresh, kept = (T(1), T(0)) if step[0] == 1 else (T(1 - dampening), T(momentum))
    through, carried = (T(1), T(momentum)) if nesterov else (T(0), T(1))
    for i in range(p.size):
        gradient = sign * g[i] + decay * p[i]
        v = kept * momentum_buffer[i] + fresh * gradient
        momentum_buffer[i] = v
        p[i] -= rate * (through * gradient + carried * v)


@rule
def adagrad_step(p, g, total, step, lr, lr_decay, weight_decay, eps, maximize):
    """s ← s + g²;  p ← p − lr / (1 + (t − 1)·lr_decay) · g / (√s + ε)."""
    rate = T(lr[0] / (1 + (step[0] - 1) * lr_decay))
    sign, decay, epsilon = T(-1) if maximize else T(1), T(weight_decay), T(eps)
    for i in range(p.size):
        gradient = sign * g[i] + decay * p[i]
        s = total[i] + gradient * gradient
        total[i] = s
        p[i] -= rate * gradient / (math.sqrt(s) + epsilon)


@rule
def adadelta_step(p, g, square_avg, acc_delta, step, lr, rho, eps, weight_decay, maximize):
    """v ← ρv + (1−ρ)g²;  δ = √(u + ε) / √(v + ε) · g;  u ← ρu + (1−ρ)δ²;  p ← p − lr·δ."""
    rate, kept, new = T(lr[0]), T(rho), T(1 - rho)
    sign, decay, epsilon = T(-1) if maximize else T(1), T(weight_decay), T(eps)
    for i in range(p.size):
        gradient = sign * g[i] + decay * p[i]
        v = kept * square_avg[i] + new * gradient * gradient
        delta = math.sqrt(acc_delta[i] + epsilon) / math.sqrt(v + epsilon) * gradient
        square_avg[i] = v
        acc_delta[i] = kept * acc_delta[i] + new * delta * delta
        p[i] -= rate * delta


@rule
def rmsprop_step(
    p, g, square_avg, grad_avg, momentum_buffer, step, lr,
    alpha, eps, weight_decay, momentum, maximize,
):  # fmt: skip
    """v ← αv + (1−α)g²;  b ← μb + g / (√v + ε);  p ← p − lr·b.

    With `grad_avg` (centered), m ← αm + (1−α)g and v − m² stands under the root.
    """
    rate, kept, new = T(lr[0]), T(alpha), T(1 - alpha)
    sign, decay, epsilon = T(-1) if maximize else T(1), T(weight_decay), T(eps)
    carried = T(momentum)
    centered, moving = grad_avg.size > 0, momentum_buffer.size > 0
    for i in range(p.size):
        gradient = sign * g[i] + decay * p[i]
        v = kept * square_avg[i] + new * gradient * gradient
        square_avg[i] = v
        if centered:
            m = kept * grad_avg[i] + new * gradient
            grad_avg[i] = m
            v -= m * m
            v = T(0) if v < T(0) else v  # by rounding, where the gradient stays the same for long
        change = gradient / (math.sqrt(v) + epsilon)
        if moving:
            change += carried * momentum_buffer[i]
            momentum_buffer[i] = change
        p[i] -= rate * change


@rule
def adam_step(
    p, g, exp_avg, exp_avg_sq, max_exp_avg_sq, step, lr,
    beta1, beta2, eps, weight_decay, decoupled, maximize,
):  # fmt: skip
    """m ← β₁m + (1−β₁)g;  v ← β₂v + (1−β₂)g²;  p ← p − lr·m̂ / (√v̂ + ε).

    `decoupled` weight decay shrinks the parameter (AdamW), otherwise λp joins the gradient (Adam).
    `max_exp_avg_sq` holds max v so far, for AMSGrad.
    """
    rate = T(lr[0] / (1 - math.pow(beta1, step[0])))
    root_correction = T(1 / math.sqrt(1 - math.pow(beta2, step[0])))
    b1, b2, new1, new2 = T(beta1), T(beta2), T(1 - beta1), T(1 - beta2)
    sign, decay, epsilon = T(-1) if maximize else T(1), T(weight_decay), T(eps)
    shrink = T(1 - lr[0] * weight_decay) if decoupled else T(1)
    decay = T(0) if decoupled else decay
    amsgrad = max_exp_avg_sq.size > 0
    for i in range(p.size):
        gradient = sign * g[i] + decay * p[i]
        m = b1 * exp_avg[i] + new1 * gradient
        v = b2 * exp_avg_sq[i] + new2 * gradient * gradient
        exp_avg[i] = m
        exp_avg_sq[i] = v
        if amsgrad:
            v = max(max_exp_avg_sq[i], v)
            max_exp_avg_sq[i] = v
        p[i] = shrink * p[i] - rate * m / (math.sqrt(v) * root_correction + epsilon)


@rule
def adamax_step(p, g, exp_avg, exp_inf, step, lr, beta1, beta2, eps, weight_decay, maximize):
    """m ← β₁m + (1−β₁)g;  u ← max(β₂u, |g| + ε);  p ← p − lr / (1 − β₁ᵗ) · m / u."""
    rate = T(lr[0] / (1 - math.pow(beta1, step[0])))
    b1, b2, new1 = T(beta1), T(beta2), T(1 - beta1)
    sign, decay, epsilon = T(-1) if maximize else T(1), T(weight_decay), T(eps)
    for i in range(p.size):
        gradient = sign * g[i] + decay * p[i]
        m = b1 * exp_avg[i] + new1 * gradient
        u = max(b2 * exp_inf[i], abs(gradient) + epsilon)
        exp_avg[i] = m
        exp_inf[i] = u
        p[i] -= rate * m / u


@rule
def _nadam_step(
    p, g, exp_avg, exp_avg_sq, mu_product, step, lr,
    beta1, beta2, eps, weight_decay, momentum_decay, decoupled, maximize,
):  # fmt: skip
    t, product = step[0], mu_product[0]
    mu = beta1 * (1 - 0.5 * math.pow(MU_DECAY, t * momentum_decay))
    mu_next = beta1 * (1 - 0.5 * math.pow(MU_DECAY, (t + 1) * momentum_decay))
    from_g, from_m = (
        T(lr[0] * (1 - mu) / (1 - product)),
        T(lr[0] * mu_next / (1 - product * mu_next)),
    )
    root_correction = T(1 / math.sqrt(1 - math.pow(beta2, t)))
    b1, b2, new1, new2 = T(beta1), T(beta2), T(1 - beta1), T(1 - beta2)
    sign, decay, epsilon = T(-1) if maximize else T(1), T(weight_decay), T(eps)
    shrink = T(1 - lr[0] * weight_decay) if decoupled else T(1)
    decay = T(0) if decoupled else decay
    for i in range(p.size):
        gradient = sign * g[i] + decay * p[i]
        m = b1 * exp_avg[i] + new1 * gradient
        v = b2 * exp_avg_sq[i] + new2 * gradient * gradient
        exp_avg[i] = m
        exp_avg_sq[i] = v
        change = from_g * gradient + from_m * m
        p[i] = shrink * p[i] - change / (math.sqrt(v) * root_correction + epsilon)


def nadam_step(
    parameters: list[Array],
    gradients: list[Array],
    exp_avgs: list[Array],
    exp_avg_sqs: list[Array],
    mu_products: list[Array],
    steps: list[Array],
    lr: Array,
    **options: Any,
) -> None:
    """m and v as Adam;  p ← p − lr·((1−μₜ)/(1−Πμ)·g + μₜ₊₁/(1−Πμ·μₜ₊₁)·m) / (√v̂ + ε).

    μₜ = β₁(1 − ½·0.96^(t·momentum_decay)); `mu_products` are arrays of one float64, the product of
    all so far, brought up to date here.
    """
    beta1, momentum_decay = options["beta1"], options["momentum_decay"]
    for product, step in zip(mu_products, steps, strict=True):
        product[0] *= beta1 * (1 - 0.5 * MU_DECAY ** ((step[0] + 1) * momentum_decay))
    lists = (parameters, gradients, exp_avgs, exp_avg_sqs, mu_products)
    _nadam_step(*lists, steps, lr, **options)


@rule
def radam_step(
    p, g, exp_avg, exp_avg_sq, step, lr, beta1, beta2, eps, weight_decay, decoupled, maximize
):
    """m and v as Adam;  p ← p − lr·m̂·r / (√v̂ + ε′) once v̂ is worth it (ρ > 5), p − lr·m̂ before.

    r = √((ρ−4)(ρ−2)ρ∞ / ((ρ∞−4)(ρ∞−2)ρ)) with ρ∞ = 2/(1−β₂) − 1, ρ = ρ∞ − 2t·β₂ᵗ / (1−β₂ᵗ). ε is
    added to √v before its correction, as PyTorch does.
    """
    t, power2 = step[0], math.pow(beta2, step[0])
    rate = lr[0] / (1 - math.pow(beta1, t))
    longest = 2 / (1 - beta2) - 1
    length = longest - 2 * t * power2 / (1 - power2)
    rectified = length > 5
    if rectified:
        square = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
        rate *= math.sqrt((1 - power2) * square)
    change = T(rate)
    b1, b2, new1, new2 = T(beta1), T(beta2), T(1 - beta1), T(1 - beta2)
    sign, decay, epsilon = T(-1) if maximize else T(1), T(weight_decay), T(eps)
    shrink = T(1 - lr[0] * weight_decay) if decoupled else T(1)
    decay = T(0) if decoupled else decay
    for i in range(p.size):
        gradient = sign * g[i] + decay * p[i]
        m = b1 * exp_avg[i] + new1 * gradient
        v = b2 * exp_avg_sq[i] + new2 * gradient * gradient
        exp_avg[i] = m
        exp_avg_sq[i] = v
        root = math.sqrt(v) + epsilon if rectified else T(1)
        p[i] = shrink * p[i] - change * m / root
