"""Pointers to elements, calls by address (see pointwise.py) and prefetches, inside kernels."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic


def _write_pointer(typing_context, array, i):
    def write(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        data = context.make_array(array)(context, builder, values[0]).data
        return builder.gep(data, [values[1]])

    return types.CPointer(array.dtype)(array, i), write


def _write_fetch(typing_context, array, i):
    def write(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        data = context.make_array(array)(context, builder, values[0]).data
        place = builder.gep(data, [values[1]])
        read, keep, is_data = (ir.IntType(32)(flag) for flag in (0, 3, 1))
        kinds = [place.type, read.type, keep.type, is_data.type]
        kind = ir.FunctionType(ir.VoidType(), kinds)
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", [place.type], kind)
        builder.call(prefetch, [place, read, keep, is_data])
        return context.get_dummy_value()

    return types.void(array, i), write


def _write_call(typing_context, function, gy, x, out, n, parameters):
    def write(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [value.type for value in values[1:]])
        builder.call(builder.inttoptr(values[0], kind.as_pointer()), values[1:])
        return context.get_dummy_value()

    return types.void(function, gy, x, out, n, parameters), write


# `at(array, i)` points to element i; loops over pointers take less time to compile than over
# slices. `call(function, ...)` calls a formula's loop by its address. `fetch(array, i)` asks for
# the cache line of element i, which will be read soon, and may lie beyond the array's end.
at: Any = intrinsic(_write_pointer)
fetch: Any = intrinsic(_write_fetch)
call: Any = intrinsic(_write_call)
