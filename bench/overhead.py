"""The overhead of an operation: on next to nothing, from the call in Python to the kernel and back.

`-forward` is the call alone, nothing recorded; the others are forward and backward.
`prepare(framework, workload)` returns a step, as in `workloads.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench import THREADS, on

# The function, its operands' shapes, and in NumPy.
FORWARD: dict[str, tuple[str, tuple[tuple[int, ...], ...], Callable[..., Any]]] = {
    "overhead-add-forward": ("add", ((1,), (1,)), np.add),
    "overhead-relu-forward": ("relu", ((1,),), lambda x: np.maximum(x, 0.0)),
    "overhead-linear-forward": ("linear", ((1, 1), (1, 1), (1,)), lambda x, w, b: x @ w.T + b),
}
BOTH: dict[str, tuple[str, tuple[tuple[int, ...], ...]]] = {
    "overhead-relu": ("relu", ((10,),)),
    "overhead-add": ("add", ((10,), (10,))),
    "overhead-mul": ("mul", ((10,), (10,))),
    "overhead-linear": ("linear", ((1, 1), (1, 1), (1,))),
}
TEXT = {
    name: f"{of} of {'1 number' if name in FORWARD or of == 'linear' else '10 numbers'}, "
    + ("forward" if name in FORWARD else "forward + backward")
    for name, (of, *_) in {**FORWARD, **BOTH}.items()
}
WORKLOADS = tuple(TEXT)


def prepare(framework: str, workload: str, device: str = "cpu") -> Callable[[], object]:
    """A function that does one step of a workload and returns when it is finished."""
    name, shapes, *_ = FORWARD.get(workload) or BOTH[workload]
    generator = np.random.default_rng(0)
    arrays = [generator.standard_normal(shape, np.float32) for shape in shapes]
    if framework == "numpy":
        function = FORWARD[workload][2]
        return lambda: function(*arrays)
    functions, tensor = {"gpunet": _gpunet, "torch": _torch}[framework]()
    function = functions(name)
    inputs = [on(tensor(array), device) for array in arrays]
    if workload in FORWARD:
        return lambda: function(*inputs)
    for x in inputs:
        x.requires_grad_()
    gy = on(tensor(np.ones(arrays[0].shape, np.float32)), device)

    def step() -> object:
        for x in inputs:
            x.grad = None
        y = function(*inputs)
        y.backward(gy)
        return y

    return step


def _gpunet() -> tuple[Any, Any]:
    import gpunet

    return lambda name: getattr(gpunet.functional, name), gpunet.tensor


def _torch() -> tuple[Any, Any]:
    import torch

    torch.set_num_threads(THREADS)
    functional = torch.nn.functional
    return lambda name: getattr(torch, name, None) or getattr(functional, name), torch.from_numpy
