"""The overhead of an operation: on next to nothing, from the call in Python to the kernel and back.

`-forward` is the call alone, nothing recorded; the others are forward and backward.
`prepare(framework, workload)` returns a step, as in `workloads.py`; `parts` says what of it cannot
be spared.
"""

from __future__ import annotations

import sys
import timeit
from collections.abc import Callable, Iterable
from itertools import repeat
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
    if framework == "kernels":
        return lambda: _KERNELS[workload](_backend(), *arrays)
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


def _backend() -> Any:
    from gpunet import backend

    return backend.get("cpu")


def _linear(be: Any, x: Any, w: Any, b: Any) -> Any:
    z = be.product(x, w)
    return be.activation.identity_fwd(z, bias=b, out=z)


def _both(forward: Callable[..., Any], backward: Callable[..., Any]) -> Callable[..., Any]:
    return lambda be, *arrays: (forward(be, *arrays), backward(be, *arrays))


# What the backend is asked for in a step. Every array has the shape of the gradient.
_KERNELS: dict[str, Callable[..., Any]] = {
    "overhead-add-forward": lambda be, x, y: be.xp.add(x, y),
    "overhead-relu-forward": lambda be, x: be.activation.relu_fwd(x),
    "overhead-linear-forward": _linear,
    "overhead-relu": lambda be, x: be.activation.relu_bwd(x, be.activation.relu_fwd(x)),
    "overhead-add": _both(
        lambda be, x, y: be.xp.add(x, y),
        lambda be, x, y: (be.copy(x), be.copy(x)),  # a leaf keeps its gradient
    ),
    "overhead-mul": _both(
        lambda be, x, y: be.xp.multiply(x, y),
        lambda be, x, y: (be.xp.multiply(x, y), be.xp.multiply(x, y)),
    ),
    "overhead-linear": _both(
        _linear,
        lambda be, x, w, b: (be.matmul(x, w), be.matmul(x.T, x), be.reduction.column_sum(x)),
    ),
}


def parts(workload: str) -> dict[str, float]:
    """Where the time of gpunet's step goes, in µs.

    Returns:
        `step`: all of it. `kernels`: what the backend does for it, called without tensors or graph.
        `calls`: as many calls of an empty function as the step makes calls of Python functions
        beyond those of the kernels.
    """
    step, kernels = (prepare(framework, workload) for framework in ("gpunet", "kernels"))
    count = _calls(step) - _calls(kernels)

    def nothing() -> None: ...

    def calls() -> None:
        for _ in repeat(None, count):
            nothing()

    return dict(zip(("step", "kernels", "calls"), _fastest([step, kernels, calls]), strict=True))


def _calls(step: Callable[[], object]) -> int:
    """Calls of Python functions."""
    step()  # kernels are compiled now, and names looked up
    events: list[str] = []
    before = sys.getprofile()
    sys.setprofile(lambda frame, event, argument: events.append(event))
    try:
        step()
    finally:
        sys.setprofile(before)
    return events.count("call")


def _fastest(steps: Iterable[Callable[[], object]]) -> list[float]:
    """µs of each, the least of several runs in turns: others may have the core in between."""
    steps = list(steps)
    runs = [[timeit.timeit(step, number=500) for step in steps] for _ in range(25)]
    return [1e6 * min(times) / 500 for times in zip(*runs, strict=True)]


COLUMNS = ("a step, µs", "its kernels alone", "its calls of Python functions, empty", "the rest")
NOTE = (
    "Kernels: what the backend does for the step, called without tensors or graph, results "
    "allocated. Calls: as many of an empty function. The rest: tensors and nodes made, attributes "
    "read, arguments checked."
)


def rows(results: dict[str, Any]) -> list[tuple[str, ...]]:
    """The table of the parts, of the workloads that have them."""
    table = []
    for workload, frameworks in results.items():
        if parts := frameworks["gpunet"].get("parts"):
            step, kernels, calls = parts["step"], parts["kernels"], parts["calls"]
            times = step, kernels, calls, step - kernels - calls
            table.append((workload, *(f"{time:.1f}" for time in times)))
    return table
