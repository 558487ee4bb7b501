"""W6: activations on 16 Mi elements, forward and backward.

`prepare(framework, workload)` returns a step, as in `workloads.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import numpy as np

from bench import THREADS, on

COLUMNS = 1024
ELEMENTS = 1 << 24
SOFTMAX_COLUMNS = 1000
# What is moved at the least: x in and y out; then gy and what was kept in, gx out.
BYTES_PER_ELEMENT, BYTES_PER_COPY = 20, 8

# Arguments of the function; a name with "bias-" in front has one number a column added before.
W6: dict[str, tuple[str, dict[str, Any]]] = {
    "W6-copy": ("clone", {}),
    "W6-relu": ("relu", {}),
    "W6-sigmoid": ("sigmoid", {}),
    "W6-tanh": ("tanh", {}),
    "W6-gelu": ("gelu", {"approximate": "tanh"}),
    "W6-elu": ("elu", {}),
    "W6-leaky_relu": ("leaky_relu", {}),
    "W6-softmax": ("softmax", {"dim": -1}),
    "W6-bias-relu": ("relu", {}),
    "W6-bias-gelu": ("gelu", {"approximate": "tanh"}),
    "W6-bias-tanh": ("tanh", {}),
}
WORKLOADS = tuple(W6)
TEXT = {
    name: f"{name[3:].replace('bias-', 'bias + ')} of 16 Mi numbers, forward + backward"
    for name in W6
} | {"W6-copy": "a copy of 16 Mi float32 numbers"}


def nbytes(workload: str) -> int | None:
    """Bytes that a step must move; None where that is not what it is about."""
    if workload == "W6-copy":
        return ELEMENTS * BYTES_PER_COPY
    return ELEMENTS * BYTES_PER_ELEMENT if workload in W6 else None


def _arrays(workload: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, the gradient of y, and a second operand or bias."""
    return _drawn(SOFTMAX_COLUMNS if workload == "W6-softmax" else COLUMNS)


@lru_cache(1)  # to draw them takes longer than to measure a function on a GPU
def _drawn(columns: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    shape = ELEMENTS // columns, columns
    x, gy = (generator.standard_normal(shape, np.float32) for _ in range(2))
    return x, gy, generator.standard_normal(shape[-1:], np.float32)


def prepare(framework: str, workload: str, device: str = "cpu") -> Callable[[], object]:
    """A function that does one step of a workload and returns when it is finished."""
    return {"gpunet": _gpunet, "torch": _torch}[framework](workload, device)


def _gpunet(workload: str, device: str) -> Callable[[], object]:
    import gpunet
    from gpunet import functional as F
    from gpunet.autograd import apply
    from gpunet.functional import activation as ops

    x, gy, b = (on(gpunet.from_numpy(array), device) for array in _arrays(workload))
    if workload == "W6-copy":
        return x.clone
    if workload.startswith("W6-bias-"):  # fused, as it is behind a matrix product
        op = {"relu": ops.ReLU, "gelu": ops.GELUTanh, "tanh": ops.Tanh}[workload[8:]]
        return _step(lambda x, b: apply(op(), x, b), gy, x.requires_grad_(), b.requires_grad_())
    return _step(_function(F, workload), gy, x.requires_grad_(), b.requires_grad_())


def _torch(workload: str, device: str) -> Callable[[], object]:
    import torch
    from torch.nn import functional as F

    torch.set_num_threads(THREADS)
    x, gy, b = (on(torch.from_numpy(array), device) for array in _arrays(workload))
    if workload == "W6-copy":
        return partial(torch.empty_like(x).copy_, x)
    function = _function(F, workload)
    if workload.startswith("W6-bias-"):
        activation = function
        function = lambda x, b: activation(x + b, b)  # noqa: E731
    return _step(function, gy, x.requires_grad_(), b.requires_grad_())


def _function(activations: Any, workload: str) -> Callable[[Any, Any], Any]:
    """The function as one of x and b, and leaves b alone."""
    name, arguments = W6[workload]
    function = partial(getattr(activations, name), **arguments)
    return lambda x, b: function(x)


def _step(function: Callable[[Any, Any], Any], gy: Any, *inputs: Any) -> Callable[[], object]:
    def step() -> object:
        for x in inputs:
            x.grad = None
        y = function(*inputs)
        y.backward(gy)
        return y

    return step
