"""Initial values of parameters.

Drawn on the host by NumPy's Philox generator, so equal on every device.
The in-place functions have PyTorch's names; each returns its tensor. `weight` is (out, in, ...):
the fan-in is `in` times the size of the receptive field, the fan-out `out` times it.
"""

from __future__ import annotations

import math
from typing import Any

from gpunet import backend
from gpunet.autograd.memory import written
from gpunet.autograd.tensor import Tensor
from gpunet.backend import random
from gpunet.errors import ArgumentError, ShapeError

_GAINS = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5.0 / 3.0, "relu": math.sqrt(2.0), "selu": 0.75}
_GAINS.update({f"conv{n}d": 1.0 for n in (1, 2, 3)})
_GAINS.update({f"conv_transpose{n}d": 1.0 for n in (1, 2, 3)})


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """By how much the standard deviation must grow to make up for the nonlinearity.

    `param` is leaky ReLU's slope, 0.01 if None.
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        return math.sqrt(2.0 / (1.0 + slope**2))
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


def trunc_normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0
) -> Tensor:
    """Values from N(mean, std²) that lie in [a, b]; those outside are drawn again.

    Raises:
        ArgumentError: a is not below b, or std is not positive.
    """
    if not a < b or std <= 0:
        raise ArgumentError(
            "trunc_normal_", f"a must be below b and std positive, got {a}, {b} and {std}"
        )
    low, high = (a - mean) / std, (b - mean) / std
    inside = (math.erf(high / math.sqrt(2)) - math.erf(low / math.sqrt(2))) / 2
    nearest = min(max(0.0, low), high)

    def draw(count: int) -> Any:
        """Draws of which those in the interval follow the standard normal distribution there."""
        if inside > 0.05:
            return random.host.standard_normal(count)
        # In a tail: uniform draws, kept with the probability that their density asks for.
        from_, to = max(low, nearest - 8), min(high, nearest + 8)
        x = random.host.uniform(from_, to, count)
        keep = random.host.random(count) < backend.cpu.xp.exp((nearest**2 - x**2) / 2)
        return x[keep]

    drawn = draw(0)
    xp = backend.cpu.xp
    while drawn.size < tensor.numel():
        more = draw(2 * (tensor.numel() - drawn.size) + 16)
        drawn = xp.concatenate([drawn, more[(more >= low) & (more <= high)]])
    values = drawn[: tensor.numel()].reshape(tensor.shape)
    return _fill(tensor, (mean + std * values).clip(a, b))


def constant_(tensor: Tensor, val: float) -> Tensor:
    """`val` everywhere."""
    tensor.array[...] = val
    written((tensor.array,))
    return tensor


def zeros_(tensor: Tensor) -> Tensor:
    """Zeros."""
    return constant_(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """Ones."""
    return constant_(tensor, 1.0)


def eye_(tensor: Tensor) -> Tensor:
    """Ones on the diagonal of a matrix, zeros elsewhere."""
    if tensor.ndim != 2:
        raise ShapeError("eye_", f"tensor must have two axes, got shape {tensor.shape}")
    return _fill(tensor, backend.cpu.xp.eye(*tensor.shape))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Filters that pass on as many input channels as they can: 1 in the middle of filter i for
    channel i, in each of the `groups`.

    Shapes: (out, in, ...) with 1 to 3 further axes, `out` a multiple of `groups`.
    """
    if not 3 <= tensor.ndim <= 5:
        raise ShapeError("dirac_", f"tensor must have 3 to 5 axes, got shape {tensor.shape}")
    out = tensor.shape[0]
    if groups < 1 or out % groups:
        raise ArgumentError("dirac_", f"groups must divide {out} filters, got {groups}")
    values = backend.cpu.full(tensor.shape, 0.0, "float64")
    middle = tuple(n // 2 for n in tensor.shape[2:])
    for group in range(groups):
        for channel in range(min(out // groups, tensor.shape[1])):
            filter_ = group * (out // groups) + channel
            index = (filter_, channel, *middle)
            values[index] = 1.0
    return _fill(tensor, values)


def orthogonal_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """`gain` times a matrix with orthonormal rows (or columns, if there are fewer of them).

    Axes behind the first count as one. Source: Saxe et al., arXiv:1312.6120.
    """
    if tensor.ndim < 2:
        raise ShapeError("orthogonal_", f"tensor must have two axes or more, got {tensor.shape}")
    rows = tensor.shape[0]
    columns = math.prod(tensor.shape[1:])
    xp = backend.cpu.xp
    q, r = xp.linalg.qr(random.host.standard_normal((max(rows, columns), min(rows, columns))))
    q = q * xp.sign(xp.diagonal(r))  # uniform over all such matrices
    q = q.T if rows < columns else q
    return _fill(tensor, gain * q.reshape(tensor.shape))


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
    written((tensor.array,))
    return tensor
