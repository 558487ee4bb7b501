"""Layers that do what two did: normalisation by known statistics folds into the weights before it.

In evaluation a `BatchNorm` multiplies each channel by scale = weight / √(running_var + eps) and
adds a number. Behind a layer that is linear, W' = scale·W and b' = scale·(b − running_mean) + bias
do the same.
"""

from __future__ import annotations

import copy
from typing import Any, TypeVar

from gpunet import functional as F
from gpunet.autograd.mode import no_grad
from gpunet.autograd.tensor import Tensor
from gpunet.errors import ArgumentError, ShapeError
from gpunet.nn.conv import _Filters
from gpunet.nn.linear import Linear
from gpunet.nn.module import Module, Parameter
from gpunet.nn.normalization import _BatchNorm

Filters = TypeVar("Filters", bound=_Filters)


def fuse_conv_bn_eval(conv: Filters, bn: _BatchNorm, transpose: bool = False) -> Filters:
    """A convolution that gives what `bn(conv(x))` gives in evaluation.

    Args:
        conv, bn: both in evaluation (`eval()`); they stay as they are.
        transpose: whether `conv` is a transposed convolution.

    >>> import gpunet
    >>> from gpunet import nn
    >>> conv, bn = nn.Conv2d(1, 2, 3, bias=False).eval(), nn.BatchNorm2d(2).eval()
    >>> nn.utils.fusion.fuse_conv_bn_eval(conv, bn)
    Conv2d(1, 2, kernel_size=(3, 3), stride=(1, 1))
    """
    scale, shift = _scale_and_shift("fuse_conv_bn_eval", conv, bn, conv.out_channels)
    with no_grad():
        w = conv.weight
        groups = conv.groups if transpose else 1
        # Which axis of the weight runs over the filters, and which over their groups if it is cut.
        by_group = w.reshape(groups, w.shape[0] // groups, *w.shape[1:])
        rows = (groups, 1, -1) if transpose else (1, -1, 1)
        scaled = by_group * scale.reshape(*rows, *(1,) * conv.axes)
        return _with(conv, scaled.reshape(w.shape), _folded(conv.bias, scale, shift))


def fuse_linear_bn_eval(linear: Linear, bn: _BatchNorm) -> Linear:
    """A dense layer that gives what `bn(linear(x))` gives in evaluation, for x (N, in).

    Args:
        linear, bn: both in evaluation (`eval()`); they stay as they are.
    """
    scale, shift = _scale_and_shift("fuse_linear_bn_eval", linear, bn, linear.out_features)
    with no_grad():
        w = linear.weight * scale.reshape(-1, 1)
        return _with(linear, w, _folded(linear.bias, scale, shift))


def _scale_and_shift(
    operation: str, layer: Module, bn: _BatchNorm, channels: int
) -> tuple[Tensor, Tensor]:
    """What evaluation multiplies each channel by, and what it adds then."""
    if layer.training or bn.training:
        rule = "both layers must be in evaluation, got training=True"
        raise ArgumentError(operation, rule, "call eval() first")
    if bn.num_features != channels:
        rule = f"bn must have the layer's {channels} channels, got {bn.num_features}"
        raise ShapeError(operation, rule)
    if bn.running_mean is None or bn.running_var is None:
        raise ArgumentError(operation, "bn must have running statistics, got None")
    with no_grad():
        scale = F.rsqrt(bn.running_var + bn.eps)
        if bn.weight is not None:
            scale = scale * bn.weight
        shift = -bn.running_mean * scale
        return scale, shift if bn.bias is None else shift + bn.bias


def _folded(bias: Tensor | None, scale: Tensor, shift: Tensor) -> Tensor:
    return shift if bias is None else bias * scale + shift


def _with(layer: Any, weight: Tensor, bias: Tensor) -> Any:
    """A copy of a layer that has other parameters."""
    fused = copy.deepcopy(layer)
    fused.weight = Parameter(weight, layer.weight.requires_grad)
    fused.bias = Parameter(bias, layer.weight.requires_grad)
    return fused
