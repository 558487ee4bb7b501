"""NumPy's functions as the CPU backend has them: large results lie in cached memory.

The elementwise ones (ufuncs) are shared out over the threads there, in pieces that depend on the
shapes alone; NumPy gives up Python's lock while it computes. Where a compiled loop is several times
as fast as NumPy's function, it takes its place. Small arrays go straight to NumPy.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy import asarray, ndarray

from gpunet.backend.base import Array
from gpunet.backend.cpu import threads
from gpunet.backend.cpu.memory import SMALL, cache
from gpunet.backend.cpu.moving import across, write
from gpunet.backend.cpu.share import PLAIN, cut

COMPILED = {"exp", "expm1", "log"}  # of float32, in `transcendental.py`
# How NumPy treats errors is set for each thread. To set it for every piece takes both threads to
# Python's lock at once: 0.5 ms of the 2.3 that the sum of two arrays of 16 MiB took.
AS_IN_A_NEW_THREAD = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}


class LargeNumPy:
    """NumPy's functions, as said above."""

    def __getattr__(self, name: str) -> Any:
        function = getattr(np, name)
        if isinstance(function, np.ufunc) and function.nout == 1 and function.nin <= 2:
            function = _large(function)
        setattr(self, name, function)
        return function


def _large(ufunc: np.ufunc) -> Any:
    result_dtype: dict[tuple[Any, ...], np.dtype[Any]] = {}

    def in_cached_memory(*operands: Any) -> Any:
        key = tuple(
            x.dtype if isinstance(x, (np.ndarray, np.generic)) else type(x) for x in operands
        )
        dtype = result_dtype.get(key)
        if dtype is None:
            kinds = [np.dtype(bool) if kind is bool else kind for kind in key]
            dtype = result_dtype[key] = ufunc.resolve_dtypes((*kinds, None))[-1]
        out = cache.empty(np.broadcast(*operands).shape, dtype)
        return ufunc(*operands, out=out) if out.size < PLAIN else _shared(ufunc, operands, out)

    # Most arrays are small, and the way to them is short: one test an operand, no loop.

    def unary(x: Any) -> Any:
        if type(x) is ndarray and x.nbytes >= SMALL:
            return in_cached_memory(x)
        z = ufunc(x)
        return z if type(z) is ndarray else asarray(z)  # ufuncs make scalars of 0-d arrays

    def binary(x: Any, y: Any) -> Any:
        if (type(x) is ndarray and x.nbytes >= SMALL) or (type(y) is ndarray and y.nbytes >= SMALL):
            return in_cached_memory(x, y)
        z = ufunc(x, y)
        return z if type(z) is ndarray else asarray(z)

    call: Any = unary if ufunc.nin == 1 else binary
    call.__name__ = ufunc.__name__
    call.at = ufunc.at
    return call


def _shared(ufunc: np.ufunc, operands: tuple[Any, ...], out: Array) -> Array:
    name = ufunc.__name__
    operands = tuple([_in_order(x, out.size) for x in operands])
    if name in COMPILED and operands[0].dtype.char == "f" and operands[0].flags.c_contiguous:
        from gpunet.backend.cpu import transcendental  # which needs Numba

        return getattr(transcendental, f"{name}_fwd")(operands[0], out=out)
    pieces, errors = cut((*operands, out), out.shape), np.geterr()
    if errors == AS_IN_A_NEW_THREAD:
        threads.run([(ufunc, part) for part in pieces])
    else:
        threads.run([(_piece, (ufunc, errors, part)) for part in pieces])
    return out


def _in_order(x: Any, size: int) -> Any:
    """x, or a copy if it lies across: reading it once in tiles is far quicker."""
    if across(x) is not None and x.size == size:
        y = cache.empty(x.shape, x.dtype)
        write((y, x))
        return y
    return x


def _piece(ufunc: np.ufunc, errors: Any, arrays: tuple[Array, ...]) -> None:
    with np.errstate(**errors):
        ufunc(*arrays[:-1], out=arrays[-1])
