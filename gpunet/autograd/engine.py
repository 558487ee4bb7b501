"""The backward pass: visits the recorded operations newest first and hands each its gradient.

An operation is recorded after those that made its inputs, so running against the order of recording
visits every node after all of its consumers; a heap keeps the ones whose turn may come.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

from gpunet.autograd import memory
from gpunet.autograd.mode import mode
from gpunet.backend import Array, Backend
from gpunet.errors import GradError

if TYPE_CHECKING:
    from gpunet.autograd.op import Op

Edge = Any  # a leaf tensor, or (operation, output index)


def backward(
    edges: Sequence[Edge],
    gradients: list[Array],
    retain_graph: bool = False,
    wanted: dict[Edge, Array | None] | None = None,
    watched: bool = False,
) -> None:
    """Adds the gradients of leaves to their `.grad`, from those that arrive at `edges` on.

    What an operation kept is dropped as the pass leaves it, unless `retain_graph`.

    Args:
        wanted: if given, the gradients of these edges are put here, and no leaf is touched.
        watched: whether a watcher, if there is one, knows that this pass has begun.
    """
    watcher = mode.watcher
    if watcher is not None and not watched:
        with watcher.span("backward", edges):
            return backward(edges, gradients, retain_graph, wanted, watched=True)
    pending: dict[Op, list[Array | None]] = {}
    heap: list[tuple[int, Op]] = []
    # What is about to arrive at the edges; at first as if an operation had passed it on unchanged.
    gys: list[Array | None] = gradients
    gxs: Sequence[Array | None] = gradients
    fresh = False
    while True:
        # `strict` would cost more than the loop.
        for edge, g in zip(edges, gxs):  # noqa: B905
            if edge is None or g is None:
                continue
            if type(edge) is tuple:
                op, index = edge
                slots = pending.get(op)
                if slots is None:
                    slots = pending[op] = [None] * op.outputs
                    heappush(heap, (-op.order, op))
                before = slots[index]
                # Never in place: the array may be the gradient of something else, too.
                slots[index] = g if before is None else _sum(op.target or op.backend, before, g)
                continue
            # A leaf keeps its gradient, so nobody else may hold it. The first test is half of
            # `_owned`, and a call less where gradients are passed on as they are.
            if not fresh and (g is gys[0] or not _owned(g, gys, gxs)):
                g = edge.backend.copy(g)
            if wanted is None:
                edge.accumulate(g)
            elif edge in wanted:
                g, before = edge.hooked(g), wanted[edge]
                wanted[edge] = g if before is None else _sum(edge.backend, before, g)
        if not heap:
            return
        op = heappop(heap)[1]
        gys = pending.pop(op)
        edges, fresh = op.edges, op.fresh
        if not edges:
            raise _freed(op)
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
        if len(gxs) != len(edges):
            got = f"({len(edges)}), got {len(gxs)}"
            raise GradError("backward", f"{op.name} must give one gradient an input {got}")
        if not retain_graph:
            op.saved, op.edges = None, ()


def _freed(op: Op) -> GradError:
    return GradError(
        "backward",
        f"the graph below {op.name} must be there, but an earlier backward pass has freed it",
        "call backward(retain_graph=True) the first time if it is wanted twice",
    )


def _sum(be: Backend, x: Array, y: Array) -> Array:
    return be.xp.add(x, y)


def _owned(g: Array, gys: list[Array | None], gxs: Sequence[Array | None]) -> bool:
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
