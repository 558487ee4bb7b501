"""Convolutional layers, and the patches they look at as layers."""

from __future__ import annotations

import math
from typing import Any

from gpunet import backend
from gpunet import functional as F
from gpunet.autograd.tensor import Tensor
from gpunet.errors import ArgumentError
from gpunet.functional import geometry
from gpunet.functional.activation import Activation
from gpunet.functional.check import is_tensor, one_of, shape_error
from gpunet.functional.geometry import Numbers
from gpunet.nn import init
from gpunet.nn.module import Module, Parameter


class _Filters(Module):
    """What convolutions and transposed ones share: their arguments, weight and bias."""

    axes: int

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Numbers,
        stride: Numbers,
        padding: Numbers | str,
        dilation: Numbers,
        output_padding: Numbers,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: str,
        dtype: str,
    ):
        name = type(self).__name__
        for word, value in (("in_channels", in_channels), ("out_channels", out_channels)):
            if value < 1:
                raise ArgumentError(name, f"{word} must be at least 1, got {value}")
        if groups < 1 or in_channels % groups or out_channels % groups:
            got = f"got {groups} for {in_channels} and {out_channels}"
            raise ArgumentError(name, f"groups must divide in_channels and out_channels, {got}")
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = geometry.numbers(name, "kernel_size", kernel_size, self.axes, 1)
        self.stride = geometry.numbers(name, "stride", stride, self.axes, 1)
        self.dilation = geometry.numbers(name, "dilation", dilation, self.axes, 1)
        self.output_padding = geometry.numbers(name, "output_padding", output_padding, self.axes, 0)
        self.pads = geometry.pads(
            name, padding, self.axes, self.kernel_size, self.stride, self.dilation
        )
        self.padding = padding if isinstance(padding, str) else tuple(p for p, _ in self.pads)
        self.padding_mode = padding_mode
        be = backend.resolve(device)[0]
        self.weight = Parameter(Tensor(be.empty(self._weight_shape(), dtype), be))
        self.bias = Parameter(Tensor(be.empty((out_channels,), dtype), be)) if bias else None
        self.reset_parameters()

    def _weight_shape(self) -> tuple[int, ...]:
        raise NotImplementedError

    def reset_parameters(self) -> None:
        """Draws weights and bias anew."""
        bound = 1.0 / math.sqrt(math.prod(self.weight.shape[1:]))
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        parts = [f"{self.in_channels}, {self.out_channels}", f"kernel_size={self.kernel_size}"]
        parts.append(f"stride={self.stride}")
        if self.padding != (0,) * self.axes:
            parts.append(f"padding={self.padding}")
        if self.dilation != (1,) * self.axes:
            parts.append(f"dilation={self.dilation}")
        if self.output_padding != (0,) * self.axes:
            parts.append(f"output_padding={self.output_padding}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if self.bias is None:
            parts.append("bias=False")
        if self.padding_mode != "zeros":
            parts.append(f"padding_mode={self.padding_mode}")
        return ", ".join(parts)


class _Conv(_Filters):
    """What the convolutions share: the arguments, and how what lies beside x is made up."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Numbers,
        stride: Numbers = 1,
        padding: Numbers | str = 0,
        dilation: Numbers = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: str = "cpu",
        dtype: str = "float32",
    ):
        modes = ("zeros", "reflect", "replicate", "circular")
        one_of(type(self).__name__, "padding_mode", padding_mode, modes)
        moves = stride, padding, dilation, 0, groups
        super().__init__(
            in_channels, out_channels, kernel_size, *moves, bias, padding_mode, device, dtype
        )

    def _weight_shape(self) -> tuple[int, ...]:
        return (self.out_channels, self.in_channels // self.groups, *self.kernel_size)

    def forward(self, x: Tensor, activation: Activation | None = None) -> Tensor:
        """`activation` is fused onto the result; `Sequential` passes that of the next layer."""
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            around = [n for pair in reversed(self.pads) for n in pair]
            x, padding = F.pad(x, around, self.padding_mode), 0
        convolve = (F.conv1d, F.conv2d, F.conv3d)[self.axes - 1]
        moves = self.stride, padding, self.dilation, self.groups
        return convolve(x, self.weight, self.bias, *moves, activation=activation)


class Conv1d(_Conv):
    """Filters moved along one axis; see `functional.conv1d` for the formula.

    Shapes: input (N, in_channels, L) or (in_channels, L), output (N, out_channels, L') or without
    N; weight (out_channels, in_channels / groups, kernel_size), bias (out_channels,).

    Args: those of `Conv2d`.
    """

    axes = 1


class Conv2d(_Conv):
    """Filters moved over pictures; see `functional.conv2d` for the formula.

    Shapes: input (N, in_channels, H, W) or (in_channels, H, W), output (N, out_channels, H', W') or
    without N; weight (out_channels, in_channels / groups, *kernel_size), bias (out_channels,).

    Args:
        kernel_size: rows and columns of a filter; here and below a number, or one for each axis.
        stride: how far a filter moves.
        padding: how many elements stand around the input, "same" or "valid".
        dilation: the distance of a filter's neighbouring elements in the input.
        groups: in how many parts channels are cut; in_channels of them make a depthwise layer.
        padding_mode: what stands there: "zeros", or what continues the input, as in `F.pad`:
            "reflect", "replicate" or "circular".

    Weights and bias start uniform in ±1/√fan_in, as PyTorch's do.
    """

    axes = 2


class Conv3d(_Conv):
    """Filters moved through volumes; see `functional.conv3d` for the formula.

    Shapes: input (N, in_channels, D, H, W) or without N, output (N, out_channels, D', H', W') or
    without N; weight (out_channels, in_channels / groups, *kernel_size), bias (out_channels,).

    Args: those of `Conv2d`.
    """

    axes = 3


class _ConvTranspose(_Filters):
    """What the transposed convolutions share."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Numbers,
        stride: Numbers = 1,
        padding: Numbers = 0,
        output_padding: Numbers = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Numbers = 1,
        padding_mode: str = "zeros",
        device: str = "cpu",
        dtype: str = "float32",
    ):
        name = type(self).__name__
        one_of(name, "padding_mode", padding_mode, ("zeros",))
        geometry.numbers(name, "padding", padding, self.axes, 0)
        moves = stride, padding, dilation, output_padding, groups
        super().__init__(
            in_channels, out_channels, kernel_size, *moves, bias, padding_mode, device, dtype
        )

    def _weight_shape(self) -> tuple[int, ...]:
        return (self.in_channels, self.out_channels // self.groups, *self.kernel_size)

    def forward(self, x: Tensor, output_size: Any = None) -> Tensor:
        """`output_size`, spatial or whole, picks one of the shapes that lead to that of x."""
        more = self.output_padding if output_size is None else self._fitting(x, output_size)
        convolve = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[self.axes - 1]
        moves = self.stride, self._less(), more, self.groups, self.dilation
        return convolve(x, self.weight, self.bias, *moves)

    def _less(self) -> tuple[int, ...]:
        return tuple(p for p, _ in self.pads)

    def _fitting(self, x: Tensor, output_size: Any) -> tuple[int, ...]:
        """The output_padding that gives `output_size`."""
        name, axes = type(self).__name__, self.axes
        is_tensor(name, "x", x)
        size = (output_size,) * axes if isinstance(output_size, int) else tuple(output_size)
        if len(size) not in (axes, x.ndim):
            rule = f"output_size must have {axes} or {x.ndim} numbers, got {len(size)}"
            shape_error(name, rule, x=x)
        least = geometry.transposed_shape(
            x.shape[-axes:],
            self.kernel_size,
            self.stride,
            self._less(),
            (0,) * axes,
            self.dilation,
        )
        more = tuple(n - m for n, m in zip(size[-axes:], least, strict=True))
        if any(not 0 <= o < s for o, s in zip(more, self.stride, strict=True)):
            most = tuple(n + s - 1 for n, s in zip(least, self.stride, strict=True))
            rule = f"output_size must be from {least} to {most}, got {size[-axes:]}"
            shape_error(name, rule, x=x)
        return more


class ConvTranspose1d(_ConvTranspose):
    """The transpose of `Conv1d`; see `functional.conv_transpose1d` for the formula.

    Shapes: input (N, in_channels, L) or (in_channels, L), output (N, out_channels, L') or without
    N; weight (in_channels, out_channels / groups, kernel_size), bias (out_channels,).

    Args: those of `ConvTranspose2d`.
    """

    axes = 1


class ConvTranspose2d(_ConvTranspose):
    """The transpose of `Conv2d`; see `functional.conv_transpose2d` for the formula.

    Shapes: input (N, in_channels, H, W) or (in_channels, H, W), output (N, out_channels, H', W') or
    without N; weight (in_channels, out_channels / groups, *kernel_size), bias (out_channels,).

    Args:
        kernel_size: rows and columns of a filter; here and below a number, or one for each axis.
        stride: the distance in the output of what neighbours in the input add.
        padding: how many rows and columns of the sum are left out at each end.
        output_padding: rows and columns more at the far ends.
        groups: in how many parts channels are cut.
        dilation: the distance of a filter's neighbouring elements in the output.
        padding_mode: only "zeros".

    Weights and bias start as PyTorch's do: uniform in ±1/√(out_channels / groups · filter size).
    """

    axes = 2


class ConvTranspose3d(_ConvTranspose):
    """The transpose of `Conv3d`; see `functional.conv_transpose3d` for the formula.

    Shapes: input (N, in_channels, D, H, W) or without N, output (N, out_channels, D', H', W') or
    without N; weight (in_channels, out_channels / groups, *kernel_size), bias (out_channels,).

    Args: those of `ConvTranspose2d`.
    """

    axes = 3


class _Patches(Module):
    def __init__(
        self,
        kernel_size: Numbers,
        dilation: Numbers = 1,
        padding: Numbers = 0,
        stride: Numbers = 1,
    ):
        self.kernel_size, self.dilation = kernel_size, dilation
        self.padding, self.stride = padding, stride

    def extra_repr(self) -> str:
        names = ("kernel_size", "dilation", "padding", "stride")
        return ", ".join(f"{name}={getattr(self, name)}" for name in names)


class Unfold(_Patches):
    """Patches as columns; see `functional.unfold`."""

    def forward(self, x: Tensor) -> Tensor:
        moves = self.kernel_size, self.dilation, self.padding, self.stride
        return F.unfold(x, *moves)


class Fold(_Patches):
    """Columns added up to a picture; see `functional.fold`."""

    def __init__(
        self,
        output_size: Numbers,
        kernel_size: Numbers,
        dilation: Numbers = 1,
        padding: Numbers = 0,
        stride: Numbers = 1,
    ):
        super().__init__(kernel_size, dilation, padding, stride)
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        moves = self.kernel_size, self.dilation, self.padding, self.stride
        return F.fold(x, self.output_size, *moves)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}, {super().extra_repr()}"
