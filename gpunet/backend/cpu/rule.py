"""Puts the rules of optimizers to work on all parameters at once.

    @rule
    def sgd_step(p, g, momentum_buffer, step, lr, momentum, ...):

is a loop over one parameter, its gradient and what the rule remembers of it. It makes

    sgd_step(parameters, gradients, momentum_buffers, steps, lr, *, momentum, ...)

over lists of C-contiguous arrays, in place. A list is empty if the options need no such state; the
loop then gets an array without elements. Learning rate and step counts are arrays of one float64,
which the device reads: on a GPU a step can then be recorded once and replayed.

The compiled step goes through all parameters by a table of their addresses, as if they lay one
behind the other. Large ones together are cut into pieces of one size, wherever that falls.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from gpunet.backend.base import Array
from gpunet.backend.cpu import threads
from gpunet.backend.cpu.jit import FAST, Kernel, kernel
from gpunet.backend.cpu.table import array_at, begin, count_at
from gpunet.backend.dtypes import float32, half
from gpunet.errors import ArgumentError

# Bytes that a step writes, from which it pays to share it out: 20 µs of one core. With 670k
# parameters SGD takes one thread 0.28 ms and two 0.19.
SHARED_BYTES = 1 << 20
PIECES = 2  # for each thread: a core that wakes late, or that others slow down, takes fewer
# Without estimates of reciprocals and square roots, which vectors of another length have of their
# own: a step has the same bits wherever a vector ends.
EXACT = FAST - {"arcp", "afn"}
COUNTS = ("mu_product", "step")  # what is one float64 for a parameter of any size


def rule(loop: Callable[..., Any]) -> Callable[..., None]:
    """Makes a step over lists of arrays from a loop over one parameter."""
    names = loop.__code__.co_varnames[: loop.__code__.co_argcount]
    members, options = names[: names.index("lr")], names[names.index("lr") + 1 :]
    counts = len([name for name in members if name in COUNTS])
    states = len(members) - counts - 2
    bindings = {
        "f": Kernel(loop, inline=True, fastmath=EXACT),
        "states": _STATES[states],
        "counts": _COUNTS[counts],
    }
    sweep = Kernel(_sweep, name=loop.__name__, bindings=bindings)

    @wraps(loop)
    def step(*arguments: Any, **given: Any) -> None:
        *lists, lr = arguments
        assert given.keys() == set(options), f"{loop.__name__} has the options {options}"
        values = [given[name] for name in options]
        rest = [lr, tuple([v if type(v) is bool else float(v) for v in values])]
        dtypes = {p.dtype for p in lists[0]}
        for dtype in dtypes:
            chosen = lists
            if len(dtypes) > 1:
                indices = [i for i, p in enumerate(lists[0]) if p.dtype == dtype]
                chosen = [each and [each[i] for i in indices] for each in lists]
            (_run_in_single if half(dtype) else _run)(sweep, chosen, counts, rest)

    return step


def _run(sweep: Kernel, lists: list[list[Array]], counts: int, rest: list[Any]) -> None:
    """A step over parameters of one dtype."""
    table, total = begin(lists, counts)
    if total < 0:
        raise ArgumentError(
            sweep.name,
            "arrays must be C-contiguous, of their parameter's size and dtype, "
            f"got another in list {-1 - total}",
        )
    dtype = lists[0][0].dtype
    compiled = sweep[dtype]
    written = len([each for each in lists[: len(lists) - counts] if each]) - 1  # all but gradients
    if total * dtype.itemsize * written < SHARED_BYTES:
        compiled(table, 0, total, *rest)
        return
    edges = threads.edges(total, PIECES * threads.count())
    threads.spread(compiled, edges, (table,), (*rest,))


def _run_in_single(sweep: Kernel, lists: list[list[Array]], counts: int, rest: list[Any]) -> None:
    """Parameters of a half: computed in float32, only what is kept is rounded."""
    for i in range(len(lists[0])):
        arrays = [each[i : i + 1] for each in lists]
        wide = [[a.astype(float32) if half(a.dtype) else a for a in each] for each in arrays]
        _run(sweep, wide, counts, rest)
        for narrow, computed in zip(arrays, wide, strict=True):
            for a, w in zip(narrow, computed, strict=True):
                if a is not w:
                    a[...] = w


def _sweep(table, start, stop, lr, options):
    """Calls the loop for the elements from `start` to `stop`, counted through all parameters."""
    sizes, before = table[-1], 0
    for i in range(sizes.size):
        first, last = _edge(start - before, sizes[i]), _edge(stop - before, sizes[i])
        before += sizes[i]
        if first < last:
            p, g = array_at(table[0, i], first, last), array_at(table[1, i], first, last)
            f(  # type: ignore[name-defined]  # noqa: F821
                p,
                g,
                *states(table, i, first, last),  # type: ignore[name-defined]  # noqa: F821
                *counts(table, i),  # type: ignore[name-defined]  # noqa: F821
                lr,
                *options,
            )


@kernel(inline=True)
def _edge(place, size):
    """Where a piece begins or ends in a parameter: at a whole line of the cache, or its end."""
    return size if place >= size else max(place, 0) // 16 * 16


@kernel(inline=True)
def _states_1(table, i, first, last):
    return (array_at(table[2, i], first, last),)


@kernel(inline=True)
def _states_2(table, i, first, last):
    return array_at(table[2, i], first, last), array_at(table[3, i], first, last)


@kernel(inline=True)
def _states_3(table, i, first, last):
    return (
        array_at(table[2, i], first, last),
        array_at(table[3, i], first, last),
        array_at(table[4, i], first, last),
    )


@kernel(inline=True)
def _counts_1(table, i):
    return (count_at(table[-2, i]),)


@kernel(inline=True)
def _counts_2(table, i):
    return count_at(table[-3, i]), count_at(table[-2, i])


_STATES = {1: _states_1, 2: _states_2, 3: _states_3}
_COUNTS = {1: _counts_1, 2: _counts_2}
