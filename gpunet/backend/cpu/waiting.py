"""How threads wait for each other awake, for a moment, before they go to sleep.

A core that has gone to sleep takes 20 to 50 µs to come back, as long as many a run of `threads.py`
takes altogether, while the thread it waits for is most often ready in less. So both sides say which
run they have begun or ended, and watch what the other says, without Python's lock. Nothing but time
depends on that: whoever has watched still takes the lock that it would have slept on.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from gpunet.backend.base import Array
from gpunet.backend.cpu.jit import kernel

BEGUN, ENDED = 0, 16  # where the numbers of runs stand: in cache lines of their own
LOOKS = 50_000  # 30 to 70 µs: longer than the Python code between two operations of a model

i64, board = types.int64, types.int64[::1]


def new_board() -> Array:
    """Says that no run has begun."""
    return np.zeros(2 * ENDED, np.int64)


def _write_look(typing_context, board, i):
    """board[i], read anew."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.load_atomic(builder.gep(data, arguments[1:]), "monotonic", 8)

    return i64(board, i64), generate


def _write_say(typing_context, board, i, number):
    """board[i] = number, for others to see at once."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        board, i, number = arguments
        data = context.make_array(signature.args[0])(context, builder, board).data
        builder.store_atomic(number, builder.gep(data, [i]), "monotonic", 8)
        return context.get_dummy_value()

    return types.void(board, i64, i64), generate


_look: Any = intrinsic(_write_look)
_say: Any = intrinsic(_write_say)


@kernel(signature=lambda _: types.void(board, i64))
def for_end(board, number):
    """Returns when run `number` has ended, or in a moment."""
    for _ in range(LOOKS):
        if _look(board, ENDED) >= number:
            break


@kernel(signature=lambda _: types.void(board, i64))
def for_next(board, number):
    """Says that run `number` has ended; returns when the next has begun, or in a moment."""
    # In here, where this thread has given up Python's lock, since the other will take it.
    _say(board, ENDED, number)
    for _ in range(LOOKS):
        if _look(board, BEGUN) > number:
            break
