"""Which memory was overwritten, and when: an old graph must not differentiate with new values.

Operations keep raw arrays. Somebody may write into one of them before the backward pass (a
parameter that an optimizer moved, `x.zero_()`), and the gradient would then silently be that of
other values. So every recorded operation and every write takes the next number of one clock; where
an operation is older than a write into memory that it reads, the backward pass is refused. Writes
are rare, and operations younger than the last one are not even looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import count
from typing import Any
from weakref import ref

from gpunet.backend import Array
from gpunet.errors import ArgumentError, GradError

clock = count(1)
_written: dict[int, tuple[ref[Any], int]] = {}  # by id of the owner: (it, time of its last write)
last_write = 0
_PLAIN = frozenset({type(None), bool, int, float, str})  # what else operations keep


def owner(array: Array) -> Array:
    """The array whose memory a view shows; the array itself if it has its own."""
    kind = type(array)
    while array.base is not None:
        # NumPy's `as_strided` puts an object of its own between a view and its array.
        base = array.base if type(array.base) is kind else getattr(array.base, "base", None)
        if type(base) is not kind:
            break
        array = base
    return array


def check_writable(operation: str, array: Array) -> None:
    """Refuses to write where elements share memory, as in an expanded view.

    Raises:
        ArgumentError: naming the operation.
    """
    if 0 in array.strides:
        for n, stride in zip(array.shape, array.strides, strict=True):
            if n > 1 and stride == 0:
                raise ArgumentError(
                    operation,
                    "must not write into a tensor whose elements share memory, "
                    f"got strides {array.strides} for shape {array.shape}",
                    "write into x.clone()",
                )


def written(arrays: Iterable[Array]) -> None:
    """Notes that the values of these arrays have just been overwritten."""
    global last_write
    last_write = now = next(clock)
    for array in arrays:
        it = owner(array)
        key = id(it)
        known = _written.get(key)
        _written[key] = known[0] if known else ref(it, _forgetting(key)), now


def _forgetting(key: int) -> Callable[[Any], None]:
    """Drops the entry of an array that dies: a later one of the same id is not taken for it."""

    def forget(_: Any) -> None:
        _written.pop(key, None)

    return forget


def check(op: Any) -> None:
    """Refuses to differentiate an operation that reads, or showed a view of, what was overwritten.

    Raises:
        GradError: naming the operation and the shape of the array.
    """
    if op.view is not None and _written.get(op.view, (None, 0))[1] > op.order:
        _refuse(op, "the array that it shows a part of")
    for array in arrays_of(op.saved):
        it = array if array.base is None else owner(array)
        if _written.get(id(it), (None, 0))[1] > op.order:
            _refuse(op, f"an array of shape {array.shape}, which its gradient needs,")


def _refuse(op: Any, what: str) -> None:
    raise GradError(
        "backward",
        f"the values that {op.name} was computed from must still be there, "
        f"but {what} has been overwritten since",
        "compute the result anew after a write or an optimizer step, or write into a copy",
    )


def arrays_of(saved: Any) -> Iterable[Array]:
    """The arrays among what an operation keeps; operations inside it (a fused one) included."""
    waiting = [saved]
    while waiting:
        part = waiting.pop()
        if type(part) in _PLAIN:
            continue
        if isinstance(part, (tuple, list)):
            waiting += part
        elif hasattr(part, "base"):
            yield part
        elif hasattr(part, "saved"):
            waiting.append(part.saved)
