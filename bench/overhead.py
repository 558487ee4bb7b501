"""The overhead of an operation: on next to nothing, from the call in Python to the kernel and back.

`-forward` is the call alone, nothing recorded; the others are forward and backward.
`prepare(framework, workload)` returns a step, as in `workloads.py`; `parts` says what of it cannot
be spared.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import numpy as np

from bench import THREADS, on, tape

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
    if framework in _PARTS:
        return _PARTS[framework](workload, arrays)
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


# What the backend is asked for, forward and backward. Every array has the shape of the gradient.
_FORWARD: dict[str, Callable[..., Any]] = {
    "add": lambda be, x, y: be.xp.add(x, y),
    "mul": lambda be, x, y: be.xp.multiply(x, y),
    "relu": lambda be, x: be.activation.relu_fwd(x),
    "linear": lambda be, x, w, b: be.linear(x, w, b),
}
_BACKWARD: dict[str, Callable[..., Any]] = {
    "add": lambda be, g, x, y: (be.copy(g), be.copy(g)),  # a leaf keeps its gradient
    "mul": lambda be, g, x, y: (be.xp.multiply(g, y), be.xp.multiply(g, x)),
    "relu": lambda be, g, x: (be.activation.relu_bwd(g, x),),
    "linear": lambda be, g, x, w, b: be.linear_bwd(g, x, w, (True, True, True)),
}


class _Value:
    """An array on the barest tape: nothing is checked, or known of devices, dtypes and hooks."""

    __slots__ = ("array", "backward", "grad", "inputs")

    def __init__(self, array: Any, inputs: Any = (), backward: Any = None) -> None:
        self.array, self.inputs, self.backward, self.grad = array, inputs, backward, None


def _kernels(workload: str, arrays: list[Any]) -> Callable[[], object]:
    """What the backend does for a step, called without tensors or graph; results are allocated."""
    be, name = _backend(), (FORWARD.get(workload) or BOTH[workload])[0]
    forward, backward = _FORWARD[name], _BACKWARD[name]
    if workload in FORWARD:
        return lambda: forward(be, *arrays)
    return lambda: (forward(be, *arrays), backward(be, arrays[0], *arrays))


def _bare(workload: str, arrays: list[Any]) -> Callable[[], object]:
    """The same on the barest tape: the least that recording and a backward pass take in Python."""
    be, name = _backend(), (FORWARD.get(workload) or BOTH[workload])[0]
    forward, backward = _FORWARD[name], _BACKWARD[name]
    leaves = [_Value(array) for array in arrays]
    gy = arrays[0]

    def step() -> object:
        for x in leaves:
            x.grad = None
        y = _Value(forward(be, *[x.array for x in leaves]), leaves, backward)
        waiting = [(y, gy)]
        while waiting:
            value, g = waiting.pop()
            if value.backward is None:
                value.grad = _Value(g)  # type: ignore[assignment]
            else:
                gradients = value.backward(be, g, *[x.array for x in value.inputs])
                waiting += zip(value.inputs, gradients, strict=False)
        return y

    if workload in FORWARD:
        return lambda: _Value(forward(be, *[x.array for x in leaves]))
    return step


def parts(workload: str) -> dict[str, Any]:
    """Where the time of gpunet's step goes, in µs.

    Returns:
        `step`: all of it. `kernels`: what the backend does for it. `bare`: that on a tape which
        does nothing but remember and go back. For `overhead-add`, `tape`: that on a tape for any
        graph, then with the first of its features, the first two, and so on (`tape.py`).
    """
    steps = [prepare(framework, workload) for framework in ("gpunet", "kernels", "bare")]
    rungs = [prepare_rung(n) for n in range(len(tape.FEATURES) + 1)]
    step, kernels, bare, *times = _fastest(steps + rungs if workload == "overhead-add" else steps)
    found: dict[str, Any] = {"step": step, "kernels": kernels, "bare": bare}
    return {**found, "tape": times} if times else found


def prepare_rung(features: int) -> Callable[[], Any]:
    """The step of `overhead-add` on the tape with so many of its features."""
    arrays = [np.ones(shape, np.float32) for shape in BOTH["overhead-add"][1]]
    return tape.prepare(list(tape.FEATURES)[:features], arrays, _backend())


def _fastest(steps: Iterable[Callable[[], object]]) -> list[float]:
    """µs of each, the least of several runs in turns: others may have the core in between."""
    steps = list(steps)
    runs = [[timeit.timeit(step, number=100) for step in steps] for _ in range(150)]
    return [1e4 * min(times) for times in zip(*runs, strict=True)]


_PARTS = {"kernels": _kernels, "bare": _bare}
COLUMNS = ("a step, µs", "its kernels alone", "on a bare tape", "what gpunet adds")
NOTE = (
    "Kernels: what the backend does for the step, called without tensors or graph, results "
    "allocated. A bare tape: a class for arrays and a loop that goes back, kernels included, the "
    "least in Python. gpunet adds devices, dtypes that meet, broadcasting, arguments checked, "
    "errors that name the operation, several outputs, hooks, a profiler, and the watch over what "
    "is written to."
)


TAPE_COLUMNS = ("add of 10 numbers, forward + backward", "µs", "more")
TAPE_NOTE = (
    "The least Python that does what gpunet's tape does, for this one operation (`bench/tape.py`), "
    "with one feature more in each row. What gpunet takes beyond the last is for being one tape "
    "for all operations: calls of functions where that one has a line."
)


def tape_rows(results: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The table of what each feature of a tape costs, if it was timed."""
    parts = results.get("overhead-add", {}).get("gpunet", {}).get("parts", {})
    if "tape" not in parts:
        return []
    texts = "its kernels alone", "a tape for any graph", *tape.FEATURES.values(), "gpunet"
    times = parts["kernels"], *parts["tape"], parts["step"]
    # Rounded first: there is no less than nothing.
    more = "", *[f"{round(after - before, 1) + 0.0:+.1f}" for before, after in pairwise(times)]
    return list(zip(texts, [f"{time:.1f}" for time in times], more, strict=True))


def rows(results: dict[str, Any]) -> list[tuple[str, ...]]:
    """The table of the parts, of the workloads that have them."""
    table = []
    for workload, frameworks in results.items():
        if parts := frameworks["gpunet"].get("parts"):
            step, bare = parts["step"], parts["bare"]
            times = step, parts["kernels"], bare, step - bare
            table.append((workload, *(f"{time:.1f}" for time in times)))
    return table
