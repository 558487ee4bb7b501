"""CPU backend: NumPy arrays on cached memory, BLAS for matrix products, Numba for fused kernels.

Numba is imported by the kernel families, on the first use of a kernel, never by `import gpunet`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpunet.backend.base import Array, Backend, DType, Shape
from gpunet.backend.cpu.elementwise import LargeNumPy
from gpunet.backend.cpu.memory import SMALL, cache
from gpunet.backend.cpu.moving import assign, write
from gpunet.backend.cpu.share import PLAIN
from gpunet.backend.dtypes import HALVES, floating

# A product of up to so many rows is formed in the kernel that takes it, which reads the weights as
# they lie, once. Of more rows packing them pays.
FEW = 4
LONG = 1 << 14  # elements; NumPy's sums of more lose digits, and time


def _few(x: Array, w: Array) -> bool:
    """Whether x·wᵀ is formed in the kernel that takes it."""
    fits = x.shape[0] <= FEW and x.dtype.char not in HALVES
    return fits and x.flags.c_contiguous and w.flags.c_contiguous


def _one_pass(q: Array, v: Array) -> bool:
    """Whether there is a kernel of attention from the scores to the results."""
    return q.ndim <= 4 and q.size > 0 and v.size > 0 and q.dtype.char not in HALVES


class CPUBackend(Backend):
    """See `Backend`; arrays are `numpy.ndarray`."""

    device = "cpu"
    package = __name__

    def __init__(self) -> None:
        self.xp = LargeNumPy()
        self.empty = cache.empty  # type: ignore[method-assign]  # spares a call on the hottest path

    def empty(self, shape: Shape, dtype: DType) -> Array:
        return cache.empty(shape, dtype)

    def asarray(self, values: Any, dtype: DType | None = None) -> Array:
        return np.asarray(values, dtype)

    def to_host(self, array: Array) -> Any:
        return array

    def copy(self, array: Array) -> Array:
        if array.nbytes < SMALL:
            copy = array.copy()
            return copy if type(copy) is np.ndarray else np.asarray(copy)  # of a NumPy scalar
        return self.cast(array, array.dtype)

    def cast(self, array: Array, dtype: DType) -> Array:
        out = self.empty(array.shape, dtype)
        if out.size < PLAIN:
            assign(out, array)
        else:
            write((out, array))
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
            if a.shape[0] <= FEW and _few(a, b.T):
                return self.activation.identity_fwd((a, b.T))  # to the bit what `product` leads to
            return self.gemm.gemm(a, b, self.empty((a.shape[0], b.shape[1]), a.dtype))
        lead = a.shape[:-2]
        if lead != b.shape[:-2]:
            lead = np.broadcast_shapes(lead, b.shape[:-2])
        return self.gemm.batch(a, b, self.empty((*lead, a.shape[-2], b.shape[-1]), a.dtype))

    def product(self, x: Array, w: Array) -> Any:
        return (x, w) if _few(x, w) else self.matmul(x, w.T)

    def linear(self, x: Array, w: Array, bias: Array) -> Array:
        if _few(x, w) or x.dtype.char in HALVES:
            return super().linear(x, w, bias)
        return self.gemm.gemm(x, w.T, self.empty((x.shape[0], w.shape[0]), x.dtype), bias)

    def linear_bwd(
        self, gz: Array, x: Array, w: Array, needs: Sequence[bool]
    ) -> tuple[Array | None, ...]:
        large = gz.size * x.shape[1] >= self.gemm.SHARED_WORK and min(*gz.shape, x.shape[1]) > 1
        if not large or gz.dtype.char in HALVES:
            return super().linear_bwd(gz, x, w, needs)
        gz = self.contiguous(gz)
        likes = zip((x, w, w[:, 0]), needs, strict=True)
        gradients: list[Any] = [self.empty(y.shape, y.dtype) if n else None for y, n in likes]
        gx, gw, gb = gradients

        products = [each for each in ((gz, w, gx), (gz.T, x, gw)) if each[-1] is not None]
        # One run of the threads instead of three: nobody waits for the end of one of them.
        self.gemm.share(products, others=[] if gb is None else self.sums.column_tasks(gz, gb))
        return gx, gw, gb

    def attend(self, q: Array, k: Array, v: Array, out: Array, scale: float, first: int) -> Any:
        if not _one_pass(q, v):
            return super().attend(q, k, v, out, scale, first)
        return self.attention.attention_fwd(q, k, v, out, scale, first)

    def attend_bwd(
        self,
        gy: Array,
        operands: tuple[Array, Array, Array],
        gradients: tuple[Array, Array, Array],
        scale: float,
        first: int,
        kept: Any,
    ) -> None:
        if _one_pass(operands[0], operands[2]):
            self.attention.attention_bwd(gy, *operands, *gradients, scale, first, kept)
        else:
            super().attend_bwd(gy, operands, gradients, scale, first, kept)

    def full(self, shape: Shape, value: float, dtype: DType) -> Array:
        out = self.empty(shape, dtype)
        if out.size < PLAIN:
            out.fill(value)
        else:
            write((out, value))
        return out

    def concatenate(self, arrays: Sequence[Array], axis: int) -> Array:
        if sum([x.size for x in arrays]) < PLAIN:
            return super().concatenate(arrays, axis)
        ends = np.cumsum([x.shape[axis] for x in arrays])
        shape = list(arrays[0].shape)
        shape[axis] = int(ends[-1])
        out = self.empty(tuple(shape), arrays[0].dtype)
        write(*zip(np.split(out, ends[:-1], axis), arrays, strict=True))
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
