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
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from gpunet.backend.base import Array
from gpunet.backend.cpu import share as sharing
from gpunet.backend.cpu.half import in_float32
from gpunet.backend.cpu.jit import FAST_SUM, Kernel, T, kernel
from gpunet.backend.cpu.memory import cache
from gpunet.backend.dtypes import HALVES

RUN = 2048  # elements that go through the L1 cache together
BLOCK = 8 * RUN  # elements in one partial sum
float64 = np.float64


def _write_pointer(typing_context, array, i):
    def write(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        data = context.make_array(array)(context, builder, values[0]).data
        return builder.gep(data, [values[1]])

    return types.CPointer(array.dtype)(array, i), write


def _write_call(typing_context, function, gy, x, out, n, parameters):
    def write(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [value.type for value in values[1:]])
        builder.call(builder.inttoptr(values[0], kind.as_pointer()), values[1:])
        return context.get_dummy_value()

    return types.void(function, gy, x, out, n, parameters), write


# `_at(array, i)` points to element i; loops over pointers take less time to compile than over
# slices. `_call(function, ...)` calls a formula's loop by its address.
_at: Any = intrinsic(_write_pointer)
_call: Any = intrinsic(_write_call)


@kernel
def _sweep(function, gy, x, bias, out, in_place, columns, start, stop, parameters):
    """out = f(gy, x + bias) for the rows from `start` to `stop`, of `columns` elements each."""
    start, stop = start * columns, stop * columns
    b, p = _at(bias, 0), _at(parameters, 0)
    if bias.size == 0 and not in_place:
        _call(function, _at(gy, start), _at(x, start), _at(out, start), stop - start, p)
        return
    run = columns * max(1, RUN // columns)
    memory = np.empty(run, T)
    for first in range(start, stop, run):
        # Asked for anew each time: Numba frees an array after its last use by name.
        prepared = _at(memory, 0)
        n = min(run, stop - first)
        x_run = _at(x, first)
        if bias.size == 0:
            for j in range(n):
                prepared[j] = x_run[j]
        else:
            for row in range(0, n, columns):
                for j in range(columns):
                    prepared[row + j] = x_run[row + j] + b[j]
        _call(function, _at(gy, first), prepared, _at(out, first), n, p)


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
    `out` may be `x` itself.
    """
    loop = _in_loop(_forward_loop, formula, 1)

    def run(
        x: Array, *parameters: float, bias: Array | None = None, out: Array | None = None
    ) -> Array:
        if x.dtype.char in HALVES:
            return in_float32(run, x, *parameters, bias=bias, out=out)
        if out is None:
            out = cache.empty(x.shape, x.dtype)
        _run(loop, x, x, bias, out, parameters)
        return out

    return _named(run, formula)


def backward(formula: Callable[..., Any]) -> Callable[..., Array]:
    """Makes `name(gy, kept, *parameters, bias=None)`: gx = f(gy, kept + bias) over arrays.

    `kept` is what the forward pass kept, the input (then with the bias of the forward pass) or the
    output.
    """
    loop = _in_loop(_backward_loop, formula, 2)

    def run(gy: Array, kept: Array, *parameters: float, bias: Array | None = None) -> Array:
        if gy.dtype.char in HALVES:
            return in_float32(run, gy, kept, *parameters, bias=bias)
        gx = cache.empty(gy.shape, gy.dtype)
        _run(loop, gy, kept, bias, gx, parameters)
        return gx

    return _named(run, formula)


def pair(formula: Callable[..., Any]) -> Callable[..., Array]:
    """Makes `name(x, y, *parameters, total=False)`: f(x, y), or the sum of it over all elements.

    `x` and `y` are C-contiguous, alike, and float32 or float64.
    """
    loop = _in_loop(_backward_loop, formula, 2)

    def run(x: Array, y: Array, *parameters: float, total: bool = False) -> Array:
        if total:
            return _total(loop, x, y, parameters)
        out = cache.empty(x.shape, x.dtype)
        _run(loop, x, y, None, out, parameters)
        return out

    return _named(run, formula)


@kernel(fastmath=FAST_SUM)
def _sweep_sums(function, x, y, sums, start, stop, parameters):
    """sums[i] = Σ f(x, y) over block i; what is added up stays in the L1 cache."""
    p = _at(parameters, 0)
    memory = np.empty(RUN, T)
    for block in range(start, stop):
        total = float64(0)
        for first in range(block * BLOCK, min(x.size, (block + 1) * BLOCK), RUN):
            n = min(RUN, x.size - first)
            _call(function, _at(x, first), _at(y, first), _at(memory, 0), n, p)
            part = float64(0)
            for i in range(n):
                part += float64(memory[i])
            total += part
        sums[block] = total


def _total(loop: Kernel, x: Array, y: Array, parameters: tuple[float, ...]) -> Array:
    dtype, blocks = x.dtype, -(-x.size // BLOCK) or 1
    sums = np.empty(blocks)
    arrays = loop[dtype].address, x.ravel(), y.ravel(), sums  # type: ignore[attr-defined]
    sharing.share(_sweep_sums[dtype], arrays, blocks, BLOCK, dtype, _array(dtype, parameters))
    return np.asarray(sums.sum() if blocks > 1 else sums[0], dtype)


def _run(
    loop: Kernel, gy: Array, x: Array, bias: Array | None, out: Array, parameters: tuple[float, ...]
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
    arguments = loop[dtype].address, *flat, out is x, columns  # type: ignore[attr-defined]
    # What is shared out is told by `share`, too, which is a call more.
    if size < sharing.WORTHWHILE[dtype]:
        _sweep[dtype](*arguments, 0, rows, numbers)
    else:
        sharing.share(_sweep[dtype], arguments, rows, columns, dtype, numbers)


@functools.lru_cache(maxsize=256)
def _array(dtype: Any, numbers: tuple[float, ...]) -> Array:
    return np.array(numbers, dtype)


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
