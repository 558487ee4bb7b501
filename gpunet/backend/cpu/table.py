"""Tables of arrays: what a compiled loop over many arrays reads of each, gathered in one call.

To ask an array for its address takes Python more than a microsecond, and to hand it to a compiled
function some tenths of one, which is more than the work on a bias of 100 elements. A table starts
from `id(array)`, in CPython the address of the object. Compiled code reads the rest where NumPy's C
API has it since version 1.0: in the structures `PyArrayObject_fields` and `PyArray_Descr`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, repeat
from typing import Any

import numpy as np
from numba import carray, types
from numba.extending import intrinsic

from gpunet.backend.base import Array
from gpunet.backend.cpu.jit import ByDtype, T, kernel

_START = object.__basicsize__  # of what is an array's own, or a dtype's, in its structure


def _fields(**offsets: tuple[str, int]) -> np.dtype[Any]:
    """A structure, by the type of each field and its place behind the start."""
    fields: Any = {name: (kind, _START + place) for name, (kind, place) in offsets.items()}
    return np.dtype(fields)


_ARRAY = _fields(
    data=("i8", 0), axes=("i4", 8), shape=("i8", 16), dtype=("i8", 40), flags=("i4", 48)
)
_DTYPE = _fields(number=("i4", 12))
_FITS = 0x101  # NPY_ARRAY_C_CONTIGUOUS and NPY_ARRAY_ALIGNED
_DOUBLE = np.dtype("float64")
ITEM = ByDtype(float32=4, float64=8)


def _write_pointer(typing_context, address):
    def write(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.inttoptr(values[0], context.get_value_type(types.voidptr))

    return types.voidptr(types.int64), write


_pointer: Any = intrinsic(_write_pointer)


@kernel(inline=True)
def array_at(address, start, stop):
    """Elements `start` to `stop` of the array of T at an address; none of one that is absent."""
    if address == 0:
        return carray(_pointer(0), 0, T)
    return carray(_pointer(address + start * ITEM), stop - start, T)


@kernel(inline=True)
def count_at(address):
    """The array of one float64 at an address; an absent one has no element."""
    return carray(_pointer(address), int(address != 0), np.float64)


@kernel
def _begin(table, counts, number, number_of_counts):
    """Puts addresses in the place of objects, sizes into the last row; raises the last counts.

    Returns the elements of the first row, or −1 − (the row of an array that does not fit).
    """
    members, n = table.shape[0] - 1, table.shape[1]
    total = 0
    for i in range(n):
        for member in range(members):
            if table[member, i] == 0:
                continue
            array = carray(_pointer(table[member, i]), 1, _ARRAY)[0]
            dtype = carray(_pointer(array.dtype), 1, _DTYPE)[0]
            size = 1
            for length in carray(_pointer(array.shape), array.axes, np.int64):
                size *= length
            if member == 0:
                table[members, i] = size
                total += size
            counted = member >= members - counts
            expected = 1 if counted else table[members, i]
            kind = number_of_counts if counted else number
            if array.flags & _FITS != _FITS or size != expected or dtype.number != kind:
                return -1 - member
            table[member, i] = array.data
    for address in table[members - 1]:
        if address != 0:
            count_at(address)[0] += 1
    return total


def begin(lists: Sequence[list[Array]], counts: int) -> tuple[Array, int]:
    """(table, total): a row of addresses a list, and a last row of the sizes. Raises step counts.

    Args:
        lists: of arrays: first the parameters, all of one dtype; the others hold one like it for
            each, the last `counts` lists one of a single float64. A list may be empty: the
            addresses are then 0. The last list is that of the step counts.

    Returns:
        The table, and the number of elements of all parameters. If the latter is negative, it is
        −1 − (the number of a list with an array that does not fit), and nothing was raised.
    """
    n = len(lists[0])
    objects = [map(id, each) if each else repeat(0, n) for each in lists]
    words = chain(*objects, repeat(0, n))
    table = np.fromiter(words, np.int64, (len(lists) + 1) * n).reshape(-1, n)
    return table, _begin[_DOUBLE](table, counts, lists[0][0].dtype.num, _DOUBLE.num)
