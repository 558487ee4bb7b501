"""Puts scalar formulas into loops: `y = f(x + bias)` and its backward pass, one memory sweep each.

    @forward
    def relu_fwd(x):
        return max(x, 0.0)

    @backward
    def relu_bwd(gy, y):
        return gy if y > 0.0 else 0.0

makes `relu_fwd(x, bias=None, out=None)` and `relu_bwd(gy, y, bias=None)` over arrays. Parameters of
the formula (a slope, say) follow its arrays and become further arguments:
`leaky_relu_fwd(x, negative_slope, bias=None)`. `@pair` makes `mse_fwd(x, y, total=False)` of a
formula of two arrays.

A formula is compiled into a bare loop over pointers and nothing else, since compiling is what a
first run waits for. All else is written once, in `_sweep`. Where there is a bias, or the result
takes the place of x, it copies a run of x + bias into memory of its own, which stays in the L1
cache: so the formula's loop never writes what it reads, and becomes vector code. Large arrays are
shared out over the threads, in pieces that do not depend on how many there are.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types

from gpunet.backend.base import Array
from gpunet.backend.cpu import matrix_vector, scalar
from gpunet.backend.cpu import share as sharing
from gpunet.backend.cpu.half import in_float32
from gpunet.backend.cpu.jit import FAST_SUM, Kernel, T, kernel
from gpunet.backend.cpu.memory import cache
from gpunet.backend.cpu.pointers import at, call
from gpunet.backend.dtypes import HALVES

COST = 4  # of a formula with a function of `scalar`, see `share`
RUN = 2048  # elements that go through the L1 cache together
BLOCK = 8 * RUN  # elements in one partial sum
float64 = np.float64


@kernel
def _sweep(function, gy, x, bias, out, in_place, columns, start, stop, parameters):
    """out = f(gy, x + bias) for the rows from `start` to `stop`, of `columns` elements each."""
    start, stop = start * columns, stop * columns
    b, p = at(bias, 0), at(parameters, 0)
    if bias.size == 0 and not in_place:
        call(function, at(gy, start), at(x, start), at(out, start), stop - start, p)
        return
    run = columns * max(1, RUN // columns)
    memory = np.empty(run, T)
    for first in range(start, stop, run):
        # Asked for anew each time: Numba frees an array after its last use by name.
        prepared = at(memory, 0)
        n = min(run, stop - first)
        x_run = at(x, first)
        if bias.size == 0:
            for j in range(n):
                prepared[j] = x_run[j]
        else:
            for row in range(0, n, columns):
                for j in range(columns):
                    prepared[row + j] = x_run[row + j] + b[j]
        call(function, at(gy, first), prepared, at(out, first), n, p)


def _forward_loop(gy, x, y, n, p):
    parameters = taken(p)  # type: ignore[name-defined]  # noqa: F821
    for i in range(n):
        y[i] = f(x[i], *parameters)  # type: ignore[name-defined]  # noqa: F821


def _backward_loop(gy, kept, gx, n, p):
    parameters = taken(p)  # type: ignore[name-defined]  # noqa: F821
    for i in range(n):
        gx[i] = f(gy[i], kept[i], *parameters)  # type: ignore[name-defined]  # noqa: F821


def _loop_signature(dtype: Any) -> Any:
    pointer = types.CPointer(dtype)
    return types.void(pointer, pointer, pointer, types.int64, pointer)


@kernel(inline=True)
def _take_0(p):
    return ()


@kernel(inline=True)
def _take_1(p):
    return (p[0],)


@kernel(inline=True)
def _take_2(p):
    return p[0], p[1]


@kernel(inline=True)
def _take_3(p):
    return p[0], p[1], p[2]


_TAKE = (_take_0, _take_1, _take_2, _take_3)


def forward(formula: Callable[..., Any]) -> Callable[..., Array]:
    """Makes `name(x, *parameters, bias=None, out=None)`: y = f(x + bias) over arrays.

    `x` is C-contiguous, float32 or float64; `bias`, if given, has the length of the last axis.
    `out` may be `x` itself. A pair (x, w) for `x` stands for x·wᵀ, and `out` is made then.
    """
    loop, cost = _in_loop(_forward_loop, formula, 1), _cost(formula)

    def run(
        x: Array, *parameters: float, bias: Array | None = None, out: Array | None = None
    ) -> Array:
        if type(x) is tuple:
            rows, w = x
            dtype = w.dtype
            b = _array(dtype, ()) if bias is None else bias
            numbers = _array(dtype, parameters)
            return matrix_vector.pointwise(loop[dtype].address, rows, w, b, numbers)
        if x.dtype.char in HALVES:
            return in_float32(run, x, *parameters, bias=bias, out=out)
        if out is None:
            out = cache.empty(x.shape, x.dtype)
        _run(loop, cost, x, x, bias, out, parameters)
        return out

    return _named(run, formula)


def backward(formula: Callable[..., Any]) -> Callable[..., Array]:
    """Makes `name(gy, kept, *parameters, bias=None)`: gx = f(gy, kept + bias) over arrays.

    `kept` is what the forward pass kept, the input (then with the bias of the forward pass) or the
    output.
    """
    loop, cost = _in_loop(_backward_loop, formula, 2), _cost(formula)

    def run(gy: Array, kept: Array, *parameters: float, bias: Array | None = None) -> Array:
        if gy.dtype.char in HALVES:
            return in_float32(run, gy, kept, *parameters, bias=bias)
        gx = cache.empty(gy.shape, gy.dtype)
        _run(loop, cost, gy, kept, bias, gx, parameters)
        return gx

    return _named(run, formula)


def pair(formula: Callable[..., Any]) -> Callable[..., Array]:
    """Makes `name(x, y, *parameters, total=False)`: f(x, y), or the sum of it over all elements.

    `x` and `y` are C-contiguous, alike, and float32 or float64.
    """
    loop, cost = _in_loop(_backward_loop, formula, 2), _cost(formula)

    def run(x: Array, y: Array, *parameters: float, total: bool = False) -> Array:
        if total:
            return _total(loop, x, y, parameters)
        out = cache.empty(x.shape, x.dtype)
        _run(loop, cost, x, y, None, out, parameters)
        return out

    return _named(run, formula)


@kernel(fastmath=FAST_SUM)
def _sweep_sums(function, x, y, sums, start, stop, parameters):
    """sums[i] = Σ f(x, y) over block i; what is added up stays in the L1 cache."""
    p = at(parameters, 0)
    memory = np.empty(RUN, T)
    for block in range(start, stop):
        total = float64(0)
        for first in range(block * BLOCK, min(x.size, (block + 1) * BLOCK), RUN):
            n = min(RUN, x.size - first)
            call(function, at(x, first), at(y, first), at(memory, 0), n, p)
            part = float64(0)
            for i in range(n):
                part += float64(memory[i])
            total += part
        sums[block] = total


def _total(loop: Kernel, x: Array, y: Array, parameters: tuple[float, ...]) -> Array:
    dtype, blocks = x.dtype, -(-x.size // BLOCK) or 1
    sums = np.empty(blocks)
    arrays = loop[dtype].address, x.ravel(), y.ravel(), sums
    sharing.share(_sweep_sums[dtype], arrays, blocks, BLOCK, dtype, _array(dtype, parameters))
    return np.asarray(sums.sum() if blocks > 1 else sums[0], dtype)


def _run(
    loop: Kernel,
    cost: int,
    gy: Array,
    x: Array,
    bias: Array | None,
    out: Array,
    parameters: tuple[float, ...],
) -> None:
    dtype, size = out.dtype, out.size
    numbers = nothing = _array(dtype, ())
    if parameters:
        numbers = _array(dtype, parameters)
    if bias is None:
        columns, rows, bias = 1, size, nothing
    else:
        columns = bias.size or 1
        rows = size // columns
    # A view by `ravel` is quicker than one by `reshape`: small networks live on microseconds.
    x_flat = x.ravel()
    flat = x_flat if gy is x else gy.ravel(), x_flat, bias, out.ravel()
    arguments = loop[dtype].address, *flat, out is x, columns
    # What is shared out is told by `share`, too, which is a call more.
    if size * cost < sharing.WORTHWHILE[dtype]:
        _sweep[dtype](*arguments, 0, rows, numbers)
    else:
        sharing.share(_sweep[dtype], arguments, rows, columns, dtype, numbers, cost=cost)


@functools.lru_cache(maxsize=256)
def _array(dtype: Any, numbers: tuple[float, ...]) -> Array:
    return np.array(numbers, dtype)


def _cost(formula: Any) -> int:
    """About how often as much time as one of a simple formula, see `share`."""
    return COST if set(formula.__code__.co_names) & vars(scalar).keys() else 1


def _in_loop(loop: Callable[..., Any], formula: Any, arrays: int) -> Kernel:
    names = {
        "f": Kernel(formula, inline=True),
        "taken": _TAKE[formula.__code__.co_argcount - arrays],
    }
    name = formula.__name__
    return Kernel(loop, name=name, bindings=names, signature=_loop_signature, pointer=True)


def _named(run: Callable[..., Array], formula: Callable[..., Any]) -> Callable[..., Array]:
    run.__name__, run.__doc__, run.__module__ = (
        formula.__name__,
        formula.__doc__,
        formula.__module__,
    )
    return run
