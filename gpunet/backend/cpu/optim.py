"""Optimizer steps: one pass over the memory of each parameter. CUDA twins: kernels/optim.cu.

Learning rate and step count come in arrays of one float64, which the device reads: on a GPU a step
can then be recorded once and replayed. Every kernel here works on the elements from `start` to
`stop`, so that the pieces of large parameters can go to several threads, all parameters together.
"""

from __future__ import annotations

import math
from typing import Any

from gpunet.backend.base import Array
from gpunet.backend.cpu import threads
from gpunet.backend.cpu.jit import Kernel, T, kernel

PIECE = 1 << 15  # elements a thread takes at a time
SHARED_SIZE = 1 << 17  # elements of all parameters from which it pays to wake the other threads


@kernel
def _sgd_step(
    p, g, velocity, start, stop, step, lr, sign, momentum, dampening, weight_decay, nesterov
):
    p, g, velocity = p[start:stop], g[start:stop], velocity[start:stop]
    rate, sign, weight_decay = T(lr[0]), T(sign), T(weight_decay)
    if velocity.size == 0:
        for i in range(p.size):
            p[i] -= rate * (sign * g[i] + weight_decay * p[i])
        return
    # The first velocity is the gradient itself, undampened.
    fresh, kept = (T(1), T(0)) if step[0] == 1 else (T(1 - dampening), T(momentum))
    through, carried = (T(1), T(momentum)) if nesterov else (T(0), T(1))
    for i in range(p.size):
        gradient = sign * g[i] + weight_decay * p[i]
        v = fresh * gradient if kept == 0.0 else kept * velocity[i] + fresh * gradient
        velocity[i] = v
        p[i] -= rate * (through * gradient + carried * v)


@kernel
def _adam_step(
    p, g, m, v, v_max, start, stop, step, lr, sign, beta1, beta2, eps, coupled, decoupled
):
    p, g = p[start:stop], g[start:stop]
    m, v, v_max = m[start:stop], v[start:stop], v_max[start:stop]
    rate = T(lr[0] / (1 - math.pow(beta1, step[0])))
    root_correction = T(1 / math.sqrt(1 - math.pow(beta2, step[0])))
    b1, b2, new1, new2 = T(beta1), T(beta2), T(1 - beta1), T(1 - beta2)
    sign, eps, coupled = T(sign), T(eps), T(coupled)
    shrink = T(1 - lr[0] * decoupled)
    amsgrad = v_max.size > 0
    for i in range(p.size):
        gradient = sign * g[i] + coupled * p[i]
        first = b1 * m[i] + new1 * gradient
        second = b2 * v[i] + new2 * gradient * gradient
        m[i] = first
        v[i] = second
        if amsgrad:
            second = max(v_max[i], second)
            v_max[i] = second
        p[i] = shrink * p[i] - rate * first / (T(math.sqrt(second)) * root_correction + eps)


def _run(kernel: Kernel, lists: tuple[list[Array], ...], steps: list[Array], *rest: Any) -> None:
    """Raises every step count, then calls the kernel on all pieces of all parameters."""
    shared = sum([p.size for p in lists[0]]) >= SHARED_SIZE
    tasks: list[threads.Task] = []
    for step, *arrays in zip(steps, *lists, strict=True):
        step[0] += 1
        p = arrays[0]
        flat = [a.reshape(-1) for a in arrays]
        if not shared:
            kernel[p.dtype](*flat, 0, p.size, step, *rest)
            continue
        for start in range(0, p.size, PIECE):
            stop = min(start + PIECE, p.size)
            tasks.append((kernel[p.dtype], (*flat, start, stop, step, *rest)))
    if shared:
        threads.run(tasks)


def sgd_step(
    parameters: list[Array],
    gradients: list[Array],
    velocities: list[Array],
    steps: list[Array],
    lr: Array,
    *,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
    maximize: bool,
) -> None:
    """v ← μv + (1 − d)(g + λp);  p ← p − lr·v, or p − lr·(g + λp + μv) with Nesterov. In place.

    All arrays C-contiguous; each velocity has its parameter's shape, or none of the lists' arrays
    has elements when there is no momentum.
    """
    sign = -1.0 if maximize else 1.0
    scalars = (sign, float(momentum), float(dampening), float(weight_decay), bool(nesterov))
    _run(_sgd_step, (parameters, gradients, velocities), steps, lr, *scalars)


def adam_step(
    parameters: list[Array],
    gradients: list[Array],
    first_moments: list[Array],
    second_moments: list[Array],
    largest_second_moments: list[Array],
    steps: list[Array],
    lr: Array,
    *,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
    maximize: bool,
) -> None:
    """m ← β₁m + (1−β₁)g;  v ← β₂v + (1−β₂)g²;  p ← p − lr·m̂ / (√v̂ + ε). In place.

    `decoupled` weight decay shrinks the parameter (AdamW), otherwise λp joins the gradient (Adam).
    `largest_second_moments` holds max v so far for AMSGrad, empty arrays without it.
    """
    coupled, shrinking = (0.0, weight_decay) if decoupled else (weight_decay, 0.0)
    sign = -1.0 if maximize else 1.0
    scalars = (sign, float(beta1), float(beta2), float(eps), float(coupled), float(shrinking))
    lists = (parameters, gradients, first_moments, second_moments, largest_second_moments)
    _run(_adam_step, lists, steps, lr, *scalars)
