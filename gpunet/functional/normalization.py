"""Normalisation. CPU: gpunet/backend/cpu/normalization.py. CUDA: kernels/normalization.cu."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from gpunet.autograd.memory import written
from gpunet.autograd.op import Op, apply
from gpunet.autograd.tensor import Tensor
from gpunet.backend import Array, Backend, dtypes
from gpunet.backend.windows import Windows
from gpunet.errors import ArgumentError, DTypeError
from gpunet.functional.activation import Activation, ReLU
from gpunet.functional.check import (
    describe,
    floating,
    one_device,
    same_dtype,
    shape_error,
    whole_numbers,
)
from gpunet.functional.pooling import AvgPool
from gpunet.functional.power import pow
from gpunet.functional.precision import in_single
from gpunet.functional.promotion import cast, wide


def _statistics(be: Backend, count: int, x: Array) -> tuple[Array, Array]:
    """Room for means and variances, in float32 at least."""
    dtype = dtypes.float64 if x.dtype == dtypes.float64 else dtypes.float32
    return be.empty((count,), dtype), be.empty((count,), dtype)


def _vector(be: Backend, parameter: Array | None) -> Array | None:
    return None if parameter is None else be.contiguous(parameter).reshape(-1)


class BatchNorm(Op):
    """Channels over all samples, by their own mean and variance or by given ones.

    An activation on top is computed as its own operation would; ReLU in the same sweep.

    Attributes:
        mean, var: of each channel, after `forward`.
    """

    takes_bfloat16 = True

    def __init__(
        self, eps: float, given: tuple[Array, Array] | None, activation: Activation | None
    ):
        self.eps, self.given, self.activation = eps, given is not None, activation
        if given:
            self.mean, self.var = given

    def forward(self, be: Backend, x: Array, weight: Array | None, bias: Array | None) -> Array:
        x = be.contiguous(x)
        weight, bias = _vector(be, weight), _vector(be, bias)
        if not self.given:
            self.mean, self.var = _statistics(be, x.shape[1], x)
        relu = type(self.activation) is ReLU
        arguments = self.mean, self.var, self.eps, self.given, relu
        y = be.normalization.batch_norm_fwd(x, weight, bias, *arguments)
        after, self.activation = (None if relu else self.activation), None
        if after is not None:
            y = after.forward_in_place(be, y, None)
        # What the activation kept goes when this does.
        self.saved = x, weight, bias, arguments, after
        return y

    def backward(self, be: Backend, gy: Array) -> Any:
        x, weight, bias, arguments, after = self.saved
        gy = be.contiguous(gy)
        if after is not None:
            gy = after.backward(be, gy)
        gradients = be.normalization.batch_norm_bwd(gy, x, weight, bias, *arguments)
        return tuple([g if need else None for g, need in zip(gradients, self.needs, strict=True)])


class RowNorm(Op):
    """Rows of x by their own mean and variance; weights are those of channels.

    Args:
        rows: of x; it has as many elements each. channels, spread: see `backend.cpu.normalization`.
        centred: whether the mean is subtracted.

    Attributes:
        mean, var: of each row, after `forward`.
    """

    fresh = True
    takes_bfloat16 = True

    def __init__(self, rows: int, channels: int, spread: int, eps: float, centred: bool = True):
        self.rows, self.layout = rows, (channels, spread, eps, centred)

    def forward(self, be: Backend, x: Array, weight: Array | None, bias: Array | None) -> Array:
        x = be.contiguous(x)
        self.shapes = [None if p is None else p.shape for p in (weight, bias)]
        weight, bias = _vector(be, weight), _vector(be, bias)
        self.mean, self.var = _statistics(be, self.rows, x)
        statistics = self.mean, self.var
        self.saved = x, weight, statistics
        return be.normalization.row_norm_fwd(x, weight, bias, *statistics, *self.layout)

    def backward(self, be: Backend, gy: Array) -> Any:
        x, weight, statistics = self.saved
        wanted = self.needs[1] or self.needs[2]
        arguments = be.contiguous(gy), x, weight, *statistics, *self.layout, wanted
        gx, *others = be.normalization.row_norm_bwd(*arguments)
        shaped = [
            g.reshape(shape) if need else None
            for g, shape, need in zip(
                others or (None, None), self.shapes, self.needs[1:], strict=True
            )
        ]
        return gx if self.needs[0] else None, *shaped


@in_single
def batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-05,
    *,
    activation: Activation | None = None,
) -> Tensor:
    """(x − mean) / √(var + eps) · weight + bias, each channel by its statistics over all samples.

    Shapes: x (N, C, ...), all others (C,); the result like x.
    Dtypes: floating, all the same; beside a half x the running statistics may be float32.
    Args:
        running_mean, running_var: what to normalise by, unless `training`; then they are moved
            towards the statistics of x, in place, and may be None.
        weight, bias: 1 and 0 if None.
        training: normalise by the mean and the variance (over n, not n − 1) of x. Each channel must
            have more than one value.
        momentum: how far the running statistics move, from 0 (not) to 1 (all the way); the variance
            towards the one over n − 1.
        eps: keeps the root away from 0.
        activation: an operation of `gpunet.functional.activation`, done on top; ReLU costs no sweep
            of its own. `nn.Sequential` fuses by itself.
    Source: Ioffe & Szegedy, arXiv:1502.03167, algorithm 1.

    >>> import gpunet
    >>> x = gpunet.tensor([[1.0, 0.0], [3.0, 4.0]])
    >>> gpunet.functional.batch_norm(x, None, None, training=True, eps=0.0)
    tensor([[-1., -1.],
            [ 1.,  1.]], dtype=float32)
    """
    name = "batch_norm"
    same_dtype(name, x=x, weight=weight, bias=bias)
    if x.ndim < 2:
        shape_error(name, f"x must have shape (N, C, ...), got {x.shape}", x=x)
    running = running_mean, running_var
    channels = x.shape[1]
    _check_channels(name, x, channels, *running, weight, bias)
    if activation is not None and not isinstance(activation, Activation):
        raise ArgumentError(name, f"activation must be an Activation, got {activation!r}")
    if not training:
        if running_mean is None or running_var is None:
            problem = "running_mean and running_var must be there unless training"
            raise ArgumentError(name, problem, describe(x=x))
        return apply(
            BatchNorm(eps, _given(x, running_mean, running_var), activation), x, weight, bias
        )
    count = math.prod(x.shape[2:]) * x.shape[0]
    if count == 1:
        shape_error(name, "each channel must have more than one value in training, got 1", x=x)
    op = BatchNorm(eps, None, activation)
    y = apply(op, x, weight, bias)
    if count:
        _move(running, op.mean, op.var, count, momentum)
    return y


@in_single
def instance_norm(
    x: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-05,
) -> Tensor:
    """(x − mean) / √(var + eps) · weight + bias, each channel of each sample by its statistics.

    Shapes: x (N, C, L, ...), all others (C,); the result like x.
    Dtypes: floating, all the same; beside a half x the running statistics may be float32.
    Args:
        running_mean, running_var: what to normalise by, unless `use_input_stats`; then they are
            moved towards the mean over the samples of theirs, in place, and may be None.
        weight, bias: 1 and 0 if None.
        use_input_stats: normalise by the mean and the variance (over n, not n − 1) of x. Each
            channel of a sample must have more than one value.
        momentum, eps: see `batch_norm`.
    Source: Ulyanov et al., arXiv:1607.08022, eq. 4.
    """
    name = "instance_norm"
    same_dtype(name, x=x, weight=weight, bias=bias)
    if x.ndim < 2:
        shape_error(name, f"x must have shape (N, C, L, ...), got {x.shape}", x=x)
    samples, channels = x.shape[:2]
    _check_channels(name, x, channels, running_mean, running_var, weight, bias)
    if not use_input_stats:
        if running_mean is None or running_var is None:
            problem = "running_mean and running_var must be there unless use_input_stats"
            raise ArgumentError(name, problem, describe(x=x))
        return apply(BatchNorm(eps, _given(x, running_mean, running_var), None), x, weight, bias)
    count = math.prod(x.shape[2:])
    if count == 1:
        rule = "each channel of a sample must have more than one value, got 1"
        shape_error(name, rule, x=x)
    op = RowNorm(samples * channels, channels, count, eps)
    y = apply(op, x, weight, bias)
    if x.numel():
        means, variances = (s.reshape(samples, channels).mean(0) for s in (op.mean, op.var))
        _move((running_mean, running_var), means, variances, count, momentum)
    return y


@in_single
def group_norm(
    x: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-05,
) -> Tensor:
    """(x − mean) / √(var + eps) · weight + bias, each group of channels of a sample by its own.

    Shapes: x (N, C, ...), weight and bias (C,); the result like x.
    Dtypes: floating, all the same.
    Args:
        num_groups: in how many groups neighbouring channels go; divides C.
        weight, bias: 1 and 0 if None.
        eps: keeps the root away from 0.
    Source: Wu & He, arXiv:1803.08494, section 3.
    Differs from PyTorch: there may be a bias without a weight, too.
    """
    name = "group_norm"
    same_dtype(name, x=x, weight=weight, bias=bias)
    if x.ndim < 2:
        shape_error(name, f"x must have shape (N, C, ...), got {x.shape}", x=x)
    samples, channels = x.shape[:2]
    _check_channels(name, x, channels, None, None, weight, bias)
    groups = whole_numbers(name, "num_groups", (num_groups,))[0]
    if groups < 1 or channels % groups:
        rule = f"num_groups must divide the {channels} channels of x, got {groups}"
        shape_error(name, rule, x=x)
    spread = math.prod(x.shape[2:])
    if samples * spread * (channels // groups) == 1:
        shape_error(name, "each group must have more than one value, got 1", x=x)
    return apply(RowNorm(samples * groups, channels, spread, eps), x, weight, bias)


@in_single
def layer_norm(
    x: Tensor,
    normalized_shape: int | Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-05,
) -> Tensor:
    """(x − mean) / √(var + eps) · weight + bias, by statistics over the last axes.

    Shapes: x (..., *normalized_shape), weight and bias normalized_shape; the result like x.
    Dtypes: floating, all the same.
    Args:
        weight, bias: 1 and 0 if None.
        eps: keeps the root away from 0.
    Source: Ba et al., arXiv:1607.06450, eq. 4.
    Differs from PyTorch: `normalized_shape` may be one number, there only in the layer.

    >>> import gpunet
    >>> x = gpunet.tensor([[1.0, 3.0], [10.0, 14.0]])
    >>> gpunet.functional.layer_norm(x, 2, eps=0.0)
    tensor([[-1.,  1.],
            [-1.,  1.]], dtype=float32)
    """
    rows, columns = _last_axes("layer_norm", x, normalized_shape, weight=weight, bias=bias)
    return apply(RowNorm(rows, columns, 1, eps), x, weight, bias)


@in_single
def rms_norm(
    x: Tensor,
    normalized_shape: int | Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """x / √(mean(x²) + eps) · weight over the last axes.

    Shapes: x (..., *normalized_shape), weight normalized_shape; the result like x.
    Dtypes: floating, all the same.
    Args:
        weight: 1 if None.
        eps: keeps the root away from 0; None takes 2^-23 (2^-52 for float64).
    Source: Zhang & Sennrich, arXiv:1910.07467, eq. 4.
    """
    rows, columns = _last_axes("rms_norm", x, normalized_shape, weight=weight)
    if eps is None:
        eps = 2.0**-52 if x.dtype == "float64" else 2.0**-23
    return apply(RowNorm(rows, columns, 1, eps, centred=False), x, weight, None)


@in_single
def local_response_norm(
    x: Tensor, size: int, alpha: float = 0.0001, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """x / (k + alpha·mean(x²))^beta, the mean over `size` neighbouring channels.

    Channels before the first and behind the last count as 0.
    Shapes: x (N, C, L, ...); the result like x.
    Dtypes: floating.
    Args:
        size: at least 1; of an even number, one channel more comes from in front.
        alpha, beta, k: of the formula.
    Source: Krizhevsky et al., NIPS 2012, section 3.3 (whose alpha is this one over size).
    """
    name = "local_response_norm"
    floating(name, "x", x)
    if x.ndim < 3:
        shape_error(name, f"x must have shape (N, C, L, ...), got {x.shape}", x=x)
    size = whole_numbers(name, "size", (size,))[0]
    if size < 1:
        raise ArgumentError(name, f"size must be at least 1, got {size}")
    if not x.numel():
        return x
    y = wide(x)  # squares of float16 soon overflow
    samples, channels, rest = x.shape[0], x.shape[1], math.prod(x.shape[2:])
    neighbours = Windows(channels, channels, size, 1, size // 2), Windows(rest, rest, 1)
    squares = (y * y).reshape(samples, channels, rest)
    means = apply(AvgPool(neighbours, divisor=size), squares).reshape(x.shape)
    return cast(y / pow(means * alpha + k, beta), x.dtype)


# --- what they share


def _check_channels(
    operation: str,
    x: Tensor,
    channels: int,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
) -> None:
    """One of each for every channel; running statistics in x's dtype, or float32 beside a half."""
    fitting = x.backend, x.array.dtype, (channels,)
    for p in (running_mean, running_var, weight, bias):
        if p is None:
            continue
        if not isinstance(p, Tensor) or (p.backend, p.array.dtype, p.array.shape) != fitting:
            break
    else:
        return  # all rules in one glance; below in words
    one_device(operation, x, running_mean, running_var, weight, bias)
    allowed = (x.dtype, dtypes.float32) if dtypes.half(x.dtype) else (x.dtype,)
    for name, s in (("running_mean", running_mean), ("running_var", running_var)):
        if s is not None:
            floating(operation, name, s)
            if s.dtype not in allowed:
                problem = f"{name} must be {' or '.join(map(str, allowed))}, got {s.dtype}"
                raise DTypeError(operation, problem, describe(x=x))
    parameters = dict(running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    for name, p in parameters.items():
        if p is not None and p.shape != (channels,):
            rule = f"{name} must have shape (C,) = ({channels},), got {p.shape}"
            shape_error(operation, rule, x=x)


def _last_axes(
    operation: str, x: Tensor, normalized_shape: int | Sequence[int], **parameters: Tensor | None
) -> tuple[int, int]:
    """Rows and columns of x; its last axes, and the parameters, must have the shape given."""
    same_dtype(operation, x=x, **parameters)
    shape = whole_numbers(operation, "normalized_shape", (normalized_shape,))
    if not shape or x.shape[-len(shape) :] != shape:
        rule = f"x must have shape (..., {', '.join(map(str, shape))}), got {x.shape}"
        shape_error(operation, rule, x=x)
    for name, p in parameters.items():
        if p is not None and p.shape != shape:
            rule = f"{name} must have normalized_shape {shape}, got {p.shape}"
            shape_error(operation, rule, x=x)
    return math.prod(x.shape[: -len(shape)]), math.prod(shape)


def _given(x: Tensor, mean: Tensor, var: Tensor) -> tuple[Array, Array]:
    """Copies of running statistics, which may go on while a gradient waits."""
    dtype = dtypes.float64 if x.dtype == "float64" else dtypes.float32
    return x.backend.cast(mean.array, dtype), x.backend.cast(var.array, dtype)


def _move(
    running: tuple[Tensor | None, Tensor | None],
    mean: Array,
    var: Array,
    count: int,
    momentum: float,
) -> None:
    """Running statistics become (1 − momentum) of theirs and `momentum` of new ones."""
    for old, new, factor in zip(running, (mean, var), (1.0, count / (count - 1)), strict=True):
        if old is not None:
            be = old.backend
            be.normalization.running_stats(old.array, new, momentum, factor)
    written([s.array for s in running if s is not None])
