"""Elements in order along an axis: a value of 32 bits and its place make one whole number.

NumPy sorts whole numbers of 64 bits in vector registers, many times as fast as it ranks floats. The
place in the lower half tells where an element was, and keeps equal elements in their order.
"""

from __future__ import annotations

import math

import numpy as np

from gpunet.backend.base import Array, in_order
from gpunet.backend.cpu.jit import kernel
from gpunet.backend.cpu.memory import cache
from gpunet.backend.cpu.share import as_rows, share

COST = 2  # of an element, see `share`; a piece costs some calls of NumPy's functions
_PLACE = 0xFFFFFFFF  # the half of a key that it is in
_FLOAT32, _INT32 = np.dtype("float32"), np.dtype("int32")
_BITS = {n: np.dtype(f"int{8 * n}") for n in (1, 2, 4, 8)}  # to move what they mean unseen
int64 = np.int64


@kernel
def _keys(values, floats, descending, keys):
    """The lower half is an element's place in its row, the upper one compares as the element does.

    A float's bits compare as those of a whole number if the sign is not set, backwards if it is.
    Zeros are equal, and so are NaN, which come last.
    """
    for i in range(values.shape[0]):
        row, out = values[i], keys[i]
        for j in range(row.size):
            v = row[j]
            if floats:
                nan = (v & 0x7FFFFFFF) > 0x7F800000
                v ^= (v >> 31) & 0x7FFFFFFF
                v = 0x7FFFFFFF if nan else 0 if v == -1 else v
            out[j] = (int64(~v if descending else v) << 32) | j


@kernel
def _take_along(x, indices, y, start, stop):
    for i in range(start, stop):
        for k in range(indices.shape[1]):
            for j in range(indices.shape[2]):
                y[i, k, j] = x[i, indices[i, k, j], j]


def argsort(x: Array, axis: int, descending: bool, ranks: Array | None) -> Array:
    """See `Backend.argsort`."""
    rows = np.ascontiguousarray(x.swapaxes(axis, -1))
    at = per_row = None
    if ranks is not None:
        at = ranks.ravel()
        if at.size != ranks.shape[axis]:
            at = np.unique(at)
            if not at.size == ranks.shape[axis] == 1:
                per_row = np.searchsorted(at, ranks)
    order = cache.empty((*rows.shape[:-1], rows.shape[-1] if at is None else at.size), int64)
    if order.size:
        values = _in_32_bits(rows)
        rank = _rank if values is None else _rank_keys
        arrays = as_rows(rows if values is None else values), as_rows(order)
        floats = x.dtype.kind == "f"
        share(rank, arrays, *arrays[0].shape, _FLOAT32, floats, descending, at, cost=COST)
    order = np.ascontiguousarray(order.swapaxes(axis, -1))
    return order if per_row is None else take_along(order, per_row, axis)


def _in_32_bits(x: Array) -> Array | None:
    """The bits of floats, or whole numbers; None if those or their places need more."""
    if x.shape[-1] > _PLACE:
        return None
    if x.dtype.char in "ef":
        return x.astype(np.float32, copy=False).view(np.int32)
    if x.dtype.kind == "f":
        return None
    if x.itemsize >= 4 and not -(2**31) <= x.min() <= x.max() < 2**31:
        return None
    return x.astype(np.int32)


def _rank_keys(
    values: Array,
    order: Array,
    start: int,
    stop: int,
    floats: bool,
    descending: bool,
    at: Array | None,
) -> None:
    """The places of the elements in order, or of those at some ranks, of rows of 32-bit values."""
    rows, out = values[start:stop], order[start:stop]
    keys = out if at is None else np.empty(rows.shape, int64)
    _keys[_INT32](rows, floats, descending, keys)
    if at is None:
        keys.sort()
    elif at.size <= 2:
        keys.partition(at)
    else:
        last = at.max()
        keys.partition(last)
        keys[:, :last].sort()
    np.bitwise_and(keys if at is None else keys[:, at], _PLACE, out=out)


def _rank(
    rows: Array,
    order: Array,
    start: int,
    stop: int,
    floats: bool,
    descending: bool,
    at: Array | None,
) -> None:
    """The same of rows of wider values."""
    found = in_order(np, rows[start:stop], 1, descending)
    order[start:stop] = found if at is None else found[:, at]


def take_along(x: Array, indices: Array, axis: int) -> Array:
    """See `Backend.take_along`."""
    x = np.ascontiguousarray(x)
    y = cache.empty(indices.shape, x.dtype)
    if y.size:
        planes, columns = math.prod(x.shape[:axis]), math.prod(x.shape[axis + 1 :])
        bits = _BITS[x.itemsize]
        arrays = [a.reshape(planes, -1, columns) for a in (x.view(bits), indices, y.view(bits))]
        share(_take_along[bits], arrays, planes, y.size // planes, _FLOAT32)
    return y
