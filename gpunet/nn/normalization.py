"""Normalisation as layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from gpunet import backend
from gpunet import functional as F
from gpunet.autograd.tensor import Tensor
from gpunet.errors import ArgumentError
from gpunet.functional.activation import Activation
from gpunet.functional.check import floating, shape_error
from gpunet.nn.module import Buffer, Module, Parameter


class _Norm(Module):
    """Base: a weight and a bias that start at 1 and 0."""

    weight: Parameter | None
    bias: Parameter | None

    def _make(
        self, shape: tuple[int, ...], weight: bool, bias: bool, device: str, dtype: str
    ) -> None:
        name = type(self).__name__
        if not shape or min(shape) < 1:
            raise ArgumentError(name, f"sizes must be at least 1, got {shape}")
        be = backend.resolve(device)[0]
        self.weight = Parameter(Tensor(be.full(shape, 1, dtype), be)) if weight else None
        self.bias = Parameter(Tensor(be.full(shape, 0, dtype), be)) if bias else None

    def reset_parameters(self) -> None:
        """Weight 1, bias 0."""
        if self.weight is not None:
            self.weight.array.fill(1)
        if self.bias is not None:
            self.bias.array.fill(0)


class _ChannelNorm(_Norm):
    """Base: running statistics of channels, kept in `state_dict` beside weight and bias."""

    ndims: ClassVar[tuple[int, ...]]  # axes that an input may have
    running_mean: Buffer | None
    running_var: Buffer | None
    num_batches_tracked: Buffer | None

    def _set_up(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        bias: bool,
        device: str,
        dtype: str,
    ) -> None:
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        shape = (num_features,)
        self._make(shape, affine, affine and bias, device, dtype)
        be = backend.resolve(device)[0]
        self.running_mean = self.running_var = self.num_batches_tracked = None
        if track_running_stats:
            self.running_mean = Buffer(Tensor(be.full(shape, 0, dtype), be))
            self.running_var = Buffer(Tensor(be.full(shape, 1, dtype), be))
            self.num_batches_tracked = Buffer(Tensor(be.full((), 0, "int64"), be))

    def reset_running_stats(self) -> None:
        """Mean 0 and variance 1, after no batch."""
        for buffer, value in (
            (self.running_mean, 0),
            (self.running_var, 1),
            (self.num_batches_tracked, 0),
        ):
            if buffer is not None:
                buffer.array.fill(value)

    def reset_parameters(self) -> None:
        """Weight 1, bias 0, and no batch seen."""
        super().reset_parameters()
        self.reset_running_stats()

    def _check(self, x: Tensor) -> None:
        name = type(self).__name__
        floating(name, "x", x)
        if x.ndim not in self.ndims:
            axes = " or ".join(map(str, self.ndims))
            shape_error(name, f"x must have {axes} axes, got shape {x.shape}", x=x)

    def extra_repr(self) -> str:
        bias = self.bias is not None
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, bias={bias}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_ChannelNorm):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-05,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: str = "cpu",
        dtype: str = "float32",
        *,
        bias: bool = True,
    ):
        self._set_up(num_features, eps, momentum, affine, track_running_stats, bias, device, dtype)

    def forward(self, x: Tensor, activation: Activation | None = None) -> Tensor:
        """`activation` is fused onto the result; `Sequential` passes that of the next layer."""
        self._check(x)
        momentum = 0.0 if self.momentum is None else self.momentum
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.array += 1
            if self.momentum is None:  # the mean of all batches so far
                momentum = 1.0 / float(self.num_batches_tracked)
        own = self.training or self.running_mean is None
        running = self.running_mean, self.running_var
        parameters = self.weight, self.bias
        return F.batch_norm(
            x, *running, *parameters, own, momentum, self.eps, activation=activation
        )


class BatchNorm1d(_BatchNorm):
    """Channels normalised by their mean and variance over all samples; see `functional.batch_norm`.

    Shapes: input and output (N, C) or (N, C, L); weight, bias and running statistics (C,).

    In training statistics are those of the batch, and running ones follow; in evaluation (or with
    `track_running_stats=False` never) the running ones are used.

    Args:
        momentum: how far the running statistics move; None makes them the mean of all batches.
        affine: whether there is a weight and, with `bias`, a bias.
    """

    ndims = (2, 3)


class BatchNorm2d(_BatchNorm):
    """`BatchNorm1d` for pictures (N, C, H, W)."""

    ndims = (4,)


class BatchNorm3d(_BatchNorm):
    """`BatchNorm1d` for volumes (N, C, D, H, W)."""

    ndims = (5,)


class _InstanceNorm(_ChannelNorm):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-05,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: str = "cpu",
        dtype: str = "float32",
        *,
        bias: bool = True,
    ):
        self._set_up(num_features, eps, momentum, affine, track_running_stats, bias, device, dtype)

    def forward(self, x: Tensor) -> Tensor:
        self._check(x)
        alone = x.ndim == self.ndims[0]  # a sample without the axis of samples
        channels = x.shape[0 if alone else 1]
        if channels != self.num_features:
            rule = f"x must have num_features = {self.num_features} channels, got {channels}"
            shape_error(type(self).__name__, rule, x=x)
        own = self.training or self.running_mean is None
        running = self.running_mean, self.running_var
        parameters = self.weight, self.bias
        samples, momentum = x.reshape(1, *x.shape) if alone else x, self.momentum or 0.0
        y = F.instance_norm(samples, *running, *parameters, own, momentum, self.eps)
        return y.reshape(x.shape) if alone else y


class InstanceNorm1d(_InstanceNorm):
    """Channels of each sample normalised by their own mean and variance.

    See `functional.instance_norm`. Shapes: input and output (N, C, L) or (C, L); weight, bias and
    running statistics (C,).

    Args:
        momentum: how far the running statistics move in training. track_running_stats: whether
            there are any; in evaluation they are then used. Batches are not counted, as in PyTorch.
        affine: whether there is a weight and, with `bias`, a bias.
    """

    ndims = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """`InstanceNorm1d` for pictures (N, C, H, W) or (C, H, W)."""

    ndims = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    """`InstanceNorm1d` for volumes (N, C, D, H, W) or (C, D, H, W)."""

    ndims = (4, 5)


class GroupNorm(_Norm):
    """Groups of channels of each sample normalised; see `functional.group_norm`.

    Shapes: input and output (N, C, ...); weight and bias (C,).
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-05,
        affine: bool = True,
        device: str = "cpu",
        dtype: str = "float32",
        *,
        bias: bool = True,
    ):
        if num_groups < 1 or num_channels % num_groups:
            problem = f"num_groups must divide num_channels {num_channels}, got {num_groups}"
            raise ArgumentError("GroupNorm", problem)
        self.num_groups, self.num_channels = num_groups, num_channels
        self.eps, self.affine = eps, affine
        self._make((num_channels,), affine, affine and bias, device, dtype)

    def forward(self, x: Tensor) -> Tensor:
        return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        text = f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}"
        return f"{text}, bias={self.bias is not None}"


Shape = int | Sequence[int]


def _shape(normalized_shape: Shape) -> tuple[int, ...]:
    return (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)


class LayerNorm(_Norm):
    """The last axes normalised; see `functional.layer_norm`.

    Shapes: input and output (..., *normalized_shape); weight and bias normalized_shape.
    """

    def __init__(
        self,
        normalized_shape: Shape,
        eps: float = 1e-05,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: str = "cpu",
        dtype: str = "float32",
    ):
        self.normalized_shape, self.eps = _shape(normalized_shape), eps
        self.elementwise_affine = elementwise_affine
        affine = elementwise_affine
        self._make(self.normalized_shape, affine, affine and bias, device, dtype)

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        text = f"{self.normalized_shape}, eps={self.eps}"
        return f"{text}, elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"


class RMSNorm(_Norm):
    """The last axes divided by their root mean square; see `functional.rms_norm`.

    Shapes: input and output (..., *normalized_shape); weight normalized_shape.
    """

    def __init__(
        self,
        normalized_shape: Shape,
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: str = "cpu",
        dtype: str = "float32",
    ):
        self.normalized_shape, self.eps = _shape(normalized_shape), eps
        self.elementwise_affine = elementwise_affine
        self._make(self.normalized_shape, elementwise_affine, False, device, dtype)

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        text = f"{self.normalized_shape}, eps={self.eps}"
        return f"{text}, elementwise_affine={self.elementwise_affine}"


class LocalResponseNorm(Module):
    """x over a power of the mean square of channels nearby; see `functional.local_response_norm`.

    Shapes: input and output (N, C, L, ...).
    """

    def __init__(self, size: int, alpha: float = 0.0001, beta: float = 0.75, k: float = 1.0):
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, x: Tensor) -> Tensor:
        return F.local_response_norm(x, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
