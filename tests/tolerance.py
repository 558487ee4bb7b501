"""How far a result may be off: derived from rounding, never tuned.

An oracle is computed twice, in float64 and in float32. Their difference, in units of float32's eps,
says how strongly the formula amplifies rounding. A kernel may be twice as far off as the formula in
its own precision, and 4 eps of the largest value besides. A bound beyond √eps (half of the digits)
would prove nothing; it is cut there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.cases.case import Array, Case, Edge, is_real

EPS = {"bfloat16": 2.0**-7, "float16": 2.0**-10, "float32": 2.0**-23, "float64": 2.0**-52}
SMALLEST = {  # above 0
    "bfloat16": 2.0**-133,
    "float16": 2.0**-24,
    "float32": 2.0**-149,
    "float64": 2.0**-1074,
}


def bound(amplified: Any, scale: Any, dtype: str) -> Any:
    """The rule: `amplified` is an error in units of eps, `scale` the size of what is compared."""
    eps = EPS[dtype]
    return np.minimum((2 * amplified + 4 * scale) * eps, eps**0.5 * scale) + SMALLEST[dtype]


def of_results(case: Case, dtype: str) -> list[Any]:
    """The bound on each result of a case; at an edge each element has its own."""
    exact, single = (case.expected(dtype, computed) for computed in ("float64", "float32"))
    return [_of_result(case, e, s, dtype) for e, s in zip(exact, single, strict=True)]


def _of_result(case: Case, exact: Array, single: Array, dtype: str) -> Any:
    if not is_real(exact):
        return 0
    with np.errstate(invalid="ignore"):
        error = np.abs(single - exact)
    amplified = np.nan_to_num(error, posinf=0.0) / EPS["float32"]
    size = np.abs(np.nan_to_num(exact, posinf=0.0, neginf=0.0))
    if isinstance(case, Edge):
        return bound(amplified, np.maximum(size, 1.0), dtype)
    return bound(amplified.max(initial=0.0), size.max(initial=0.0), dtype)


def of_gradient(
    exact: Array, rounded: Sequence[Array], weights: Sequence[Array], dtype: str
) -> Any:
    """The bound on a gradient that is `exact`, and `rounded` with inputs off by float32's eps.

    A backward pass multiplies slopes with the `weights` of the results: a small gradient (of a
    saturated function, say) is as exact as these are large.
    """
    amplified = max(np.abs(g - exact).max(initial=0.0) for g in rounded) / EPS["float32"]
    scale = max(np.abs(g).max(initial=0.0) for g in (exact, *weights))
    return bound(amplified, scale, dtype)


def assert_close(got: Array, expected: Any, tolerance: Any, what: str) -> None:
    """Same shape, NaN and Inf at the same places, no other value off by more than `tolerance`."""
    expected = np.asarray(expected, "float64")
    assert got.shape == expected.shape, f"{what} has shape {got.shape}, not {expected.shape}"
    with np.errstate(over="ignore"):
        rounded = expected.astype(got.dtype)
    finite = np.isfinite(rounded) & np.isfinite(got)
    np.testing.assert_array_equal(got[~finite], rounded[~finite], f"NaN or Inf of {what}")
    tolerance = np.broadcast_to(tolerance, got.shape)[finite]
    got, expected = got[finite], expected[finite]
    excess = np.abs(got - expected) - tolerance
    if excess.size and excess.max() > 0:
        i = excess.argmax()
        error = f"{got[i]!r} instead of {expected[i]!r}, more than {tolerance[i]:.3g} off"
        raise AssertionError(f"{what} is {error} at element {np.flatnonzero(finite)[i]}")
