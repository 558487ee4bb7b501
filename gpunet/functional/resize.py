"""Pictures of another size: interpolation, and pixels exchanged for channels."""

from __future__ import annotations

import functools
import math
from array import array
from collections.abc import Sequence
from typing import Any

from gpunet.autograd.op import Op, apply
from gpunet.autograd.tensor import Tensor
from gpunet.backend import Array, Backend
from gpunet.errors import ArgumentError
from gpunet.functional.adaptive_pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
)
from gpunet.functional.check import floating, is_tensor, one_of, shape_error, whole_number
from gpunet.functional.geometry import numbers
from gpunet.functional.promotion import cast, wide
from gpunet.functional.shape import permute, reshape

_LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}
_AREA = {1: adaptive_avg_pool1d, 2: adaptive_avg_pool2d, 3: adaptive_avg_pool3d}
_MODES = ("nearest", "nearest-exact", "linear", "bilinear", "trilinear", "bicubic", "area")
_CUBIC = -0.75  # the slope of the cubic kernel at 1, as in PyTorch


class Taps:
    """Along one axis: each element of the result is a sum of a few elements of x, with weights.

    Attributes:
        size: elements of x. positions, weights: a list a tap, of one number for each result.
    """

    def __init__(
        self, size: int, count: int, mode: str, align_corners: bool, step: float, single: bool
    ):
        # Which element is the nearest depends on how this is rounded; as in PyTorch, like x.
        self.rounded = _single if single else float
        self.size, step = size, self.rounded(step)
        self.positions: list[list[int]] = []
        self.weights: list[list[float]] = []
        rows = [self._taps(i, mode, align_corners, step) for i in range(count)]
        for taps in zip(*rows, strict=True):
            self.positions.append([min(max(at, 0), size - 1) for at, _ in taps])
            self.weights.append([weight for _, weight in taps])

    def _taps(self, i: int, mode: str, align_corners: bool, step: float) -> list[tuple[int, float]]:
        """Positions in x (which may lie outside) and weights that make element i."""
        if mode == "nearest":
            return [(math.floor(self.rounded(i * step)), 1.0)]
        if mode == "nearest-exact":
            return [(math.floor(self.rounded((i + 0.5) * step)), 1.0)]
        at = i * step if align_corners else (i + 0.5) * step - 0.5
        if mode != "bicubic":
            at = max(at, 0.0)
            low = min(math.floor(at), self.size - 1)
            t = at - low if low < self.size - 1 else 0.0
            return [(low, 1.0 - t), (low + 1, t)]
        low = math.floor(at)
        t = at - low
        return [(low + k - 1, _cubic(abs(t + 1 - k))) for k in range(4)]


def _single(x: float) -> float:
    """x as float32 has it."""
    return array("f", [x])[0]


def _cubic(d: float) -> float:
    """Keys' kernel at distance d (IEEE TASSP 29(6), 1981, eq. 4)."""
    a = _CUBIC
    if d <= 1:
        return ((a + 2) * d - (a + 3)) * d * d + 1
    return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a if d < 2 else 0.0


_taps = functools.lru_cache(maxsize=256)(Taps)


class Interpolate(Op):
    """One axis; several are interpolated one after the other.

    The gradient is a matrix product: the transpose of what the taps do to the axis.
    """

    def __init__(self, axis: int, taps: Taps):
        self.axis, self.taps = axis, taps

    def forward(self, be: Backend, x: Array) -> Array:
        xp, axis = be.xp, self.axis
        if len(self.taps.positions) == 1:
            return be.contiguous(xp.take(x, be.asarray(self.taps.positions[0]), axis=axis))
        shape = [-1 if i == axis else 1 for i in range(x.ndim)]
        total = None
        for positions, weights in zip(self.taps.positions, self.taps.weights, strict=True):
            part = xp.take(x, be.asarray(positions), axis=axis)
            part = xp.multiply(part, be.asarray(weights, x.dtype).reshape(shape))
            total = part if total is None else xp.add(total, part)
        return total

    def backward(self, be: Backend, gy: Array) -> Array:
        count = gy.shape[self.axis]
        matrix = be.full((count, self.taps.size), 0, gy.dtype)
        rows = be.xp.arange(count)
        for positions, weights in zip(self.taps.positions, self.taps.weights, strict=True):
            matrix[rows, be.asarray(positions)] += be.asarray(weights, gy.dtype)
        moved = gy.swapaxes(self.axis, -1)
        flat = be.contiguous(moved).reshape(moved.size // count if count else 0, count)
        g = be.matmul(flat, matrix).reshape(*moved.shape[:-1], self.taps.size)
        return be.contiguous(g.swapaxes(self.axis, -1))


def interpolate(
    x: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
) -> Tensor:
    """x with its last axes stretched or shrunk.

    Shapes: x (N, C, L), (N, C, H, W) or (N, C, D, H, W); the result with other last lengths.
    Dtypes: floating.
    Args:
        size: the new lengths, one for all axes or one for each; or else
        scale_factor: by what the lengths are multiplied (and rounded down), likewise.
        mode: "nearest" takes the element at ⌊i·n/m⌋, "nearest-exact" the one below the middle of
            the new one; "linear", "bilinear" and "trilinear", for one, two and three axes, the line
            between neighbours; "bicubic", for two, Keys' cubic through four; "area" means of
            adaptive windows.
        align_corners: for the linear and cubic modes: whether the outermost elements keep their
            middles (else their outer edges).
        recompute_scale_factor: whether positions follow from the rounded lengths in place of
            `scale_factor`.

    >>> import gpunet
    >>> x = gpunet.tensor([[[1.0, 2.0]]])
    >>> gpunet.functional.interpolate(x, scale_factor=2, mode="linear")
    tensor([[[1.  , 1.25, 1.75, 2.  ]]], dtype=float32)
    """
    name = "interpolate"
    floating(name, "x", x)
    if x.ndim not in (3, 4, 5):
        rule = f"x must have shape (N, C, L), (N, C, H, W) or (N, C, D, H, W), got {x.shape}"
        shape_error(name, rule, x=x)
    one_of(name, "mode", mode, _MODES)
    axes = x.ndim - 2
    usual = {"bicubic": "bicubic"}.get(mode, _LINEAR[axes])
    between = mode in (*_LINEAR.values(), "bicubic")
    if between and (mode != usual or (mode == "bicubic" and axes != 2)):
        rule = f"mode must be for {axes} axes, got {mode!r}"
        raise ArgumentError(name, rule, f"x is {x.shape}")
    if align_corners is not None and not between:
        rule = f"align_corners must be None in mode {mode!r}, got {align_corners}"
        raise ArgumentError(name, rule)
    before = x.shape[2:]
    wanted, factors = _sizes(x, size, scale_factor, bool(recompute_scale_factor))
    if 0 in before or 0 in wanted:
        shape_error(name, f"x and the result must have elements, got lengths {wanted}", x=x)
    if mode == "area":
        return _AREA[axes](x, wanted)
    single = x.dtype != "float64"
    y = wide(x) if between else x
    for i, (n, m, factor) in enumerate(zip(before, wanted, factors, strict=True)):
        if align_corners:
            step = (n - 1) / (m - 1) if m > 1 else 0.0
        else:
            step = n / m if factor is None else 1.0 / factor
        if n != m or (step != 1.0 and mode not in _LINEAR.values()):  # as in PyTorch
            y = apply(Interpolate(i + 2, _taps(n, m, mode, bool(align_corners), step, single)), y)
    y = cast(y, x.dtype)
    return x.clone() if y is x else y


def _sizes(
    x: Tensor, size: Any, scale_factor: Any, recompute: bool
) -> tuple[tuple[int, ...], tuple[float | None, ...]]:
    """New lengths, and the factors that positions follow from, None for n / m."""
    name, before = "interpolate", x.shape[2:]
    axes = len(before)
    if (size is None) == (scale_factor is None):
        got = f"{size} and {scale_factor}"
        raise ArgumentError(name, f"size or scale_factor must be given, and not both, got {got}")
    if scale_factor is None:
        if recompute:
            problem = "recompute_scale_factor must not be set with size, got True"
            raise ArgumentError(name, problem)
        return numbers(name, "size", size, axes, 1), (None,) * axes
    several = isinstance(scale_factor, (tuple, list))
    given = tuple(scale_factor) if several else (scale_factor,) * axes
    if len(given) != axes or not all(
        isinstance(f, (int, float)) and 0 < f < math.inf for f in given
    ):
        rule = f"scale_factor must be a number above 0, or {axes} of them, got {scale_factor}"
        raise ArgumentError(name, rule)
    wanted = tuple([math.floor(n * f) for n, f in zip(before, given, strict=True)])
    return wanted, (None,) * axes if recompute else given


def pixel_shuffle(x: Tensor, upscale_factor: int) -> Tensor:
    """Channels become pixels: r² of them a square of r by r, r the `upscale_factor`.

    Shapes: x (..., C·r², H, W); the result (..., C, H·r, W·r).
    Source: Shi et al., arXiv:1609.05158, eq. 4.

    >>> import gpunet
    >>> gpunet.functional.pixel_shuffle(gpunet.arange(4).reshape(4, 1, 1), 2)
    tensor([[[0, 1],
             [2, 3]]])
    """
    r = _factor("pixel_shuffle", "upscale_factor", x, upscale_factor)
    *lead, channels, height, width = x.shape
    if channels % (r * r):
        rule = f"x must have a multiple of upscale_factor² = {r * r} channels, got {channels}"
        shape_error("pixel_shuffle", rule, x=x)
    n, c = len(lead), channels // (r * r)
    apart = reshape(x, (*lead, c, r, r, height, width))
    order = (*range(n + 1), n + 3, n + 1, n + 4, n + 2)
    return reshape(permute(apart, order), (*lead, c, height * r, width * r))


def pixel_unshuffle(x: Tensor, downscale_factor: int) -> Tensor:
    """Pixels become channels: the inverse of `pixel_shuffle` by `downscale_factor` r.

    Shapes: x (..., C, H·r, W·r); the result (..., C·r², H, W).
    """
    r = _factor("pixel_unshuffle", "downscale_factor", x, downscale_factor)
    *lead, c, height, width = x.shape
    if height % r or width % r:
        rule = f"x must have multiples of downscale_factor {r} of rows and columns, got "
        shape_error("pixel_unshuffle", f"{rule}{height} and {width}", x=x)
    n = len(lead)
    apart = reshape(x, (*lead, c, height // r, r, width // r, r))
    order = (*range(n + 1), n + 2, n + 4, n + 1, n + 3)
    return reshape(permute(apart, order), (*lead, c * r * r, height // r, width // r))


def _factor(operation: str, name: str, x: Tensor, factor: int) -> int:
    is_tensor(operation, "x", x)
    if x.ndim < 3:
        shape_error(operation, f"x must have shape (..., C, H, W), got {x.shape}", x=x)
    r = whole_number(operation, name, factor)
    if r < 1:
        raise ArgumentError(operation, f"{name} must be at least 1, got {r}")
    return r
