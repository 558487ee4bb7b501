"""Half precision on the CPU: kernels compute in float32 and round their results to float16.

No CPU instruction computes in float16 alone; widening on the way in and rounding once on the way
out is both faster and more exact than Numba's or NumPy's element-wise emulation.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

_HALF, _SINGLE = np.dtype("float16"), np.dtype("float32")


def half(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """Lets a kernel of float32 and float64 take float16, too; its first argument is an array.

    An array in the argument `out` gets the rounded result.
    """

    @functools.wraps(kernel)
    def run(first: Any, *rest: Any, **options: Any) -> Any:
        if first.dtype.char != "e":
            return kernel(first, *rest, **options)
        return in_float32(kernel, first, *rest, **options)

    return run


def in_float32(kernel: Callable[..., Any], *arguments: Any, out: Any = None, **options: Any) -> Any:
    """The result of a kernel in float16, computed by calling it on float32 arrays."""
    wide = {name: _widened(value) for name, value in options.items()}
    result = kernel(*map(_widened, arguments), **wide)
    if out is not None:
        out[...] = result
        return out
    return tuple(map(_rounded, result)) if type(result) is tuple else _rounded(result)


def _widened(value: Any) -> Any:
    is_half = isinstance(value, np.ndarray) and value.dtype == _HALF
    return value.astype(_SINGLE) if is_half else value


def _rounded(value: Any) -> Any:
    is_single = isinstance(value, np.ndarray) and value.dtype == _SINGLE
    with np.errstate(over="ignore"):  # beyond 65504 is Inf, as on a GPU
        return value.astype(_HALF) if is_single else value
