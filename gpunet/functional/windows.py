"""The arguments of poolings, read and checked: which windows lie along each of the last axes."""

from __future__ import annotations

import math
from typing import Any

from gpunet.autograd.tensor import Tensor
from gpunet.backend.windows import Axes, Windows
from gpunet.errors import ArgumentError
from gpunet.functional.check import floating, shape_error
from gpunet.functional.geometry import Numbers, numbers

LETTERS = {1: "L", 2: "H, W", 3: "D, H, W"}


def spatial(operation: str, x: Tensor, axes: int) -> tuple[int, ...]:
    """The lengths of the last axes of x, which must be floating (N, C, ...) or (C, ...)."""
    floating(operation, "x", x)
    if x.ndim not in (axes + 1, axes + 2):
        letters = LETTERS[axes]
        rule = f"x must have shape (N, C, {letters}) or (C, {letters}), got {x.shape}"
        shape_error(operation, rule, x=x)
    sizes = x.shape[-axes:]
    if 0 in sizes:
        shape_error(operation, f"x must have elements along its last axes, got {x.shape}", x=x)
    if math.prod(sizes) >= 1 << 31:
        rule = f"x must have less than 2^31 elements in a plane, got {math.prod(sizes)}"
        shape_error(operation, rule, x=x)
    return sizes


def sliding(
    operation: str,
    axes: int,
    x: Tensor,
    kernel_size: Numbers,
    stride: Numbers | None,
    padding: Numbers,
    dilation: Numbers,
    ceil_mode: bool,
) -> Axes:
    """Windows of one length that move by a stride."""
    sizes = spatial(operation, x, axes)
    kernels = numbers(operation, "kernel_size", kernel_size, axes, 1)
    strides = kernels if stride is None else numbers(operation, "stride", stride, axes, 1)
    pads = numbers(operation, "padding", padding, axes, 0)
    dilations = numbers(operation, "dilation", dilation, axes, 1)
    along = []
    for n, k, s, p, d in zip(sizes, kernels, strides, pads, dilations, strict=True):
        reach = d * (k - 1) + 1
        if p > reach // 2:
            rule = f"padding must be at most half of the window, {reach // 2}, got {p}"
            shape_error(operation, rule, x=x)
        if n + 2 * p < reach and not ceil_mode:
            rule = f"the window must fit into the padded x, {n + 2 * p} elements, got {reach}"
            shape_error(operation, rule, x=x)
        count = (n + 2 * p - reach + (s - 1 if ceil_mode else 0)) // s + 1
        if ceil_mode and (count - 1) * s >= n + p:
            count -= 1  # each window begins in x or in the padding before it
        if count < 1:
            rule = f"there must be room for a window in {n} elements padded by {p}, got {reach}"
            shape_error(operation, rule, x=x)
        along.append(Windows(n, count, k, s, p, d))
    return tuple(along)


def adaptive(operation: str, axes: int, x: Tensor, output_size: Any) -> Axes:
    """As many windows as asked for, alike up to one element; None keeps the length of an axis."""
    sizes = spatial(operation, x, axes)
    given = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * axes
    if len(given) != axes:
        rule = f"output_size must be a number or {axes} of them, got {output_size!r}"
        raise ArgumentError(operation, rule)
    kept = tuple(n if wanted is None else wanted for n, wanted in zip(sizes, given, strict=True))
    counts = numbers(operation, "output_size", kept, axes, 0)
    return tuple(Windows(n, count) for n, count in zip(sizes, counts, strict=True))
