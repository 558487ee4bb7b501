"""Whether operations are recorded for the backward pass: a switch of each thread."""

from __future__ import annotations

import threading
from contextlib import ContextDecorator


class _Mode(threading.local):
    recording = True


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
