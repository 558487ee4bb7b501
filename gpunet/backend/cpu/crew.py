"""How threads hand calls of kernels to each other, in compiled code alone.

A thread that has to wait for Python's lock goes to sleep, and comes back after 50 µs: as long as
many a kernel takes altogether. So in here a call is data: the address of the kernel and its
arguments, an array being an address, a shape and strides. The thread that begins a run writes its
calls down, one after the other (`write`), or in one go where they differ in a range alone
(`spread`). Helpers stand in `serve`, without Python's lock, and make
the calls as they appear; in the end so does the first thread (`finish`).

The board, by which they know of each other, has a number in each cache line:

    GATE     the run that is open to helpers, 0 if none is
    TOTAL    calls of the run; -1 if it is one of functions in Python
    WRITTEN  calls that have been written down
    TAKEN    calls that somebody has taken
    INSIDE   helpers that are in the run, who must have left it before it ends
    FAILED   whether a call ended with an error, which can only be one of memory

and for each helper whether it is ASLEEP, the LOCK that it sleeps on and the last run that it ENDED.
The locks are Python's own, whose functions (at ACQUIRE and RELEASE) need no lock to be called.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from gpunet.backend.base import Array
from gpunet.backend.cpu.jit import Kernel, kernel

LINE = 16  # numbers: two cache lines, since processors fetch them in pairs
GATE, TOTAL, WRITTEN, TAKEN, INSIDE, FAILED, HELPERS = range(0, 7 * LINE, LINE)
CALLS, ACQUIRE, RELEASE = TOTAL + 1, TOTAL + 2, TOTAL + 3  # read with TOTAL, and change as rarely
ASLEEP, LOCK, ENDED = 0, 1, LINE  # behind the place of a helper
PYTHON = -1
CALL = 256  # numbers that a call may take
# Looks for the next run before a helper goes to sleep, some 400 µs: longer than most of what lies
# between two runs of a training step. To wake it takes 30 µs, and 50 more until it is there.
LOOKS = 400_000
MOMENT = 50_000  # looks for the end of a run, some 50 µs

_INT64 = np.dtype("int64")
i64, board = types.int64, types.int64[::1]
I32, I64 = ir.IntType(32), ir.IntType(64)
THUNK = ir.FunctionType(I32, [I64])


def new_board(helpers: int) -> Array:
    """A board with no run; helpers awake, each with a lock that somebody holds."""
    python = ctypes.pythonapi
    python.PyThread_allocate_lock.restype = ctypes.c_void_p
    python.PyThread_acquire_lock.argtypes = ctypes.c_void_p, ctypes.c_int
    on_board = np.zeros(HELPERS + 2 * LINE * helpers, np.int64)
    for at, function in (ACQUIRE, "PyThread_acquire_lock"), (RELEASE, "PyThread_release_lock"):
        on_board[at] = ctypes.cast(getattr(python, function), ctypes.c_void_p).value or 0
    for i in range(helpers):
        lock = python.PyThread_allocate_lock()
        python.PyThread_acquire_lock(lock, 1)
        on_board[place(i) + LOCK] = lock
    return on_board


def place(helper: int) -> int:
    """Where the lines of a helper begin."""
    return HELPERS + 2 * LINE * helper


# --- numbers that several threads read and write


def _number(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
    return builder.gep(data, [arguments[1]])


def _write_look(typing_context, board, i):
    """board[i], read anew; what was written before it is there, too."""

    def generate(*at: Any) -> Any:
        return at[1].load_atomic(_number(*at), "acquire", 8)

    return i64(board, i64), generate


def _write_say(typing_context, board, i, number):
    """board[i] = number, for others to see at once, after all that was written before."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        at = _number(context, builder, signature, arguments)
        builder.store_atomic(arguments[2], at, "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(board, i64, i64), generate


def _write_change(how: str) -> Any:
    def write(typing_context, board, i, number):
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            at = _number(context, builder, signature, arguments)
            return builder.atomic_rmw(how, at, arguments[2], "seq_cst")

        return i64(board, i64, i64), generate

    return intrinsic(write)


look: Any = intrinsic(_write_look)
say: Any = intrinsic(_write_say)
# board[i] += number and board[i] = number; both return what was there before.
add: Any = _write_change("add")
exchange: Any = _write_change("xchg")


# --- calls as data


def _write_make(typing_context, place):
    """Makes the call that was written down at an address; returns 0 unless it ended in an error."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        thunk = builder.load(builder.inttoptr(arguments[0], THUNK.as_pointer().as_pointer()))
        status = builder.call(thunk, [builder.add(arguments[0], I64(8))])
        return builder.sext(status, I64)

    return i64(i64), generate


def _write_down_call(typing_context, place, address, arguments):
    """Writes a call of the kernel at `address` down at `place`, for `_make`.

    A function that reads the arguments back and calls the kernel (the thunk) is generated with it.
    """
    kinds = arguments.types

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        at, address, packed = values
        given = cgutils.unpack_tuple(builder, packed)
        given = [_borrowed(context, builder, *each) for each in zip(kinds, given, strict=True)]
        call = ir.LiteralStructType([THUNK.as_pointer(), I64, *[each.type for each in given]])
        assert context.get_abi_sizeof(call) <= 8 * CALL, f"a call of {signature} has no room"

        name = builder.module.get_unique_name("thunk")
        thunk = ir.Function(builder.module, THUNK, name)
        thunk.linkage = "internal"
        inside = ir.IRBuilder(thunk.append_basic_block())
        start = inside.inttoptr(inside.sub(thunk.args[0], I64(8)), call.as_pointer())
        kernel, *read = [inside.load(_part(inside, start, i)) for i in range(1, 2 + len(given))]
        # Some kernels return a number, which nobody reads: there is room for one of any kind.
        kind = context.call_conv.get_function_type(i64, kinds)
        kernel = inside.inttoptr(kernel, kind.as_pointer())
        status, _ = context.call_conv.call_function(inside, kernel, i64, kinds, read)
        inside.ret(status.code)

        target = builder.inttoptr(at, call.as_pointer())
        for i, value in enumerate((thunk, address, *given)):
            builder.store(value, _part(builder, target, i))
        return context.get_dummy_value()

    return types.void(place, address, arguments), generate


_make: Any = intrinsic(_write_make)
_write_down: Any = intrinsic(_write_down_call)


def _part(builder: Any, struct: Any, i: int) -> Any:
    return builder.gep(struct, [I32(0), I32(i)])


def _borrowed(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    """A value whose arrays do not count who holds them: the caller does until the run has ended."""
    if isinstance(kind, types.BaseTuple):
        parts = zip(kind, cgutils.unpack_tuple(builder, value), strict=True)  # type: ignore[call-overload]
        borrowed = [_borrowed(context, builder, *each) for each in parts]
        return context.make_tuple(builder, kind, borrowed)
    if isinstance(kind, types.Array):
        array = context.make_array(kind)(context, builder, value)
        for owner in ("meminfo", "parent"):
            setattr(array, owner, cgutils.get_null_value(getattr(array, owner).type))
        return array._getvalue()
    return value


def _write(board, address, *arguments):
    written = board[WRITTEN]
    _write_down(board[CALLS] + 8 * CALL * written, address, arguments)
    say(board, WRITTEN, written + 1)


@functools.cache
def _writer(kinds: tuple[Any, ...]) -> Any:
    def signature(_: Any) -> Any:
        return types.void(board, i64, types.Tuple(kinds))

    return Kernel(_write, signature=signature, nogil=False)[_INT64]


def write(function: Any, arguments: tuple[Any, ...]) -> tuple[Any, int]:
    """How to write down calls of a compiled kernel with such arguments.

    Returns:
        `writer, address`: then `writer(board, address, *arguments)` writes down the next one. It
        raises TypeError if the types of arguments are others.
    """
    kinds, address = _compiled(function, arguments)
    return _writer(kinds), address


def spread(function: Any, front: int, arguments: tuple[Any, ...]) -> tuple[Any, int]:
    """How to make a whole run of calls of a kernel that differ in two numbers alone.

    These stand behind the first `front` of the arguments.

    Returns:
        `spreader, address`: then `spreader(board, number, helpers, address, edges, *arguments)`
        opens run `number`, writes down a call for each two neighbours in `edges`, and does what
        `finish` does. It raises TypeError if the types of arguments are others.
    """
    numbers = np.int64(0), np.int64(0)
    kinds, address = _compiled(function, (*arguments[:front], *numbers, *arguments[front:]))
    return _spreader(front, (*kinds[:front], *kinds[front + 2 :])), address


def _compiled(function: Any, arguments: tuple[Any, ...]) -> tuple[tuple[Any, ...], int]:
    """The types that a kernel takes such arguments as, and its address."""
    kinds = tuple([function.typeof_pyval(argument) for argument in arguments])
    if not function._can_compile:  # a kernel with a signature of its own, which they must fit
        (kinds,) = function.overloads
    elif kinds not in function.overloads:
        function.compile(kinds)
    compiled = function.overloads[kinds]
    assert isinstance(compiled.signature.return_type, types.Number | types.NoneType)
    return kinds, compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)


# --- a run


@kernel(inline=True)
def _make_calls(board):
    """Makes calls until all are taken."""
    while True:
        mine = add(board, TAKEN, 1)
        while look(board, WRITTEN) <= mine:
            if look(board, TOTAL) <= mine:
                return
        if _make(board[CALLS] + 8 * CALL * mine):
            say(board, FAILED, 1)


@kernel(signature=lambda _: types.void(board, i64, i64, i64), nogil=False)
def begin(board, number, total, helpers):
    """Opens run `number` and wakes so many helpers, if they are asleep."""
    board[TOTAL] = total
    board[WRITTEN] = 0
    board[TAKEN] = 0
    board[FAILED] = 0
    say(board, GATE, number)
    for i in range(helpers):
        at = HELPERS + 2 * LINE * i
        if look(board, at + ASLEEP) and exchange(board, at + ASLEEP, 0):
            _release(board[RELEASE], board[at + LOCK])


@kernel(signature=lambda _: types.boolean(board))
def finish(board):
    """Makes what calls are left and closes the run; returns whether all helpers have left it.

    If not, soon, it must be called again.
    """
    if look(board, GATE):
        _make_calls(board)
        say(board, GATE, 0)
    for _ in range(MOMENT):
        if look(board, INSIDE) == 0:
            return True
    return False


def _spread(board, number, helpers, address, edges, *arguments):
    begin(board, number, edges.size - 1, helpers)
    for i in range(edges.size - 1):
        # Numba knows no `*` inside a tuple.
        cut = edges[i], edges[i + 1]
        call = arguments[:FRONT] + cut + arguments[FRONT:]  # type: ignore[name-defined]  # noqa: F821
        _write_down(board[CALLS] + 8 * CALL * i, address, call)
        say(board, WRITTEN, i + 1)
    return finish(board)


@functools.cache
def _spreader(front: int, kinds: tuple[Any, ...]) -> Any:
    def signature(_: Any) -> Any:
        return types.boolean(board, i64, i64, i64, i64[::1], types.Tuple(kinds))

    name, front_of = f"spread_{front}", {"FRONT": front}
    return Kernel(_spread, name=name, bindings=front_of, signature=signature)[_INT64]


@kernel(signature=lambda _: i64(board, i64, i64))
def serve(board, at, ended):
    """What a helper does: its part of all runs after `ended`.

    Returns:
        The number of the next run that is one of functions in Python.
    """
    say(board, at + ENDED, ended)
    left = LOOKS
    while True:
        number = look(board, GATE)
        if number > ended:
            add(board, INSIDE, 1)
            still_open = look(board, GATE) == number
            python = board[TOTAL] == PYTHON
            if still_open and not python:
                _make_calls(board)
            add(board, INSIDE, -1)
            if still_open and python:
                return number
            ended = number
            left = LOOKS
        elif left > 0:
            left -= 1
        else:
            exchange(board, at + ASLEEP, 1)
            # Who opens a run now sees that; one opened just before is seen here.
            if look(board, GATE) <= ended or not exchange(board, at + ASLEEP, 0):
                _acquire(board[ACQUIRE], board[at + LOCK])
            left = LOOKS


@kernel(signature=lambda _: types.void(board, i64, i64))
def wait(board, at, number):
    """Returns when a helper has ended run `number`, or in a moment."""
    for _ in range(MOMENT):
        if look(board, at + ENDED) >= number:
            break


def _lock_function(*more: Any) -> Any:
    def write(typing_context, function, lock):
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            kind = ir.FunctionType(I32, [I64, *[value.type for value in more]])
            builder.call(builder.inttoptr(values[0], kind.as_pointer()), [values[1], *more])
            return context.get_dummy_value()

        return types.void(i64, i64), generate

    return intrinsic(write)


_acquire: Any = _lock_function(I32(1))  # and wait for it
_release: Any = _lock_function()
