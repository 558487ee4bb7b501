"""How far to go along a direction: a search for a point that meets the strong Wolfe conditions."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

C1, C2 = 1e-4, 0.9  # Nocedal & Wright's choice for quasi-Newton directions


@dataclass
class Point:
    """A place on the line x + t·d: the function f, its gradient g there, and its slope g·d."""

    t: float
    f: float
    g: Any
    slope: float


def strong_wolfe(
    evaluate: Callable[[float], Point], start: Point, t: float, narrowest: float, evaluations: int
) -> Point:
    """A point with f ≤ f₀ + c₁·t·slope₀ and |slope| ≤ c₂·|slope₀|, or the lowest found.

    Args:
        evaluate: makes the point of a step length; called `evaluations` times at the most.
        start: the point at 0, whose slope is negative.
        t: the first length to try, above 0.
        narrowest: width of the bracket at which to give up.

    Source: Nocedal & Wright, Numerical Optimization (2006), algorithms 3.5 and 3.6.
    """

    def too_high(point: Point) -> bool:  # also where f is NaN
        return not point.f <= start.f + C1 * point.t * start.slope

    def flat(point: Point) -> bool:
        return abs(point.slope) <= -C2 * start.slope

    before = start
    while evaluations > 0:
        point = evaluate(t)
        evaluations -= 1
        if too_high(point) or (before is not start and point.f >= before.f):
            low, high = before, point
            break
        if flat(point):
            return point
        if point.slope >= 0:
            low, high = point, before
            break
        t, before = _within(_lowest(before, point), t + 0.01 * (t - before.t), 10 * t), point
    else:
        return before

    while evaluations > 0 and abs(high.t - low.t) > narrowest:
        margin = 0.1 * abs(high.t - low.t)
        left, right = min(low.t, high.t), max(low.t, high.t)
        point = evaluate(_within(_lowest(low, high), left + margin, right - margin))
        evaluations -= 1
        if too_high(point) or point.f >= low.f:
            high = point
            continue
        if flat(point):
            return point
        if point.slope * (high.t - low.t) >= 0:
            high = low
        low = point
    return low


def _within(t: float, left: float, right: float) -> float:
    """`t` moved between the bounds; their middle if there is no such number."""
    return min(max(t, left), right) if math.isfinite(t) else (left + right) / 2


def _lowest(a: Point, b: Point) -> float:
    """Where the cubic through two points and slopes is lowest; NaN if nowhere (equation 3.59)."""
    d1 = a.slope + b.slope - 3 * (a.f - b.f) / (a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if not 0 <= square < math.inf:
        return math.nan
    d2 = math.copysign(math.sqrt(square), b.t - a.t)
    width = b.slope - a.slope + 2 * d2
    return b.t - (b.t - a.t) * (b.slope + d2 - d1) / width if width else math.nan
