"""How far a result may be off: derived from rounding, never tuned.

The oracle is computed twice, in float64 and in float32. Their difference, in units of float32's eps,
says how strongly the formula amplifies rounding; a kernel may be twice as far off as the plain
formula in its own precision, and 4 eps of the largest value besides. A bound beyond √eps (half of the
digits) would prove nothing and is cut there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.cases.case import Array, Case, Edge

EPS = {"float32": 2.0**-23, "float64": 2.0**-52}


def bound(amplified: Any, scale: Any, dtype: str) -> Any:
    """The rule; `amplified` is an error in units of eps, `scale` the size of what is compared."""
    eps = EPS[dtype]
    return np.minimum((2 * amplified + 4 * scale) * eps, np.sqrt(eps) * scale)


def of_result(case: Case, dtype: str) -> Any:
    """The bound on the result of a case; at an edge each element stands for itself."""
    exact = case.expected("float64")
    with np.errstate(invalid="ignore"):
        amplified = (
            np.nan_to_num(np.abs(case.expected("float32") - exact), posinf=0.0) / EPS["float32"]
        )
    size = np.abs(np.nan_to_num(exact, posinf=0.0, neginf=0.0))
    if isinstance(case, Edge):
        return bound(amplified, np.maximum(size, 1.0), dtype)
    return bound(amplified.max(initial=0.0), size.max(initial=0.0), dtype)


def of_gradients(
    exact: Sequence[Array], rounded: Sequence[Sequence[Array]], dtype: str
) -> list[float]:
    """The bounds on gradients: `exact` ones, and those when all inputs are off by a rounding in float32."""
    bounds = []
    for g, *changed in zip(exact, *rounded, strict=True):
        amplified = max(np.abs(c - g).max(initial=0.0) for c in changed) / EPS["float32"]
        bounds.append(bound(amplified, np.abs(g).max(initial=0.0), dtype))
    return bounds


def assert_close(got: Array, expected: Array, tolerance: Any, what: str) -> None:
    """Same shape, NaN and Inf at the same places, and no other value off by more than `tolerance`."""
    assert got.shape == np.shape(expected), (
        f"{what} has shape {got.shape}, expected {np.shape(expected)}"
    )
    with np.errstate(over="ignore"):
        rounded = np.asarray(expected).astype(got.dtype)
    finite = np.isfinite(rounded) & np.isfinite(got)
    np.testing.assert_array_equal(got[~finite], rounded[~finite], f"NaN or Inf of {what}")
    error = np.where(
        finite, np.abs(np.subtract(got, expected, where=finite, out=np.zeros(got.shape))), 0.0
    )
    if not (error <= tolerance).all():
        worst = np.unravel_index(np.argmax(error - tolerance), error.shape)
        raise AssertionError(
            f"{what} is off by {error[worst]:.3g} at {tuple(map(int, worst))}, "
            f"got {got[worst]}, expected {np.asarray(expected)[worst]}, "
            f"allowed {np.broadcast_to(tolerance, error.shape)[worst]:.3g}"
        )
