"""Convolutions alone, forward and backward, at shapes of small networks.

`prepare(framework, workload)` returns a step, as in `workloads.py`; `memory_share` measures what a
pass takes of memory. The gradient of a first layer's input is not asked for, as in training.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench import THREADS, memory, on

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
PASSES = ("forward", "backward")
WORKLOADS = {
    f"conv-{c_in}-{c_out}-{size}" + (f"-s{stride}" if stride > 1 else "") + f"-{direction}": (
        *(batch, c_in, c_out, size, kernel, stride, padding),
        direction,
    )
    for batch, c_in, c_out, size, kernel, stride, padding in SHAPES
    for direction in PASSES
}
MEMORY_GOAL = 1.5


def text(workload: str) -> str:
    """What a workload is."""
    batch, c_in, c_out, size, kernel, stride, padding, direction = WORKLOADS[workload]
    moves = f"stride {stride}, padding {padding}"
    channels = f"{c_in} to {c_out} channels of {size}×{size}"
    return f"conv2d {kernel}×{kernel}, {channels}, {moves}, batch {batch}: {direction}"


def least_bytes(workload: str) -> int:
    """Of x, the filters and y, or their gradients, each once."""
    *shape, stride, padding, direction = WORKLOADS[workload]
    x, w, y = (array.nbytes for array in _arrays(*shape, stride, padding))
    return x + w + y + (x + w if direction == "backward" else 0)


def multiply_adds(workload: str) -> int:
    """Of a pass; backward there are two products, one where the gradient of x is not asked for."""
    batch, c_in, c_out, size, kernel, stride, padding, direction = WORKLOADS[workload]
    out = (size + 2 * padding - kernel) // stride + 1
    products = 2 if direction == "backward" and c_in > 3 else 1
    return products * batch * c_out * out**2 * c_in * kernel**2


def prepare(framework: str, workload: str, device: str = "cpu") -> Callable[[], object]:
    """A function that does one step of a workload and returns when it is finished."""
    *shape, stride, padding, direction = WORKLOADS[workload]
    arrays = _arrays(*shape, stride, padding)
    return _pass(framework, arrays, stride, padding, direction, device)


def memory_share(framework: str, workload: str) -> float:
    """Memory at the peak of a process's first pass, over that of its inputs and outputs.

    It grows from the inputs alone; a small convolution has loaded all code before.
    """
    batch, c_in, c_out, size, *moves, direction = WORKLOADS[workload]
    for before in PASSES:
        small = _arrays(2, c_in, c_out, 8, *moves)
        _pass(framework, small, *moves[1:], before)()
    arrays = _arrays(batch, c_in, c_out, size, *moves)
    run = _pass(framework, arrays, *moves[1:], direction)
    memory.begin_anew()
    rest = memory.resident()
    outputs = 4 * sum(y.numel() for y in run())
    inputs = sum(x.nbytes for x in (arrays if direction == "backward" else arrays[:2]))
    return (inputs + memory.peak() - rest) / (inputs + outputs)


def _arrays(
    batch: int, c_in: int, c_out: int, size: int, kernel: int, stride: int, padding: int
) -> tuple[np.ndarray, ...]:
    """x, the filters, and the gradient of y."""
    generator = np.random.default_rng(0)
    out = (size + 2 * padding - kernel) // stride + 1
    shapes = (batch, c_in, size, size), (c_out, c_in, kernel, kernel), (batch, c_out, out, out)
    return tuple(generator.standard_normal(shape, np.float32) for shape in shapes)


def _pass(
    framework: str,
    arrays: tuple[np.ndarray, ...],
    stride: int,
    padding: int,
    direction: str,
    device: str = "cpu",
) -> Callable[[], list[Any]]:
    """A function that does one pass and returns its results."""
    convolve, tensor = _FRAMEWORKS[framework]()
    x, w = (on(tensor(array), device) for array in arrays[:2])
    w.requires_grad_()
    leaves = [w]
    if x.shape[1] > 3:  # fewer channels come from pictures
        leaves.append(x.requires_grad_())

    def forward() -> list[Any]:
        return [convolve(x, w, None, stride, padding)]

    if direction == "forward":
        return forward
    (y,), gy = forward(), on(tensor(arrays[2]), device)

    def backward() -> list[Any]:
        for leaf in leaves:
            leaf.grad = None
        y.backward(gy, retain_graph=True)
        return [leaf.grad for leaf in leaves]

    return backward


def _gpunet() -> tuple[Any, Any]:
    import gpunet

    return gpunet.functional.conv2d, gpunet.tensor


def _torch() -> tuple[Any, Any]:
    import torch

    torch.set_num_threads(THREADS)
    return torch.nn.functional.conv2d, torch.tensor


_FRAMEWORKS = {"gpunet": _gpunet, "torch": _torch}
