"""Losses of d = x − target, and g times their slopes in x. CUDA: gpunet/backend/cuda/difference.py.

Forward, `total=True` gives the sum of all losses, which are then never written.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gpunet.backend.base import Array
from gpunet.backend.cpu.pointwise import pair


@pair
def mse_fwd(x, target):
    d = x - target
    return d * d


@pair
def l1_fwd(x, target):
    return abs(x - target)


@pair
def huber_fwd(x, target, delta, divisor):
    d = x - target
    near = delta if d > delta else -delta if d < -delta else d  # NaN stays NaN
    return near * (d - near * 0.5) / divisor


@pair
def _mse_slope(x, target, g):
    return (x - target) * (2.0 * g)


@pair
def _l1_slope(x, target, g):
    return g if x > target else -g if x < target else 0.0


@pair
def _huber_slope(x, target, g, delta):
    d = x - target
    return g * (delta if d > delta else -delta if d < -delta else d)


def mse_bwd(g: Array, x: Array, target: Array) -> Array:
    return _times(g, _mse_slope, x, target)


def l1_bwd(g: Array, x: Array, target: Array) -> Array:
    return _times(g, _l1_slope, x, target)


def huber_bwd(g: Array, x: Array, target: Array, delta: float) -> Array:
    return _times(g, _huber_slope, x, target, delta)


def _times(g: Array, slope: Any, x: Array, target: Array, *parameters: float) -> Array:
    """g times the slope; g has the shape of x, or is one number."""
    if g.shape == x.shape:
        gx = slope(x, target, 1.0, *parameters)
        return np.multiply(gx, g, out=gx)
    return slope(x, target, float(g), *parameters)
