"""A cache of aligned buffers under every large array the CPU backend makes.

Fresh memory from the system costs a page fault every 4 KiB, which for large arrays takes several
times as long as the arithmetic. A training step asks for the same sizes again and again, so buffers
of arrays that died are kept by size and handed out again.

An array from here is an ordinary `numpy.ndarray` over an anonymous memory map (page-aligned, so any
vector or cache line is). NumPy keeps the array itself as the base of every view of it, so when the
array dies nothing refers to its memory any more, and the callback of its weak reference puts the
buffer back.
"""

from __future__ import annotations

import math
import mmap
from typing import Any
from weakref import ref

import numpy as np

from gpunet.errors import DeviceMemoryError

SMALL = 1 << 16  # bytes; below this NumPy's own allocator is quicker and its pages are warm
# Unused buffers may take as much memory as the arrays alive, and this much in any case.
ALWAYS_KEPT = 1 << 26
HUGE_PAGE = 1 << 21
# Python's default is shared memory, which Linux lays in small pages only: a copy then takes a third
# longer, and the first touch seven times as long.
PRIVATE: Any = {}
if hasattr(mmap, "MAP_ANONYMOUS"):  # not on Windows
    PRIVATE = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS}


class _Loan(ref):
    """A weak reference to an array, with the buffer under it and the list it goes back to."""

    __slots__ = ("buffer", "home")
    __hash__ = object.__hash__  # arrays have no hash of their own to borrow
    __eq__ = object.__eq__
    buffer: mmap.mmap
    home: list[mmap.mmap]


class BufferCache:
    """Buffers of dead arrays by size, handed out again.

    Nothing is counted while buffers come and go, only when the system is asked for a new one: if
    the unused buffers of other sizes then outweigh what is in use, they are given back first.
    """

    def __init__(self) -> None:
        self.allocated = 0  # bytes asked of the system: under live arrays and unused together
        self._unused: dict[int, list[mmap.mmap]] = {}  # by size in bytes
        self._by_shape: dict[tuple[tuple[int, ...], Any], list[mmap.mmap] | None] = {}
        self._loans: set[_Loan] = set()

    def empty(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray[Any, Any]:
        """An uninitialised C-contiguous array; aligned and from the cache when it is not small."""
        try:
            home = self._by_shape[shape, dtype]
        except KeyError:
            home = self._home(shape, dtype)
        if home is None:
            return np.empty(shape, dtype)
        buffer = home.pop() if home else self._allocate(home, shape, dtype)
        array: np.ndarray[Any, Any] = np.ndarray(shape, dtype, buffer)
        loan = _Loan(array, self._give_back)
        loan.buffer, loan.home = buffer, home
        self._loans.add(loan)
        return array

    def _give_back(self, loan: _Loan) -> None:
        self._loans.discard(loan)
        loan.home.append(loan.buffer)

    @property
    def unused(self) -> int:
        """Bytes kept for reuse."""
        return sum(size * len(buffers) for size, buffers in self._unused.items())

    def clear(self) -> None:
        """Gives every unused buffer back to the system."""
        self.allocated -= self.unused
        for buffers in self._unused.values():
            buffers.clear()

    def _home(self, shape: tuple[int, ...], dtype: Any) -> list[mmap.mmap] | None:
        """The list of unused buffers for this shape, None if small; looked up once a shape."""
        if len(self._by_shape) > 10_000:  # shapes that come once, such as lengths of sentences
            self._by_shape.clear()
        nbytes = math.prod(shape) * np.dtype(dtype).itemsize
        home = None if nbytes < SMALL else self._unused.setdefault(_size_class(nbytes), [])
        self._by_shape[shape, dtype] = home
        return home

    def _allocate(self, home: list[mmap.mmap], shape: tuple[int, ...], dtype: Any) -> mmap.mmap:
        size = _size_class(math.prod(shape) * np.dtype(dtype).itemsize)
        unused = self.unused
        if unused > max(self.allocated - unused + size, ALWAYS_KEPT):
            self.clear()
        try:
            buffer = mmap.mmap(-1, size, **PRIVATE)
        except OSError:  # not enough: what waits to be used again is given up
            self.clear()
            try:
                buffer = mmap.mmap(-1, size, **PRIVATE)
            except OSError as error:
                held = f"{self.allocated / 1e6:,.0f} MB"
                raise DeviceMemoryError(
                    "cpu",
                    f"out of memory: asked for {size / 1e6:,.3g} MB, got: {error.strerror}",
                    f"large arrays here hold {held}",
                ) from error
        if size >= HUGE_PAGE and hasattr(mmap, "MADV_HUGEPAGE"):
            buffer.madvise(mmap.MADV_HUGEPAGE)
        self.allocated += size
        return buffer


def _size_class(nbytes: int) -> int:
    """`nbytes` rounded up to whole pages with at most 12.5 % waste, so near sizes share buffers."""
    step = max(mmap.PAGESIZE, 1 << max(0, nbytes.bit_length() - 4))
    return -(-nbytes // step) * step


cache = BufferCache()
