"""Pooling as layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from gpunet import functional as F
from gpunet.autograd.tensor import Tensor
from gpunet.functional.adaptive_pooling import Sizes
from gpunet.functional.geometry import Numbers
from gpunet.nn.module import Module


class _Pooling(Module):
    """Base: `function` is what a layer calls, `settings` are shown in its `repr`."""

    function: ClassVar[Callable[..., Any]]
    settings: ClassVar[tuple[str, ...]]

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={getattr(self, name)}" for name in self.settings)


class _MaxPool(_Pooling):
    settings = "kernel_size", "stride", "padding", "dilation", "ceil_mode"

    def __init__(
        self,
        kernel_size: Numbers,
        stride: Numbers | None = None,
        padding: Numbers = 0,
        dilation: Numbers = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ):
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.dilation = padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def forward(self, x: Tensor) -> Any:
        moves = self.kernel_size, self.stride, self.padding, self.dilation
        return self.function(x, *moves, self.ceil_mode, self.return_indices)


class MaxPool1d(_MaxPool):
    """The largest element of each window; see `functional.max_pool1d`."""

    function = staticmethod(F.max_pool1d)


class MaxPool2d(_MaxPool):
    """The largest element of each window; see `functional.max_pool2d`."""

    function = staticmethod(F.max_pool2d)


class MaxPool3d(_MaxPool):
    """The largest element of each window; see `functional.max_pool3d`."""

    function = staticmethod(F.max_pool3d)


class AvgPool1d(_Pooling):
    """The mean of each window; see `functional.avg_pool1d`."""

    function = staticmethod(F.avg_pool1d)
    settings = "kernel_size", "stride", "padding"

    def __init__(
        self,
        kernel_size: Numbers,
        stride: Numbers | None = None,
        padding: Numbers = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ):
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.ceil_mode = padding, ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, x: Tensor) -> Tensor:
        moves = self.kernel_size, self.stride, self.padding, self.ceil_mode
        return self.function(x, *moves, self.count_include_pad)


class AvgPool2d(AvgPool1d):
    """The mean of each window; see `functional.avg_pool2d`."""

    function = staticmethod(F.avg_pool2d)

    def __init__(
        self,
        kernel_size: Numbers,
        stride: Numbers | None = None,
        padding: Numbers = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ):
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)
        self.divisor_override = divisor_override

    def forward(self, x: Tensor) -> Tensor:
        moves = self.kernel_size, self.stride, self.padding, self.ceil_mode
        return self.function(x, *moves, self.count_include_pad, self.divisor_override)


class AvgPool3d(AvgPool2d):
    """The mean of each window; see `functional.avg_pool3d`."""

    function = staticmethod(F.avg_pool3d)


class _LPPool(_Pooling):
    settings = "norm_type", "kernel_size", "stride", "ceil_mode"

    def __init__(
        self,
        norm_type: float,
        kernel_size: Numbers,
        stride: Numbers | None = None,
        ceil_mode: bool = False,
    ):
        self.norm_type, self.kernel_size, self.stride = norm_type, kernel_size, stride
        self.ceil_mode = ceil_mode

    def forward(self, x: Tensor) -> Tensor:
        moves = self.kernel_size, self.stride, self.ceil_mode
        return self.function(x, self.norm_type, *moves)


class LPPool1d(_LPPool):
    """(Σ x^p)^(1/p) over each window; see `functional.lp_pool1d`."""

    function = staticmethod(F.lp_pool1d)


class LPPool2d(_LPPool):
    """(Σ x^p)^(1/p) over each window; see `functional.lp_pool2d`."""

    function = staticmethod(F.lp_pool2d)


class LPPool3d(_LPPool):
    """(Σ x^p)^(1/p) over each window; see `functional.lp_pool3d`."""

    function = staticmethod(F.lp_pool3d)


class _AdaptiveAvgPool(_Pooling):
    settings = ("output_size",)

    def __init__(self, output_size: Sizes):
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, self.output_size)


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """The mean of each of so many windows; see `functional.adaptive_avg_pool1d`."""

    function = staticmethod(F.adaptive_avg_pool1d)


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """The mean of each of so many windows; see `functional.adaptive_avg_pool2d`."""

    function = staticmethod(F.adaptive_avg_pool2d)


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """The mean of each of so many windows; see `functional.adaptive_avg_pool3d`."""

    function = staticmethod(F.adaptive_avg_pool3d)


class _AdaptiveMaxPool(_Pooling):
    settings = ("output_size",)

    def __init__(self, output_size: Sizes, return_indices: bool = False):
        self.output_size, self.return_indices = output_size, return_indices

    def forward(self, x: Tensor) -> Any:
        return self.function(x, self.output_size, self.return_indices)


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """The largest element of each of so many windows; see `functional.adaptive_max_pool1d`."""

    function = staticmethod(F.adaptive_max_pool1d)


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """The largest element of each of so many windows; see `functional.adaptive_max_pool2d`."""

    function = staticmethod(F.adaptive_max_pool2d)


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """The largest element of each of so many windows; see `functional.adaptive_max_pool3d`."""

    function = staticmethod(F.adaptive_max_pool3d)


class _MaxUnpool(_Pooling):
    settings = "kernel_size", "stride", "padding"

    def __init__(self, kernel_size: Numbers, stride: Numbers | None = None, padding: Numbers = 0):
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding = padding

    def forward(
        self, x: Tensor, indices: Tensor, output_size: Sequence[int] | None = None
    ) -> Tensor:
        moves = self.kernel_size, self.stride, self.padding
        return self.function(x, indices, *moves, output_size)


class MaxUnpool1d(_MaxUnpool):
    """Puts elements back where `MaxPool1d` took them from; see `functional.max_unpool1d`."""

    function = staticmethod(F.max_unpool1d)


class MaxUnpool2d(_MaxUnpool):
    """Puts elements back where `MaxPool2d` took them from; see `functional.max_unpool2d`."""

    function = staticmethod(F.max_unpool2d)


class MaxUnpool3d(_MaxUnpool):
    """Puts elements back where `MaxPool3d` took them from; see `functional.max_unpool3d`."""

    function = staticmethod(F.max_unpool3d)
