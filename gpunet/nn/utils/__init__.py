"""What is done to the parameters of a model between its backward pass and its optimizer's step."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from gpunet.autograd import Tensor, span, tensor
from gpunet.autograd.memory import written
from gpunet.errors import ArgumentError, NonFiniteError
from gpunet.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

__all__ = [
    "clip_grad_norm_",
    "clip_grad_value_",
    "fuse_conv_bn_eval",
    "fuse_linear_bn_eval",
    "get_total_norm",
]

_TINY = 1e-6  # added to the norm, as PyTorch does


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scales all gradients by min(1, max_norm / (norm + 1e-6)), in place.

    The norm is that of all gradients as one vector. It stays on the device: nothing waits for it.

    Args:
        parameters: a tensor or several; those without gradient do not count.
        max_norm: at least 0.
        norm_type: p of the p-norm, above 0; may be `math.inf`.
        error_if_nonfinite: refuse a norm that is NaN or Inf, which otherwise spreads to all
            gradients. Waits for the device.

    Returns:
        The norm before, a tensor of shape ().

    Raises:
        NonFiniteError: if asked for; the gradients are then as they were.
    """
    if not max_norm >= 0:
        raise ArgumentError("clip_grad_norm_", f"max_norm must be at least 0, got {max_norm}")
    with span("gradients", "clip_grad_norm_"):
        gradients = _gradients(parameters)
        norm = get_total_norm(gradients, norm_type, error_if_nonfinite)
        if gradients:
            factor = norm.backend.xp.minimum(max_norm / (norm.array + _TINY), 1.0)
            for g in gradients:
                g.array *= factor.astype(g.dtype)
            written(g.array for g in gradients)
    return norm


def get_total_norm(
    tensors: Tensor | Iterable[Tensor], norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> Tensor:
    """The p-norm of all tensors as one vector, a tensor of shape ().

    Args:
        tensors: a tensor or several, of one device. norm_type: p, above 0; may be `math.inf`.
        error_if_nonfinite: refuse NaN and Inf; waits for the device.

    Raises:
        NonFiniteError: if asked for.
    """
    p = float(norm_type)
    if not p > 0:
        raise ArgumentError("get_total_norm", f"norm_type must be above 0, got {norm_type}")
    tensors = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    if not tensors:
        return tensor(0.0)
    be = tensors[0].backend
    xp = be.xp
    each = [_norm(xp, x.array, p).reshape(1) for x in tensors]
    widest = max([x.dtype for x in each], key=lambda dtype: dtype.itemsize)
    total = _norm(xp, be.concatenate([x.astype(widest, copy=False) for x in each], 0), p)
    if error_if_nonfinite and not math.isfinite(total.item()):
        raise NonFiniteError(
            "get_total_norm",
            f"the norm of order {p:g} must be finite, got {total.item()}",
            "error_if_nonfinite=False scales by it all the same",
        )
    return Tensor(xp.asarray(total), tensors[0].backend)


def _norm(xp: Any, x: Any, p: float) -> Any:
    if x.dtype.itemsize == 2:
        x = x.astype("float32")  # the squares of half-precision numbers soon overflow
    if p == math.inf:
        return abs(x).max() if x.size else xp.zeros((), x.dtype)
    if p == 2:
        return xp.sqrt(xp.square(x).sum())
    return (abs(x) ** p).sum() ** (1 / p)


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Moves every element of every gradient into [−clip_value, clip_value], in place.

    Args:
        parameters: a tensor or several; those without gradient are passed over.
        clip_value: at least 0.
    """
    if not clip_value >= 0:
        raise ArgumentError("clip_grad_value_", f"clip_value must be at least 0, got {clip_value}")
    gradients = _gradients(parameters)
    for g in gradients:
        g.backend.xp.clip(g.array, -clip_value, clip_value, out=g.array)
    written(g.array for g in gradients)


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    parameters = [parameters] if isinstance(parameters, Tensor) else parameters
    return [x.grad for x in parameters if x.grad is not None]
