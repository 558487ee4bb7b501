"""Initial values of parameters.

Drawn on the host by NumPy's Philox generator, so equal on every device.
The in-place functions have PyTorch's names; each returns its tensor. `weight` is (out, in, ...):
the fan-in is `in` times the size of the receptive field, the fan-out `out` times it.
"""

from __future__ import annotations

import math

from gpunet.autograd.tensor import Tensor
from gpunet.backend import random
from gpunet.errors import ArgumentError, ShapeError

_GAINS = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5.0 / 3.0, "relu": math.sqrt(2.0), "selu": 0.75}


def calculate_gain(nonlinearity: str, param: float = 0.01) -> float:
    """By how much the standard deviation must grow to make up for the nonlinearity.

    `param` is leaky ReLU's slope.
    """
    if nonlinearity == "leaky_relu":
        return math.sqrt(2.0 / (1.0 + param**2))
    if nonlinearity not in _GAINS:
        known = ", ".join(sorted([*_GAINS, "leaky_relu"]))
        raise ArgumentError(
            "calculate_gain", f"nonlinearity must be one of {known}, got {nonlinearity!r}"
        )
    return _GAINS[nonlinearity]


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0) -> Tensor:
    """Values from U[a, b)."""
    return _fill(tensor, random.host.uniform(a, b, tensor.shape))


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Values from N(mean, std²)."""
    return _fill(tensor, random.host.normal(mean, std, tensor.shape))


def constant_(tensor: Tensor, value: float) -> Tensor:
    """The same value everywhere."""
    tensor.array[...] = value
    return tensor


def zeros_(tensor: Tensor) -> Tensor:
    """Zeros."""
    return constant_(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """Ones."""
    return constant_(tensor, 1.0)


def xavier_uniform_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """U[−a, a) with a = gain·√(6 / (fan_in + fan_out)): variance 2 / (fan_in + fan_out).

    Source: Glorot & Bengio, AISTATS 2010, eq. 16.
    """
    fan_in, fan_out = _fans(tensor)
    a = gain * math.sqrt(6.0 / (fan_in + fan_out))
    return uniform_(tensor, -a, a)


def xavier_normal_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """N(0, gain²·2 / (fan_in + fan_out)). Source: Glorot & Bengio, AISTATS 2010, eq. 12."""
    fan_in, fan_out = _fans(tensor)
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / (fan_in + fan_out)))


def kaiming_uniform_(
    tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Tensor:
    """U[−b, b) with b = gain·√(3 / fan): variance gain² / fan, for leaky ReLU of slope `a`.

    Source: He et al., arXiv:1502.01852, eq. 14.
    """
    b = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -b, b)


def kaiming_normal_(
    tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Tensor:
    """N(0, gain² / fan), 2 / fan_in for ReLU. Source: He et al., arXiv:1502.01852, eq. 14."""
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity))


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ArgumentError("kaiming", f'mode must be "fan_in" or "fan_out", got {mode!r}')
    fan = _fans(tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


def _fans(tensor: Tensor) -> tuple[int, int]:
    if tensor.ndim < 2:
        raise ShapeError("init", f"weight must have at least two axes, got shape {tensor.shape}")
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def _fill(tensor: Tensor, values: object) -> Tensor:
    tensor.array[...] = tensor.backend.asarray(values, tensor.dtype)
    return tensor
