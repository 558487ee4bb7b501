"""What `autocast` does at the door of a function: in which dtype its tensors come in.

Inside, it is off: what a function is made of is computed as it stands.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from gpunet.autograd.mode import mode
from gpunet.autograd.tensor import Tensor
from gpunet.backend import dtypes
from gpunet.functional.promotion import cast

F = TypeVar("F", bound=Callable[..., Any])


def in_half(function: F) -> F:
    """Under `autocast`, tensors of float32 come in its dtype: products gain the most by it."""
    return _cast(function, lambda dtype: dtype == dtypes.float32, lambda: mode.autocast)


def in_single(function: F) -> F:
    """Under `autocast`, halves come in float32: sums and exponentials soon leave their range."""
    return _cast(function, dtypes.half, lambda: dtypes.float32)


def _cast(function: F, concerns: Callable[[Any], bool], after: Callable[[], Any]) -> F:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if mode.autocast is None:
            return function(*args, **kwargs)

        def come(x: Any) -> Any:
            return cast(x, dtype) if isinstance(x, Tensor) and concerns(x.array.dtype) else x

        dtype, outside = after(), mode.autocast
        mode.autocast = None
        try:
            return function(*map(come, args), **{name: come(x) for name, x in kwargs.items()})
        finally:
            mode.autocast = outside

    return call  # type: ignore[return-value]
