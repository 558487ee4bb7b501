"""The tolerance of a kernel's result, derived and not tuned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.kernels.dtypes import Array, DType


def assert_close(actual: Array, oracle: Callable[..., Any], dtype: DType, *inputs: Array) -> None:
    """`actual` must be as near to the oracle in extended precision as an honest evaluation can be.

    The largest error may be twice that of the oracle itself in the kernel's accumulator, plus four
    units in the last place of the largest result; and never more than a hundred of those.

    Args:
        actual: what the kernel wrote, in the storage of `dtype`.
        oracle: the formula in NumPy, which must compute in the dtype of its inputs.
        inputs: what the kernel read, in the storage of `dtype`.
    """
    decoded = [dtype.decode(x) for x in inputs]
    exact = oracle(*(x.astype(np.longdouble) for x in decoded)).astype(np.float64)
    result = dtype.decode(actual)
    assert result.shape == exact.shape
    finite = np.isfinite(exact)
    np.testing.assert_array_equal(np.isfinite(result), finite)
    if not finite.any():
        return
    unit = dtype.epsilon * np.abs(exact[finite]).max()
    honest = np.abs(_evaluations(oracle, dtype, decoded) - exact)[:, finite].max()
    allowed = min(2 * honest + 4 * unit, 100 * unit)
    error = np.abs(result - exact)[finite].max()
    assert error <= allowed, f"error {error:.3g} is above the {allowed:.3g} that {dtype} allows"


def _evaluations(oracle: Callable[..., Any], dtype: DType, inputs: list[Array]) -> Array:
    """The oracle in the accumulator's precision, at the inputs and a rounding error away from them.

    A single evaluation may be right by luck where the result is ill-conditioned; these show it.
    """
    random, eps = np.random.default_rng(0), np.finfo(dtype.accumulator).eps
    results = []
    for scale in (0, eps, eps):
        nudged = [x * (1 + scale * random.choice((-1, 1), x.shape)) for x in inputs]
        results.append(oracle(*(x.astype(dtype.accumulator) for x in nudged)))
    return np.stack(results).astype(np.float64)
