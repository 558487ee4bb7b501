"""Convolutions alone, forward and backward, at shapes of small networks.

`prepare(framework, workload)` returns a step, as in `workloads.py`. The gradient of a first layer's
input is not asked for, as in training.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench import THREADS

# Batch, channels in and out, size of the picture and of the filter, stride, padding.
SHAPES = (
    (64, 1, 32, 28, 3, 1, 0),
    (64, 32, 64, 26, 3, 1, 0),
    (128, 1, 6, 28, 5, 1, 2),
    (128, 6, 16, 14, 5, 1, 0),
    (32, 3, 16, 32, 3, 1, 1),
    (32, 16, 16, 32, 3, 1, 1),
    (32, 16, 32, 32, 3, 2, 1),
    (32, 32, 32, 16, 3, 1, 1),
    (32, 32, 64, 16, 3, 2, 1),
    (32, 64, 64, 8, 3, 1, 1),
)
WORKLOADS = {
    f"conv-{c_in}-{c_out}-{size}" + (f"-s{stride}" if stride > 1 else ""): (
        *(batch, c_in, c_out, size, kernel, stride, padding),
    )
    for batch, c_in, c_out, size, kernel, stride, padding in SHAPES
}


def text(workload: str) -> str:
    """What a workload is."""
    batch, c_in, c_out, size, kernel, stride, padding = WORKLOADS[workload]
    moves = f"stride {stride}, padding {padding}"
    channels = f"{c_in} to {c_out} channels of {size}×{size}"
    return f"conv2d {kernel}×{kernel}, {channels}, {moves}, batch {batch}, forward + backward"


def prepare(framework: str, workload: str) -> Callable[[], object]:
    """A function that does one step of a workload and returns when it is finished."""
    batch, c_in, c_out, size, kernel, stride, padding = WORKLOADS[workload]
    generator = np.random.default_rng(0)
    x = generator.standard_normal((batch, c_in, size, size), np.float32)
    w = generator.standard_normal((c_out, c_in, kernel, kernel), np.float32)
    out = (size + 2 * padding - kernel) // stride + 1
    gy = generator.standard_normal((batch, c_out, out, out), np.float32)
    convolve, tensor = _FRAMEWORKS[framework]()
    x, w, gy = map(tensor, (x, w, gy))
    w.requires_grad_()
    if c_in > 3:  # fewer come from pictures
        x.requires_grad_()

    def step() -> object:
        x.grad = w.grad = None
        y = convolve(x, w, None, stride, padding)
        y.backward(gy)
        return y

    return step


def _gpunet() -> tuple[Any, Any]:
    import gpunet

    return gpunet.functional.conv2d, gpunet.tensor


def _torch() -> tuple[Any, Any]:
    import torch

    torch.set_num_threads(THREADS)
    return torch.nn.functional.conv2d, torch.from_numpy


_FRAMEWORKS = {"gpunet": _gpunet, "torch": _torch}
