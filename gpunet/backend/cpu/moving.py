"""Copies: large ones are shared out over the threads, and tiled where the source lies across."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpunet.backend.base import Array
from gpunet.backend.cpu import threads
from gpunet.backend.cpu.share import PLAIN, cut

RUN = 64  # bytes along an axis, from which a copy by tiles is quicker than NumPy's


def write(*pairs: tuple[Array, Any]) -> None:
    """out[...] = x for every pair of `out` and x, an array of its shape or a number.

    Reals are rounded to reals, cut off to integers.
    """
    tasks: list[threads.Task] = []
    for out, x in pairs:
        axis = across(x) if out.size >= PLAIN else None
        if axis is not None and (x.dtype != out.dtype or out.strides[-1] != out.itemsize):
            axis = None
        if axis is None:
            tasks += [(assign, piece) for piece in cut((out, x), out.shape)]
        else:
            from gpunet.backend.cpu import transposition  # which needs Numba

            tasks += transposition.tasks(out, x, axis)
    threads.run(tasks)


def assign(out: Array, x: Any) -> None:
    """out[...] = x on this thread alone."""
    with np.errstate(over="ignore", invalid="ignore"):  # NaN to integer; beyond a half
        np.copyto(out, x, casting="unsafe")


def across(x: Any) -> int | None:
    """The axis along which x is contiguous, if x is an array and that axis is not the last."""
    if not isinstance(x, np.ndarray) or x.ndim < 2 or x.shape[-1] == 1:
        return None
    size = x.itemsize
    if x.strides[-1] == size or size not in (4, 8):
        return None
    runs = (i for i, n in enumerate(x.shape) if x.strides[i] == size and n * size >= RUN)
    return next(runs, None)
