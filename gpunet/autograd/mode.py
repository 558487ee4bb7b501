"""Whether operations are recorded, watched, or computed in half precision: switches of a thread."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ContextDecorator, contextmanager, nullcontext
from typing import Any, TypeVar

from gpunet import backend
from gpunet.backend import DType, dtypes
from gpunet.errors import DTypeError

F = TypeVar("F", bound=Callable[..., Any])


class _Mode(threading.local):
    recording = True
    watcher: Watcher | None = None
    autocast: Any = None  # the dtype that products are computed in; see `autocast`


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


class autocast(ContextDecorator):
    """Inside, products are computed in a half dtype, and what that would spoil in float32.

    Of float32 tensors, `linear`, convolutions, `matmul` and its kin, attention and recurrent layers
    take rounded copies, and give results of `dtype`. Softmax, normalisation, losses, exponentials,
    logarithms, powers and sums take halves in float32, and give that. All else is as always: it
    computes in the dtype where its operands meet. Parameters stay as they are, and so do their
    gradients: the rounding is an operation with a gradient of its own. The backward pass stands
    outside.

    Args:
        dtype: float16, whose small gradients need an `optim.GradScaler`, or bfloat16.
        enabled: False switches it off inside another one.

    Raises:
        DTypeError: another dtype.

    Differs from PyTorch: no `device_type`, since a tensor knows its device; rounded copies are not
    kept for a second use; batch normalisation gives float32.
    Source: Micikevicius et al., arXiv:1710.03740.

    >>> import gpunet
    >>> x = gpunet.ones(2, 2)
    >>> with gpunet.autocast("float16"):
    ...     y = x @ x
    ...     z = y.softmax(1)
    >>> str(y.dtype), str(z.dtype)
    ('float16', 'float32')
    """

    def __init__(self, dtype: DType = "float16", enabled: bool = True):
        half = backend.dtype(dtype)
        if not dtypes.half(half):
            raise DTypeError("autocast", f"dtype must be float16 or bfloat16, got {dtype}")
        self._dtype = half if enabled else None
        self._before: list[Any] = []

    def __enter__(self) -> None:
        self._before.append(mode.autocast)
        mode.autocast = self._dtype

    def __exit__(self, *_: object) -> None:
        mode.autocast = self._before.pop()


class Watcher:
    """Does what is done inside `watching`; a subclass looks at it before or after."""

    def forward(self, op: Any, be: Any, inputs: list[Any]) -> Any:
        """Runs an operation on raw arrays; returns its result, an array or a tuple."""
        return op.forward(be, *inputs)

    def backward(self, op: Any, gys: list[Any]) -> Any:
        """Runs it backward; returns the gradients of its inputs, a bare one or a tuple."""
        return op.backward(op.backend, *gys)

    def span(self, kind: str, subject: Any) -> AbstractContextManager[Any]:
        """Around a longer piece of work.

        Args:
            kind: "layer", "backward", "gradients", "optimizer" or "data".
            subject: the module, the edges where a pass begins, the name of what changes gradients,
                the optimizer, the loader.
        """
        return nullcontext()


def span(kind: str, subject: Any) -> AbstractContextManager[Any]:
    """`Watcher.span` of whoever is watching."""
    watcher = mode.watcher
    return nullcontext() if watcher is None else watcher.span(kind, subject)


def watched(kind: str) -> Callable[[F], F]:
    """Makes a method one `span` of this kind, with its object as the subject."""

    def wrap(method: F) -> F:
        @functools.wraps(method)
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            with span(kind, self):
                return method(self, *args, **kwargs)

        return call  # type: ignore[return-value]

    return wrap


@contextmanager
def watching(watcher: Watcher) -> Iterator[None]:
    """Inside, `watcher` runs every operation of this thread."""
    before, mode.watcher = mode.watcher, watcher
    try:
        yield
    finally:
        mode.watcher = before
