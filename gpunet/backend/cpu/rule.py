"""Puts the rules of optimizers to work on all parameters at once.

    @rule
    def sgd_step(p, g, momentum_buffer, step, lr, momentum, ...):

is a loop over one parameter, its gradient and what the rule remembers of it. It makes

    sgd_step(parameters, gradients, momentum_buffers, steps, lr, *, momentum, ...)

over lists of C-contiguous arrays, in place. A list is empty if the options need no such state; the
loop then gets an array without elements. Learning rate and step counts are arrays of one float64,
which the device reads: on a GPU a step can then be recorded once and replayed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from gpunet.backend.base import Array
from gpunet.backend.cpu import threads
from gpunet.backend.cpu.jit import Kernel
from gpunet.backend.dtypes import HALVES, float32

SHARED_SIZE = 1 << 17  # elements of all parameters from which it pays to wake the other threads
PIECES = 2  # of large parameters for each thread: a core that other programs slow down takes fewer
SMALLEST_PIECE = 1 << 15  # elements; the call of a loop costs some microseconds

_ABSENT = {np.dtype(name): np.empty(0, name) for name in ("float32", "float64")}
_UNCOUNTED = np.zeros(1)


def rule(loop: Callable[..., Any]) -> Callable[..., None]:
    """Makes a step over lists of arrays from a loop over one parameter."""
    kernel = Kernel(loop)
    names = loop.__code__.co_varnames[: loop.__code__.co_argcount]
    options = names[names.index("lr") + 1 :]

    @wraps(loop)
    def step(parameters: list[Array], gradients: list[Array], *rest: Any, **given: Any) -> None:
        *states, steps, lr = rest
        values = [given.pop(name) for name in options]
        assert not given, f"{loop.__name__} has the options {options}, got also {sorted(given)}"
        scalars = [v if type(v) is bool else float(v) for v in values]
        for count in steps:
            count[0] += 1
        _run(kernel, [parameters, gradients, *states], steps, lr, *scalars)

    return step


def _run(kernel: Kernel, lists: list[list[Array]], steps: list[Array], *rest: Any) -> None:
    """Calls the loop for every parameter; large work is cut into pieces for all threads."""
    total = sum([p.size for p in lists[0]])
    piece = total or 1
    if total >= SHARED_SIZE:
        piece = max(SMALLEST_PIECE, total // (PIECES * threads.count()) // 16 * 16)
    tasks: list[threads.Task] = []
    small: list[threads.Task] = []  # one task together: to begin one costs as much as all of them
    for i, p in enumerate(lists[0]):
        half = p.dtype.char in HALVES
        dtype = float32 if half else p.dtype
        loop = kernel[dtype]
        arrays = [_flat(each[i]) if each else _ABSENT[dtype] for each in lists]
        count = steps[i] if steps else _UNCOUNTED
        for start in range(0, p.size, piece):
            cut = arrays
            if p.size > piece:  # what has another size, an absent state say, stays whole
                part = slice(start, start + piece)
                cut = [a[part] if a.size == p.size else a for a in arrays]
            task = (_in_single, (loop, cut, count, *rest)) if half else (loop, (*cut, count, *rest))
            (small if p.size < SMALLEST_PIECE else tasks).append(task)
    if total >= SHARED_SIZE:
        threads.run([*tasks, (_one_by_one, (small,))] if small else tasks)
    else:
        _one_by_one([*tasks, *small])


def _one_by_one(tasks: list[threads.Task]) -> None:
    for function, arguments in tasks:
        function(*arguments)


def _flat(a: Array) -> Array:
    return a if a.ndim == 1 else a.reshape(-1)


def _in_single(loop: Callable[..., None], arrays: list[Array], *rest: Any) -> None:
    """A loop over arrays of halves: computed in float32, only what is kept is rounded."""
    wide = [a.astype(float32) if a.dtype.char in HALVES else a for a in arrays]
    loop(*wide, *rest)
    for a, w in zip(arrays, wide, strict=True):
        if a is not w:
            a[...] = w
