"""CuPy's functions as the CUDA backend has them: elementwise ones of large arrays are kernels here.

CuPy's own read one element at a time, by which they reach half of what a large GPU's memory can do.
Kernels: kernels/elementwise.cu. CPU twins: NumPy's, see gpunet/backend/cpu/elementwise.py.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from gpunet.backend.base import Array
from gpunet.backend.cuda.launch import Family, grid_stride

FLOATS = "fdeE"  # dtypes of the kernels: float32, float64, float16 and bfloat16
BFLOAT16 = "E"  # with a number its result is of float32 to NumPy
ALIASES = {"abs": "absolute"}  # NumPy has two names for it


class LargeCuPy:
    """The functions of a device's array module, with a kernel in place of those that have one.

    As of the CPU's `LargeNumPy`, elementwise functions take their operands and no more.
    """

    def __init__(self, backend: Any):
        self._backend, self._module = backend, backend.gpu.xp

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        function = getattr(self._module, name)
        function = self._backend.elementwise.instead_of(function, ALIASES.get(name, name))
        setattr(self, name, function)
        return function


class Elementwise(Family):
    """Makes functions that choose between a kernel and the array module's own function.

    Attributes:
        least: elements from which a kernel is taken. With fewer, CuPy's own, which have a thread an
            element, fill less than a quarter of the device: to launch them is all that takes time.
    """

    def __init__(self, backend: Any, name: str):
        super().__init__(backend, name)
        self.least = self.limits.processors * self.limits.threads // 4
        # By the bytes of an array, a thread for 16 of them; remembered, for most sizes come again.
        self._grid = functools.lru_cache(4096)(
            lambda nbytes: grid_stride(self.limits, nbytes // 16 + 1)
        )

    def instead_of(self, function: Any, name: str) -> Any:
        """What takes the place of NumPy's `name`: `function` itself if no kernel has that name."""
        kernel = f"{name}_fwd"
        if kernel not in self.signatures:
            return function
        two = any(parameter.name == "y" for parameter in self.signatures[kernel])
        large = self._binary(function, kernel) if two else self._unary(function, kernel)
        large.__name__ = name
        if hasattr(function, "at"):
            large.at = function.at
        return large

    # Most arrays are small, and the way to the array module is short: no loop and no further call.

    def _unary(self, function: Callable[..., Array], name: str) -> Any:
        array, least, span = self.gpu.array, self.least, self.gpu.span

        def unary(x: Any) -> Array:
            if type(x) is not array or x.size < least:
                return function(x)
            if x.dtype.char not in FLOATS or span(x) is None:
                return function(x)
            out = self.like(x)
            self.kernel(name, x.dtype)(*self._grid(x.nbytes), x, out, x.size)
            return out

        return unary

    def _binary(self, function: Callable[..., Array], name: str) -> Any:
        array, least, span = self.gpu.array, self.least, self.gpu.span

        def binary(x: Any, y: Any) -> Array:
            large, other = (x, y) if type(x) is array else (y, x)
            if type(large) is not array or large.size < least:
                return function(x, y)
            dtype, number = large.dtype, 0.0
            if dtype.char not in FLOATS or span(large) is None:
                return function(x, y)
            if type(other) is array:
                if other.dtype != dtype or other.shape != large.shape or span(other) is None:
                    return function(x, y)
            elif (type(other) is float or type(other) is int) and dtype.char != BFLOAT16:
                number = dtype.type(other)  # NumPy, too, rounds it first
                if not number and math.copysign(1, number) < 0:
                    return function(x, y)  # launches remember numbers, and -0 is equal to 0
                x, y = (x, None) if large is x else (None, y)
            else:
                return function(x, y)
            out = self.like(large)
            self.kernel(name, dtype)(*self._grid(large.nbytes), x, y, out, large.size, number)
            return out

        return binary
