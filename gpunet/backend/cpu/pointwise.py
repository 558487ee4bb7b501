"""Puts scalar formulas into loops: `y = f(x + bias)` and its backward pass, one memory sweep each.

    @forward
    def relu_fwd(x):
        return max(x, 0.0)

    @backward
    def relu_bwd(gy, y):
        return gy if y > 0.0 else 0.0

makes `relu_fwd(x, bias=None, out=None)` and `relu_bwd(gy, y, bias=None)` over arrays. Parameters of
the formula (a slope, say) follow its arrays and become further arguments:
`elu_fwd(x, alpha, bias=None)`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpunet.backend.base import Array
from gpunet.backend.cpu.half import half
from gpunet.backend.cpu.jit import Kernel
from gpunet.backend.cpu.memory import cache

_NO_BIAS = {np.dtype(name): np.empty(0, name) for name in ("float32", "float64")}


def _forward_loop(x, bias, y, *parameters):
    if bias.size == 0:
        for i in range(x.size):
            y[i] = f(x[i], *parameters)  # type: ignore[name-defined]  # noqa: F821
    else:
        for start in range(0, x.size, bias.size):
            x_row, y_row = x[start : start + bias.size], y[start : start + bias.size]
            for j in range(bias.size):
                y_row[j] = f(x_row[j] + bias[j], *parameters)  # type: ignore[name-defined]  # noqa: F821


def _backward_loop(gy, kept, bias, gx, *parameters):
    if bias.size == 0:
        for i in range(gy.size):
            gx[i] = f(gy[i], kept[i], *parameters)  # type: ignore[name-defined]  # noqa: F821
    else:
        for start in range(0, gy.size, bias.size):
            stop = start + bias.size
            gy_row, kept_row, gx_row = gy[start:stop], kept[start:stop], gx[start:stop]
            for j in range(bias.size):
                gx_row[j] = f(gy_row[j], kept_row[j] + bias[j], *parameters)  # type: ignore[name-defined]  # noqa: F821


def forward(formula: Callable[..., Any]) -> Callable[..., Array]:
    """Makes `name(x, *parameters, bias=None, out=None)`: y = f(x + bias) over arrays.

    `x` is C-contiguous, float32 or float64; `bias`, if given, has the length of the last axis.
    `out` may be `x` itself.
    """
    kernel = _in_loop(_forward_loop, formula)

    def run(
        x: Array, *parameters: float, bias: Array | None = None, out: Array | None = None
    ) -> Array:
        dtype = x.dtype
        if out is None:
            out = cache.empty(x.shape, dtype)
        b = _NO_BIAS[dtype] if bias is None else bias
        kernel[dtype](x.reshape(-1), b, out.reshape(-1), *map(dtype.type, parameters))
        return out

    return half(_named(run, formula))


def backward(formula: Callable[..., Any]) -> Callable[..., Array]:
    """Makes `name(gy, kept, *parameters, bias=None)`: gx = f(gy, kept + bias) over arrays.

    `kept` is what the forward pass kept, the input (then with the bias of the forward pass) or the
    output.
    """
    kernel = _in_loop(_backward_loop, formula)

    def run(gy: Array, kept: Array, *parameters: float, bias: Array | None = None) -> Array:
        dtype = gy.dtype
        gx = cache.empty(gy.shape, dtype)
        b = _NO_BIAS[dtype] if bias is None else bias
        parameters = map(dtype.type, parameters)  # type: ignore[assignment]
        kernel[dtype](gy.reshape(-1), kept.reshape(-1), b, gx.reshape(-1), *parameters)
        return gx

    return half(_named(run, formula))


def _in_loop(loop: Callable[..., Any], formula: Callable[..., Any]) -> Kernel:
    scalar = Kernel(formula, inline=True)
    return Kernel(loop, name=formula.__name__, bindings={"f": scalar})


def _named(run: Callable[..., Array], formula: Callable[..., Any]) -> Callable[..., Array]:
    run.__name__, run.__doc__, run.__module__ = (
        formula.__name__,
        formula.__doc__,
        formula.__module__,
    )
    return run
