"""CPU backend: NumPy arrays on cached memory, BLAS for matrix products, Numba for fused kernels.

Numba is imported by the kernel families, on the first use of a kernel, never by `import gpunet`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy import asarray, ndarray

from gpunet.backend.base import Array, Backend, DType, Shape
from gpunet.backend.cpu.memory import SMALL, cache
from gpunet.backend.dtypes import HALVES, floating

LONG = 1 << 14  # elements; NumPy's sums of more lose digits, and time


class CPUBackend(Backend):
    """See `Backend`; arrays are `numpy.ndarray`."""

    device = "cpu"
    package = __name__

    def __init__(self) -> None:
        self.xp = _CachedNumPy()
        self.empty = cache.empty  # type: ignore[method-assign]  # spares a call on the hottest path

    def empty(self, shape: Shape, dtype: DType) -> Array:
        return cache.empty(shape, dtype)

    def asarray(self, values: Any, dtype: DType | None = None) -> Array:
        return np.asarray(values, dtype)

    def to_host(self, array: Array) -> Any:
        return array

    def copy(self, array: Array) -> Array:
        if array.nbytes < SMALL:
            return np.array(array, order="C")
        out = self.empty(array.shape, array.dtype)
        np.copyto(out, array)
        return out

    def cast(self, array: Array, dtype: DType) -> Array:
        out = self.empty(array.shape, dtype)
        with np.errstate(over="ignore", invalid="ignore"):  # NaN to integer; beyond a half
            np.copyto(out, array, casting="unsafe")
        return out

    def contiguous(self, array: Array) -> Array:
        return array if array.flags.c_contiguous else self.copy(array)

    def owns(self, array: Any) -> bool:
        return isinstance(array, np.ndarray)

    def matmul(self, a: Array, b: Array, out: Array | None = None) -> Array:
        if out is not None:
            if a.ndim == b.ndim == out.ndim == 4 and out.itemsize == out.strides[-1]:
                return self.gemm.batch(a, b, out)
            out[...] = self.matmul(a, b)
            return out
        if a.dtype.char in HALVES:
            product = self.matmul(self.cast(a, np.float32), self.cast(b, np.float32))
            return self.cast(product, a.dtype)
        if a.ndim == 2 and b.ndim == 2:
            return self.gemm.gemm(a, b, self.empty((a.shape[0], b.shape[1]), a.dtype))
        lead = a.shape[:-2]
        if lead != b.shape[:-2]:
            lead = np.broadcast_shapes(lead, b.shape[:-2])
        return self.gemm.batch(a, b, self.empty((*lead, a.shape[-2], b.shape[-1]), a.dtype))

    def full(self, shape: Shape, value: float, dtype: DType) -> Array:
        out = self.empty(shape, dtype)
        out.fill(value)
        return out

    def sum(self, x: Array, axis: tuple[int, ...], keepdims: bool = False) -> Array:
        if floating(x.dtype) and x.size >= LONG and axis:
            return self.sums.total(x, axis, keepdims)
        return super().sum(x, axis, keepdims)

    def argsort(
        self, x: Array, axis: int, descending: bool = False, ranks: Array | None = None
    ) -> Array:
        return self.order.argsort(x, axis, descending, ranks)

    def take_along(self, x: Array, indices: Array, axis: int) -> Array:
        return self.order.take_along(x, indices, axis)

    def running(self, name: str, x: Array, axis: int, backwards: bool = False) -> Array:
        if x.dtype.kind == "f":
            return self.scan.running(x, name, axis, backwards)
        return super().running(name, x, axis, backwards)

    def running_extrema(self, x: Array, axis: int, largest: bool) -> tuple[Array, Array]:
        if x.dtype.kind in "fi" and x.itemsize >= 4:
            return self.scan.extrema(x, axis, largest)
        return super().running_extrema(x, axis, largest)

    def accumulate(self, name: str, x: Array, axis: int) -> Array:
        return self.scan.accumulate(getattr(np, name), x, axis)

    def memory_in_use(self) -> int:
        return cache.allocated - cache.unused

    def synchronize(self) -> None:
        """Nothing to wait for: CPU work is done when the call returns."""


class _CachedNumPy:
    """NumPy's functions; the elementwise ones (ufuncs) write large results into cached memory."""

    def __getattr__(self, name: str) -> Any:
        function = getattr(np, name)
        if isinstance(function, np.ufunc) and function.nout == 1 and function.nin <= 2:
            function = _cached(function)
        setattr(self, name, function)
        return function


def _cached(ufunc: np.ufunc) -> Any:
    result_dtype: dict[tuple[Any, ...], np.dtype[Any]] = {}

    def in_cached_memory(*operands: Any) -> Any:
        key = tuple(
            x.dtype if isinstance(x, (np.ndarray, np.generic)) else type(x) for x in operands
        )
        dtype = result_dtype.get(key)
        if dtype is None:
            kinds = [np.dtype(bool) if kind is bool else kind for kind in key]
            dtype = result_dtype[key] = ufunc.resolve_dtypes((*kinds, None))[-1]
        return ufunc(*operands, out=cache.empty(np.broadcast(*operands).shape, dtype))

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
