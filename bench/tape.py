"""The least Python that does for one operation, `add`, what gpunet's tape does for all.

It is there to be timed: what gpunet takes beyond it could still be spared. Lines that a feature
needs end in its name, so that the tape can be timed with the first of them, the first two, and so
on, and what each costs be told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from itertools import count
from pathlib import Path
from sys import modules
from typing import Any

import numpy as np

FEATURES = {
    "device": "tensors know their device, and must share it",
    "recording": "leaves without gradient, `no_grad`",
    "dtypes": "numbers as operands, and dtypes that meet",
    "broadcast": "operands that broadcast",
    "adding": "gradients of leaves add up",
    "written": "a watch over what is written to",
    "hooks": "hooks, and a profiler",
    "gradient": "checks of the gradient that is given",
    "results": "operations with several results, and checks of their gradients",
}
float32, float64 = np.dtype("float32"), np.dtype("float64")
clock = count()
backend: Any = None  # of new tapes: the one to be timed


class _Mode:
    recording, watcher, last_write = True, None, 0


mode = _Mode()


class Tensor:
    __slots__ = "array", "backend", "grad", "hooks", "origin", "requires_grad"

    def __init__(self, array, backend, requires_grad=False, origin=None):
        self.array, self.grad, self.origin = array, None, origin
        self.backend = backend  # device
        self.requires_grad = requires_grad  # recording
        self.hooks = ()  # hooks

    def backward(self, gradient):
        if not self.requires_grad:  # gradient
            raise ValueError  # gradient
        if not isinstance(gradient, Tensor) or gradient.array.dtype != self.array.dtype:  # gradient
            raise ValueError  # gradient
        if gradient.backend is not self.backend:  # gradient
            raise ValueError  # gradient
        if gradient.array.shape != self.array.shape:  # gradient
            raise ValueError  # gradient
        run(self, gradient.array)

    def accumulate(self, g, be):
        for hook in self.hooks:  # hooks
            g = hook(g)  # hooks
        if self.grad is not None:  # adding
            self.grad.array = be.xp.add(self.grad.array, g)  # adding
            return  # adding
        self.grad = Tensor(g, be)


class Add:
    needs, before, view, target = (), None, None, None
    outputs, hooks = 1, ()

    def forward(self, be, x, y):
        if self.needs:  # broadcast
            a, b = getattr(x, "shape", ()), getattr(y, "shape", ())  # broadcast
            if a != b:  # broadcast
                self.before = a, b  # broadcast
        return be.xp.add(x, y)

    def backward(self, be, g):
        if self.before is not None:  # broadcast
            raise NotImplementedError  # broadcast
        return g, g


def add(x, other, *, alpha=1):
    if alpha != 1:  # dtypes
        raise NotImplementedError  # dtypes
    dtype = x.array.dtype if isinstance(x, Tensor) else None  # dtypes
    if dtype is not float32 and dtype is not float64:  # dtypes
        raise NotImplementedError  # dtypes
    plain = type(other) is float or type(other) is int  # dtypes
    if not plain and not (isinstance(other, Tensor) and other.array.dtype is dtype):  # dtypes
        raise NotImplementedError  # dtypes
    return apply(Add(), backend, x, other)


def apply(op, be, *inputs):
    if "ml_dtypes" in modules and op.view:  # dtypes
        raise NotImplementedError  # dtypes
    arrays, edges = [], []
    needs = []  # recording
    recording, recorded = mode.recording, False  # recording
    be = None  # device
    for x in inputs:
        if not isinstance(x, Tensor):  # dtypes
            arrays.append(x)  # dtypes
            edges.append(None)  # dtypes
            needs.append(False)  # dtypes
            continue  # dtypes
        if x.backend is not be:  # device
            if be is not None:  # device
                raise ValueError  # device
            be = x.backend  # device
        arrays.append(x.array)
        if not recording or not x.requires_grad:  # recording
            edges.append(None)  # recording
            needs.append(False)  # recording
            continue  # recording
        needs.append(True)  # recording
        recorded = True  # recording
        edges.append(x.origin or x)
    if recorded:  # recording
        op.needs = tuple(needs)  # recording
    if mode.watcher is not None:  # hooks
        raise NotImplementedError  # hooks
    y = op.forward(be, *arrays)
    home = op.target or be  # results
    if not recorded:  # recording
        return Tensor(y, be)  # recording
    op.edges, op.order, op.backend = edges, next(clock), be
    if type(y) is tuple:  # results
        raise NotImplementedError  # results
    if y.base is not None:  # written
        raise NotImplementedError  # written
    if y.dtype.kind not in "fV":  # dtypes
        return Tensor(y, home)  # dtypes
    return Tensor(y, be, True, (op, 0))


def run(root, gradient):
    if mode.watcher is not None:  # hooks
        raise NotImplementedError  # hooks
    pending, heap = {}, []
    edges, gys, gxs = (root.origin or root,), [gradient], [gradient]
    while True:
        for edge, g in zip(edges, gxs):  # noqa: B905
            if edge is None or g is None:  # recording
                continue  # recording
            if type(edge) is tuple:
                op, index = edge
                slots = pending.get(op)
                if slots is None:
                    slots = pending[op] = [None] * op.outputs
                    heappush(heap, (-op.order, op))
                before = slots[index]
                slots[index] = g if before is None else op.backend.xp.add(before, g)
                continue
            if g is gys[0]:
                g = op.backend.copy(g)
            edge.accumulate(g, op.backend)
        if not heap:
            return
        op = heappop(heap)[1]
        gys = pending.pop(op)
        edges = op.edges
        if not edges:  # results
            raise ValueError  # results
        if op.order < mode.last_write:  # written
            raise ValueError  # written
        for hook in op.hooks:  # hooks
            hook(gys)  # hooks
        gxs = op.backward(op.backend, *gys)
        if type(gxs) is not tuple:  # results
            gxs = (gxs,)  # results
        if len(gxs) != len(edges):  # results
            raise ValueError  # results
        op.edges = ()


def prepare(kept: Iterable[str], arrays: list[Any], be: Any) -> Callable[[], Any]:
    """A step of `add`, forward and backward, on the tape with some of its features.

    It returns the gradients.
    """
    tape: dict[str, Any] = {"__name__": __name__}
    exec(compile(_source(set(kept)), __file__, "exec", dont_inherit=True), tape)
    tape["backend"] = be
    *leaves, gradient = [tape["Tensor"](array, be, True) for array in (*arrays, arrays[0])]
    function = tape["add"]

    def step() -> object:
        for x in leaves:
            x.grad = None
        y = function(*leaves)
        y.backward(gradient)
        return [x.grad.array for x in leaves]

    return step


def _source(kept: set[str]) -> str:
    """This file without the lines of other features."""
    lines = []
    for line in Path(__file__).read_text().splitlines():
        feature = line.rpartition("  # ")[2]
        if feature not in FEATURES or feature in kept:
            lines.append(line)
    return "\n".join(lines)
