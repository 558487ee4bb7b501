"""Whether operations are recorded for the backward pass, or watched: switches of each thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ContextDecorator, contextmanager
from typing import Any


class _Mode(threading.local):
    recording = True
    watcher: Any = None  # looks at every operation's results; see `watching`


mode = _Mode()


class _Recording(ContextDecorator):
    def __init__(self, recording: bool):
        self._recording = recording
        self._before: list[bool] = []

    def __enter__(self) -> None:
        self._before.append(mode.recording)
        mode.recording = self._recording

    def __exit__(self, *_: object) -> None:
        mode.recording = self._before.pop()


def no_grad() -> _Recording:
    """Inside `with no_grad():`, or a function under `@no_grad()`, nothing is recorded or kept.

    >>> import gpunet
    >>> x = gpunet.tensor([1.0], requires_grad=True)
    >>> with gpunet.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """
    return _Recording(False)


def enable_grad() -> _Recording:
    """Records again inside a `no_grad` block."""
    return _Recording(True)


def set_grad_enabled(mode: bool) -> _Recording:
    """`enable_grad()` or `no_grad()`, by a value."""
    return _Recording(mode)


def is_grad_enabled() -> bool:
    """Whether operations on this thread are recorded now."""
    return mode.recording


@contextmanager
def watching(watcher: Any) -> Iterator[None]:
    """Inside, `watcher` is shown the raw arrays of every operation.

    It has the methods `forward(op, inputs, result)` and `backward(op, gys, gxs)`; `gxs` is a tuple
    with None where an input gets no gradient.
    """
    before, mode.watcher = mode.watcher, watcher
    try:
        yield
    finally:
        mode.watcher = before
