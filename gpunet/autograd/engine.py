"""The backward pass: visits the recorded operations newest first and hands each its gradient.

An operation is recorded after those that made its inputs, so running against the order of recording
visits every node after all of its consumers; a heap keeps the ones whose turn may come.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

from gpunet.autograd import memory
from gpunet.autograd.mode import Watcher, mode
from gpunet.backend import Array
from gpunet.errors import GradError

if TYPE_CHECKING:
    from gpunet.autograd.op import Op
    from gpunet.autograd.tensor import Tensor

Edge = Any  # a leaf tensor, or (operation, output index)


def backward(
    roots: Iterable[tuple[Tensor, Array]],
    *,
    retain_graph: bool = False,
    wanted: dict[Edge, Array | None] | None = None,
) -> None:
    """Adds the gradient of the roots to `.grad` of every leaf they depend on.

    The elements of each root are weighted by the array that comes with it, of its shape.
    What an operation kept is dropped as the pass leaves it, unless `retain_graph`.

    Args:
        wanted: if given, the gradients of these edges are put here, and no leaf is touched.
    """
    watcher = mode.watcher
    if watcher is None:
        _run(roots, retain_graph, wanted, None)
    else:
        with watcher.span("backward", roots):
            _run(roots, retain_graph, wanted, watcher)


def _run(
    roots: Iterable[tuple[Tensor, Array]],
    retain_graph: bool,
    wanted: dict[Edge, Array | None] | None,
    watcher: Watcher | None,
) -> None:
    pending: dict[Op, list[Array | None]] = {}
    heap: list[tuple[int, Op]] = []

    def arrive(leaf: Tensor, g: Array) -> None:
        if wanted is None:
            leaf.accumulate(g)
        elif leaf in wanted:
            g = leaf.hooked(g)
            before = wanted[leaf]
            wanted[leaf] = g if before is None else leaf.backend.xp.add(before, g)

    def send(edge: Edge, g: Array) -> None:
        op, index = edge
        slots = pending.get(op)
        if slots is None:
            slots = pending[op] = [None] * op.outputs
            heappush(heap, (-op.order, op))
        before = slots[index]
        if before is not None:
            # Never in place: the array may be the gradient of something else, too.
            g = (op.target or op.backend).xp.add(before, g)
        slots[index] = g

    for root, gradient in roots:
        if root.origin:
            send(root.origin, gradient)
        else:  # a leaf keeps its gradient, and this one stays the caller's
            arrive(root, root.backend.copy(gradient))
    while heap:
        op = heappop(heap)[1]
        gys = pending.pop(op)
        if not op.edges:
            raise GradError(
                "backward",
                f"the graph below {op.name} must be there, "
                "but an earlier backward pass has freed it",
                "call backward(retain_graph=True) the first time if it is wanted twice",
            )
        if op.order < memory.last_write:
            memory.check(op)
        for hook in op.hooks:
            hook(gys)
        if wanted is not None:
            for index, g in enumerate(gys):
                if (op, index) in wanted:
                    wanted[op, index] = g
        gxs = op.backward(op.backend, *gys) if watcher is None else watcher.backward(op, gys)
        if type(gxs) is not tuple:
            gxs = (gxs,)
        for edge, g in zip(op.edges, gxs, strict=True):
            if edge is None or g is None:
                continue
            if type(edge) is tuple:
                send(edge, g)
            elif op.fresh or _owned(g, gys, gxs):
                arrive(edge, g)
            else:  # a leaf keeps its gradient, so nobody else may hold it
                arrive(edge, op.backend.copy(g))
        if not retain_graph:
            op.saved, op.edges = None, ()


def _owned(g: Array, gys: list[Array | None], gxs: tuple[Array | None, ...]) -> bool:
    """Whether an operation made `g` afresh, for one input: no gradient that it got, and no view."""
    base = g.base
    if base is not None and type(base) is type(g):
        return False
    for gy in gys:
        if g is gy:
            return False
    found = 0
    for gx in gxs:
        found += gx is g
    return found == 1
