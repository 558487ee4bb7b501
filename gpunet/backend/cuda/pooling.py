"""Pooling of the last one, two or three axes. Kernels: kernels/pooling.cu.

CPU twins: gpunet/backend/cpu/pooling.py.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from gpunet.backend import windows
from gpunet.backend.base import Array
from gpunet.backend.cuda.launch import Family, grid_stride
from gpunet.backend.windows import Axes


class Pooling(Family):
    """See the CPU twins for what each function computes; indices are int64 here."""

    def __init__(self, backend: Any, name: str):
        super().__init__(backend, name)
        self._tables: dict[Any, Array] = {}

    def max_pool_fwd(self, x: Array, axes: Axes) -> tuple[Array, Array]:
        shape = self._pooled(x, axes)
        y, index = self.empty(shape, x.dtype), self.empty(shape, "int64")
        dilation = [w.dilation for w in windows.three(axes)]
        rest = *_sizes(x, axes), *dilation
        self._run("max_pool_fwd", y, x, y, index, self._table(windows.inside, axes), *rest)
        return y, index

    def max_pool_bwd(self, gy: Array, index: Array, axes: Axes) -> Array:
        gx = self._unpooled(gy, axes)
        if windows.apart(axes):
            rest = self._table(windows.own, axes), *_sizes(gy, axes)
            self._run("max_pool_bwd_apart", gy, gy, index, gx, *rest)
        else:
            rest = self._table(windows.covering, axes), *_sizes(gy, axes)
            self._run("max_pool_bwd", gx, gy, index, gx, *rest)
        return gx

    def avg_pool_fwd(self, x: Array, axes: Axes, with_padding: bool, divisor: int) -> Array:
        y = self.empty(self._pooled(x, axes), x.dtype)
        tables = self._table(windows.inside, axes), self._lengths(axes, with_padding)
        self._run("avg_pool_fwd", y, x, y, *tables, *_sizes(x, axes), divisor)
        return y

    def avg_pool_bwd(self, gy: Array, axes: Axes, with_padding: bool, divisor: int) -> Array:
        gx = self._unpooled(gy, axes)
        rest = self._lengths(axes, with_padding), *_sizes(gy, axes), divisor
        if windows.apart(axes):
            tables = [self._table(table, axes) for table in (windows.own, windows.inside)]
            self._run("avg_pool_bwd_apart", gy, gy, gx, *tables, *rest)
        else:
            self._run("avg_pool_bwd", gx, gy, gx, self._table(windows.covering, axes), *rest)
        return gx

    def _run(self, name: str, owned: Array, *arguments: Any) -> None:
        """A thread for each element of `owned`."""
        self.kernel(name, owned.dtype)(*grid_stride(self.limits, owned.size), *arguments)

    def _pooled(self, x: Array, axes: Axes) -> tuple[int, ...]:
        return (*x.shape[: -len(axes)], *[w.outputs for w in axes])

    def _unpooled(self, gy: Array, axes: Axes) -> Array:
        return self.empty((*gy.shape[: -len(axes)], *[w.size for w in axes]), gy.dtype)

    def _lengths(self, axes: Axes, with_padding: bool) -> Array:
        return self._table(windows.lengths, axes, with_padding)

    def _table(self, make: Callable[..., Any], *of: Any) -> Array:
        """A table of `backend.windows` on the device, copied there once."""
        key = (make, *of)
        if key not in self._tables:
            if len(self._tables) > 1000:
                self._tables.clear()
            self._tables[key] = self.backend.asarray(make(*of).astype("int64").reshape(-1))
        return self._tables[key]


def _sizes(x: Array, axes: Axes) -> list[int]:
    """Planes, then lengths and windows of three axes."""
    three = windows.three(axes)
    return [prod(x.shape[: -len(axes)]), *[w.size for w in three], *[w.outputs for w in three]]
