"""The universal approximator: a network that is built, not trained, for any continuous function."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from gpunet import nn
from gpunet.errors import ArgumentError, ShapeError

FEWEST, MOST = 1 << 10, 1 << 22  # samples of f
LARGEST = 5000  # pieces: the second layer has their square of weights
SMOOTH = (
    1 / 16
)  # of eps: how much f may change between neighbouring samples, and what sigmoids cost
STEEP = 20.0  # widths h of a sigmoid between two samples: there it has done its work


def build(
    f: Callable[[Any], Any], a: float, b: float, eps: float, dtype: str = "float32"
) -> nn.Sequential:
    """A network with two hidden layers of sigmoids that is nowhere on [a, b] further than eps off.

    [a, b] is cut where f has moved by 7/8 of eps. Of N pieces, with N − 1 cuts c between them:

        first layer   s_i = σ((x − c_i) / h)               has x passed the cut?   N − 1 neurons
        second layer  g_i = σ((s_(i−1) − s_i − 1/2) / k)   is x in the piece?      N neurons
        output        Σ g_i · f_i                          f where the piece begins

    Around a cut the two neurons beside it add up to 1, so the output goes from f_i to f_(i+1) and
    no further. h is a twentieth of the distance between two samples of f, and k is so small that
    all other neurons together weigh less than eps/16. Beyond a and b the output stays as it was.

    Shapes: input (N, 1), output (N, 1).

    Args:
        f: continuous; takes a float64 array (M,) and returns as many values. It is sampled ever
            closer until neighbouring values differ by less than eps/16.
        a, b: the interval, a < b.
        eps: the error allowed, above 0.
        dtype: of the network; float64 where b − a is tiny beside a and b.

    Raises:
        ArgumentError: an argument is out of range, f is not finite, jumps, or wants more than 5000
            pieces; the message says where.
        ShapeError: f does not return a value for each point.

    Source: the constructive proof of the universal approximation theorem for one variable;
    Cybenko, Math. Control Signals Systems 2, 1989, for one hidden layer.

    >>> net = build(np.sin, 0.0, 3.0, 0.1)
    >>> [layer.weight.shape for layer in net if hasattr(layer, "weight")]
    [(20, 1), (21, 20), (1, 21)]
    """
    if not (math.isfinite(a) and math.isfinite(b) and a < b):
        raise ArgumentError("build", f"must be a < b, both finite, got a = {a:g} and b = {b:g}")
    if not (math.isfinite(eps) and eps > 0):
        raise ArgumentError("build", f"eps must be above 0, got {eps:g}")
    x, values = _sample(f, a, b, eps)
    starts = _cut(values, eps * (1 - 2 * SMOOTH))
    heights = values[starts]
    cuts = x[starts[1:]]
    h = (x[1] - x[0]) / STEEP
    rest = SMOOTH * eps / max(len(starts) * float(np.abs(heights).max()), eps)
    k = 0.5 / math.log(1 / rest)

    passed, inside = nn.Linear(1, len(cuts)), nn.Linear(len(cuts), len(starts))
    output = nn.Linear(len(starts), 1, bias=False)
    difference = np.eye(len(starts), len(cuts), -1) - np.eye(len(starts), len(cuts))
    before = np.where(np.arange(len(starts)) == 0, 0.5, -0.5)  # nothing precedes the first piece
    network = nn.Sequential(passed, nn.Sigmoid(), inside, nn.Sigmoid(), output).to(dtype)
    network.load_state_dict(
        {
            "0.weight": np.full((len(cuts), 1), 1 / h),
            "0.bias": -cuts / h,
            "2.weight": difference / k,
            "2.bias": before / k,
            "4.weight": heights[None],
        }
    )
    return network


def _sample(f: Callable[[Any], Any], a: float, b: float, eps: float) -> tuple[Any, Any]:
    """Points and values, close enough for f to change by less than eps/16 between them."""
    count = FEWEST
    while True:
        x = np.linspace(a, b, count + 1)
        values = np.asarray(f(x), dtype=float)
        if values.shape != x.shape:
            raise ShapeError("build", f"f must give shape {x.shape} for it, got {values.shape}")
        bad = ~np.isfinite(values)
        if bad.any():
            at = int(bad.argmax())
            raise ArgumentError("build", f"f must be finite, got {values[at]} at x = {x[at]:g}")
        changes = np.abs(np.diff(values))
        if changes.max() < SMOOTH * eps:
            return x, values
        if count >= MOST:
            at = int(changes.argmax())
            problem = f"f must be continuous, got a change of {changes[at]:.3g} at x = {x[at]:g}"
            raise ArgumentError("build", problem, f"among {count:,} samples, for eps = {eps:g}")
        count *= 2


def _cut(values: Any, tolerance: float) -> Any:
    """Where pieces begin: in each, values stay within `tolerance` of each other, its end included.

    Two pieces at least, so that there is a cut.
    """
    starts, last = [0], len(values) - 1
    while (end := _end(values, starts[-1], tolerance)) < last:
        starts.append(end)
        if len(starts) > LARGEST:
            problem = f"eps must leave at most {LARGEST} pieces, got more"
            raise ArgumentError("build", problem, f"reached sample {end:,} of {last:,}")
    return np.array(starts if len(starts) > 1 else [0, last // 2])


def _end(values: Any, begin: int, tolerance: float) -> int:
    """The last sample before values have spread by more than `tolerance` since `begin`."""
    last, length = len(values) - 1, 64
    while True:
        ahead = values[begin : begin + length + 1]
        spread = np.maximum.accumulate(ahead) - np.minimum.accumulate(ahead)
        if spread[-1] > tolerance:
            return begin + int((spread > tolerance).argmax()) - 1
        if begin + length >= last:
            return last
        length *= 2  # look no further ahead than there is need to
