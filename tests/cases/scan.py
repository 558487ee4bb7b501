"""Running results: a loop over the row."""

import itertools
import math
import operator

import numpy as np

from gpunet.errors import ArgumentError, DTypeError, ShapeError
from tests.cases.along import mapped
from tests.cases.case import Case, Edge, Invalid, away_from_zero, exactly, labels, normal

NAN = float("nan")
INF = float("inf")


def _running(combine):
    def formula(x, dim, dtype=None):
        dtype = dtype or (x.dtype if x.dtype.kind == "f" else "int64")

        def row(values):
            return np.array(list(itertools.accumulate(values, combine)), dtype)

        return mapped(row, x.astype(dtype), dim)

    return formula


_cumsum, _cumprod = _running(operator.add), _running(operator.mul)
_logcumsumexp = _running(np.logaddexp)


def _cumextremum(beats):
    def row(values):  # no number beats a NaN: comparisons with it are false
        best, found = 0, []
        for i, v in enumerate(values):
            if v != v or beats(v, values[best]) or v == values[best]:
                best = i
            found.append(best)
        return values[found], np.array(found, "int64")

    return lambda x, dim: mapped(row, x, dim)


def _diff(x, n=1, dim=-1, prepend=None, append=None):
    x = np.concatenate([p for p in (prepend, x, append) if p is not None], axis=dim)

    def row(values):
        for _ in range(n):
            pairs = itertools.pairwise(values)
            bits = values.dtype == bool
            values = np.array([b ^ a if bits else b - a for a, b in pairs], values.dtype)
        return values

    return mapped(row, x, dim)


def _axes(formula, x=normal):
    for shape in [(1,), (31,), (300,), (2, 3)]:
        yield Case(formula, [x(*shape), -1])
    for dim in (0, 1, 2, -1, -3):
        yield Case(formula, [x(2, 3, 5), dim])
    for dim in (0, -1):
        yield Case(formula, [x(), dim])
        yield Case(formula, [x(0, 3), dim])
    rule = "dim must be in [-2, 2), got 2; x is (2, 3) float64 on cpu"
    yield Invalid([x(2, 3), 2], ShapeError, rule)
    yield Invalid([x(2, 3), None], ArgumentError, "dim must be an integer, got None")


def _sums_and_products(formula):
    yield Case(formula, [labels(5, 2, 3), 1])
    yield Case(formula, [exactly([True, False, True]), 0])
    yield Case(formula, [exactly(np.array([200, 3, 100], "uint8")), 0])
    yield Case(formula, [labels(5, 2, 3), 0], dict(dtype="float32"))


def cumsum():
    yield from _axes(_cumsum)
    yield from _sums_and_products(_cumsum)
    yield Edge(_cumsum, [exactly([1.0, NAN, 2.0]), 0], gradient=lambda x, dim: [3, 2, 1])


def cumprod():
    yield from _axes(_cumprod, lambda *shape: away_from_zero(*shape) if shape != (300,) else ONES)
    yield from _sums_and_products(_cumprod)
    zeros = [[2.0, 0.0, 3.0, 0.0, 4.0], [0.0, 2.0, 3.0, 0.5, 4.0], [2.0, 3.0, 0.5, 4.0, 0.0]]
    yield Case(_cumprod, [exactly(zeros), 1])
    yield Edge(_cumprod, [exactly([2.0, 0.0, 3.0]), 0], gradient=lambda x, dim: [1, 8, 0])


ONES = exactly(1 + np.sin(np.arange(300.0)) / 50)


def _extrema(beats):
    formula = _cumextremum(beats)
    yield from _axes(formula)
    yield Case(formula, [labels(4, 3, 9), 1])
    yield Case(formula, [exactly([False, True, False]), 0])
    sign = 1 if beats is operator.gt else -1
    ties = exactly(sign * np.array([1.0, 3.0, 3.0, 2.0]))
    yield Edge(formula, [ties, 0], gradient=lambda x, dim: [1, 1, 2, 0])
    gaps = exactly([1.0, NAN, 2.0, NAN, 5.0])
    yield Edge(formula, [gaps, 0], gradient=lambda x, dim: [1, 2, 0, 2, 0])


def cummax():
    yield from _extrema(operator.gt)


def cummin():
    yield from _extrema(operator.lt)


def logcumsumexp():
    yield from _axes(_logcumsumexp)
    far = exactly([1e4, -1e4, 1e4])
    yield Edge(_logcumsumexp, [far, 0])
    rise = exactly([-1e4, 0.0, 1e4])
    yield Edge(_logcumsumexp, [rise, 0], gradient=lambda x, dim: [1, 1, 1])
    yield Edge(_logcumsumexp, [exactly([-INF, -INF, 1.0, INF, 2.0]), 0])
    nothing = exactly([1.0, 2.0, -INF])
    e = math.e
    slopes = [1 + 2 / (1 + e), 2 * e / (1 + e), 0]
    yield Edge(_logcumsumexp, [nothing, 0], gradient=lambda x, dim: slopes)
    yield Edge(_logcumsumexp, [exactly([NAN, 1.0]), 0])
    yield Invalid([labels(3, 3), 0], DTypeError, "x must be floating, got int64")


def diff():
    for shape in [(1,), (31,), (2, 3), (0, 3)]:
        yield Case(_diff, [normal(*shape)])
    for dim in (0, 1, -1):
        for n in (0, 1, 2, 4):
            yield Case(_diff, [normal(2, 3, 5), n, dim])
    ends = dict(prepend=normal(2, 1, 5), append=normal(2, 2, 5))
    yield Case(_diff, [normal(2, 3, 5), 1, 1], ends)
    yield Case(_diff, [normal(2, 3, 5), 2, -2], ends)
    yield Case(_diff, [normal(2, 3)], dict(prepend=normal(2, 1)))
    yield Case(_diff, [normal(2, 3)], dict(append=normal(2, 0)))
    yield Case(_diff, [labels(9, 2, 3)])
    yield Case(_diff, [exactly([True, False, False])], dict(n=2))
    yield Case(_diff, [exactly(np.array([3, 1], "uint8"))])
    yield Edge(_diff, [exactly([1.0, NAN, 3.0, INF])], gradient=lambda x: [-1, 0, 0, 1])
    yield Invalid([normal()], ShapeError, "dim must be in [0, 0), got -1")
    yield Invalid([normal(3), -1], ArgumentError, "n must be an integer of at least 0, got -1")
    yield Invalid([normal(2, 3), 1, 2], ShapeError, "dim must be in [-2, 2), got 2")
    rule = "prepend must have x's shape but for axis 1, got (3, 1)"
    yield Invalid([normal(2, 3)], ShapeError, rule, dict(prepend=normal(3, 1)))
    rule = "append must have x's shape but for axis 1, got (2,)"
    yield Invalid([normal(2, 3)], ShapeError, rule, dict(append=normal(2)))
    yield Invalid(
        [normal(3)], DTypeError, "append must be a gpunet.Tensor, got int", dict(append=1)
    )
