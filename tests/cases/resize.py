"""Interpolation from its definition, one element of the result at a time."""

import itertools
import math

import numpy as np

from gpunet.errors import ArgumentError, ShapeError
from tests.cases.case import Case, Invalid, exactly, normal

LINEAR = ("linear", "bilinear", "trilinear")


def _cubic(d):
    """Keys' kernel with slope −0.75 at distance 1."""
    d = abs(d)
    if d < 1:
        return 1.25 * d**3 - 2.25 * d**2 + 1
    return -0.75 * (d**3 - 5 * d**2 + 8 * d - 4) if d < 2 else 0.0


def _weights(n, m, mode, align_corners, factor, number):
    """Element i of the result is the sum of row i times the elements of x, all of type `number`."""
    step = number(n / m if factor is None else 1 / factor)
    if align_corners:
        step = number((n - 1) / (m - 1) if m > 1 else 0)
    a = np.zeros((m, n), number)
    for i in range(m):
        middle = number(i) * step if align_corners else (number(i) + 0.5) * step - 0.5
        if mode == "area":
            window = range(i * n // m, -(-(i + 1) * n // m))
            a[i, window] = 1 / len(window)
        elif mode == "nearest":
            a[i, min(math.floor(i * step), n - 1)] = 1
        elif mode == "nearest-exact":
            a[i, min(math.floor((i + 0.5) * step), n - 1)] = 1
        elif mode == "bicubic":
            for j in range(math.floor(middle) - 1, math.floor(middle) + 3):
                a[i, min(max(j, 0), n - 1)] += _cubic(middle - j)
        else:
            for j in range(n):  # beyond the outermost middles x goes on as it ends
                inside = min(max(middle, 0), n - 1)
                a[i, j] = max(0.0, 1 - abs(inside - j))
    return a


def interpolate():
    def formula(
        x,
        size=None,
        scale_factor=None,
        mode="nearest",
        align_corners=None,
        recompute_scale_factor=None,
    ):
        axes = x.ndim - 2
        factors = scale_factor if isinstance(scale_factor, tuple) else (scale_factor,) * axes
        for i, (n, factor) in enumerate(zip(x.shape[2:], factors, strict=True)):
            m = math.floor(n * factor) if size is None else np.broadcast_to(size, axes)[i]
            kept = None if recompute_scale_factor else factor
            a = _weights(n, m, mode, align_corners, kept, x.dtype.type)
            x = np.moveaxis((np.moveaxis(x, i + 2, -1)[..., None, :] * a).sum(-1), -1, i + 2)
        return x

    shapes = {1: (2, 3, 5), 2: (2, 2, 5, 4), 3: (1, 2, 3, 4, 2)}
    for axes, mode in itertools.product(shapes, ("nearest", "nearest-exact", "area")):
        for size in (2, 7):
            yield Case(formula, [normal(*shapes[axes]), size], dict(mode=mode))
        yield Case(formula, [normal(*shapes[axes])], dict(scale_factor=2, mode=mode))
    for axes, mode in [*zip(shapes, LINEAR, strict=True), (2, "bicubic")]:
        for align_corners in (None, True, False):
            how = dict(mode=mode, align_corners=align_corners)
            yield Case(formula, [normal(*shapes[axes]), 2], how)
            yield Case(formula, [normal(*shapes[axes]), 7], how)
            yield Case(formula, [normal(*shapes[axes])], dict(scale_factor=2.0, **how))
    for recompute in (None, True):
        how = dict(scale_factor=1.5, recompute_scale_factor=recompute)
        yield Case(formula, [normal(1, 2, 3, 5)], dict(**how, mode="bilinear"))
        yield Case(formula, [normal(1, 2, 5)], how)
    yield Case(formula, [normal(2, 2, 5, 4)], dict(scale_factor=(2, 0.5)))
    yield Case(formula, [normal(2, 2, 5, 4), (4, 4)], dict(mode="bilinear"))
    yield Case(formula, [normal(2, 2, 5, 4), (3, 6)], dict(mode="bicubic"))
    yield Case(formula, [normal(1, 1, 1), 4], dict(mode="linear", align_corners=True))
    x = normal(1, 2, 3, 4)
    rule = "x must have shape (N, C, L), (N, C, H, W) or (N, C, D, H, W), got (2, 3)"
    yield Invalid([normal(2, 3), 2], ShapeError, rule)
    yield Invalid([x, 2], ArgumentError, "mode must be one of 'nearest', ", dict(mode="lanczos"))
    for mode in ("linear", "trilinear"):
        rule = f"mode must be for 2 axes, got {mode!r}; x is (1, 2, 3, 4)"
        yield Invalid([x, 2], ArgumentError, rule, dict(mode=mode))
    rule = "mode must be for 1 axes, got 'bicubic'"
    yield Invalid([normal(1, 2, 3), 2], ArgumentError, rule, dict(mode="bicubic"))
    rule = "align_corners must be None in mode 'nearest', got True"
    yield Invalid([x, 2], ArgumentError, rule, dict(align_corners=True))
    rule = "size or scale_factor must be given, and not both, got "
    yield Invalid([x], ArgumentError, rule + "None and None")
    yield Invalid([x, 2, 2], ArgumentError, rule + "2 and 2")
    rule = "recompute_scale_factor must not be set with size, got True"
    yield Invalid([x, 2], ArgumentError, rule, dict(recompute_scale_factor=True))
    yield Invalid([x, 0], ArgumentError, "size must be a whole number from 1 or 2 of them, got 0")
    yield Invalid([x, 1.5], ArgumentError, "size must be a whole number from 1")
    for factor in (0.0, math.inf, (1.0,)):
        rule = f"scale_factor must be a number above 0, or 2 of them, got {factor}"
        yield Invalid([x, None, factor], ArgumentError, rule)
    rule = "x and the result must have elements, got lengths (0, 0)"
    yield Invalid([x, None, 0.1], ShapeError, rule)


def pixel_shuffle():
    def formula(x, upscale_factor):
        r, (*lead, channels, height, width) = upscale_factor, x.shape
        y = np.empty((*lead, channels // (r * r), height * r, width * r), x.dtype)
        for c, i, j in np.ndindex(y.shape[-3:]):
            y[..., c, i, j] = x[..., c * r * r + i % r * r + j % r, i // r, j // r]
        return y

    for shape, r in [((4, 2, 3), 2), ((2, 18, 1, 2), 3), ((2, 3, 4, 2, 2), 2), ((1, 2, 2), 1)]:
        yield Case(formula, [normal(*shape), r])
    yield Case(formula, [exactly(np.arange(8).reshape(8, 1, 1)), 2])
    rule = "x must have a multiple of upscale_factor² = 4 channels, got 3; x is (3, 2, 2)"
    yield Invalid([normal(3, 2, 2), 2], ShapeError, rule)
    yield Invalid([normal(4, 2), 2], ShapeError, "x must have shape (..., C, H, W), got (4, 2)")
    yield Invalid([normal(4, 2, 2), 0], ArgumentError, "upscale_factor must be at least 1, got 0")


def pixel_unshuffle():
    def formula(x, downscale_factor):
        r, (*lead, channels, height, width) = downscale_factor, x.shape
        y = np.empty((*lead, channels * r * r, height // r, width // r), x.dtype)
        for c, i, j in np.ndindex(channels, height, width):
            y[..., c * r * r + i % r * r + j % r, i // r, j // r] = x[..., c, i, j]
        return y

    for shape, r in [((1, 4, 6), 2), ((2, 2, 3, 6), 3), ((2, 3, 1, 2, 2), 2), ((1, 2, 2), 1)]:
        yield Case(formula, [normal(*shape), r])
    yield Case(formula, [exactly(np.arange(8).reshape(2, 2, 2)), 2])
    rule = "x must have multiples of downscale_factor 2 of rows and columns, got 3 and 4"
    yield Invalid([normal(1, 3, 4), 2], ShapeError, rule)
    yield Invalid([normal(4, 2), 2], ShapeError, "x must have shape (..., C, H, W), got (4, 2)")
    yield Invalid([normal(4, 2, 2), 0], ArgumentError, "downscale_factor must be at least 1")
