"""Powers and roots: Python's operators."""

import operator

import numpy as np

from gpunet.errors import ArgumentError, DTypeError
from tests.cases.case import Case, Edge, Invalid, away_from_zero, exactly, positive
from tests.cases.grid import pairs, pointwise

INF = np.inf


def pow_():
    yield from pairs(operator.pow, positive, name="exponent", integers=False)
    yield Case(operator.pow, [exactly([[5], [-3]]), exactly([1, 2, 4])])
    for exponent in (0, 0.5, 1, 2, 3, -1, -2, 1.5):
        draw = positive if exponent in (0.5, 1.5) else away_from_zero
        yield Case(operator.pow, [draw(31), exponent])
        yield Case(operator.pow, [draw(130, 127), exponent])
    yield Case(operator.pow, [exactly([1, 4, 9]), 0.5])
    yield Case(operator.pow, [2, exactly([0, 1, 5])])
    yield Edge(operator.pow, [exactly([0.0, 2.0]), 0], gradient=lambda x, y: [0, 0])
    yield Edge(operator.pow, [exactly([0.0, INF]), 2], gradient=lambda x, y: [0, INF])
    yield Edge(operator.pow, [exactly([0.0, INF]), -1], gradient=lambda x, y: [-INF, 0])
    yield Edge(operator.pow, [exactly([0.0, INF]), 0.5], gradient=lambda x, y: [INF, 0])
    yield Edge(
        operator.pow,
        [exactly([0.0, 0.0, 0.0, 0.0]), exactly([0.0, 1.0, 2.0, -1.0])],
        gradient=lambda x, y: ([0, 1, 0, -INF], [0, 0, 0, -INF]),
    )
    yield Edge(operator.pow, [0, exactly([0.0, 2.0])], gradient=lambda x, y: [0, 0])
    message = "exponent must be in [0, 9223372036854775807] for int64, got -1; x is (2,) int64"
    yield Invalid([exactly([1, 2]), -1], ArgumentError, message)
    message = "exponent must not be negative among integers, got -2"
    yield Invalid([2, exactly([1, -2])], ArgumentError, message)
    bools = exactly([True, False])
    yield Invalid([bools, bools], DTypeError, "x or exponent must be numeric, got bool")


def float_power():
    def formula(x, exponent):
        return np.asarray(x, "float64") ** exponent

    for row in pairs(formula, positive, name="exponent"):
        if isinstance(row, Case):
            yield Case(formula, row.inputs, always="float64", unlike_torch=row.unlike_torch)
        else:
            yield row
    yield Case(formula, [exactly([[5], [-3]]), exactly([-1, 2, 4])], always="float64")
    zeros = [exactly([0.0, 0.0]), exactly([0.0, 2.0])]
    yield Edge(formula, zeros, gradient=lambda x, y: ([0, 0], [0, 0]), always="float64")


def square():
    yield from pointwise(lambda x: x * x, integers=(-3, 2))
    yield Case(lambda x: x.astype(int), [exactly([True, False])])


def reciprocal():
    yield from pointwise(lambda x: 1 / x, away_from_zero)
    yield Edge(lambda x: 1 / x, [exactly([0.0, INF])], gradient=lambda x: [-INF, 0])


def sqrt():
    def formula(x):
        return x**0.5

    yield from pointwise(formula, positive, integers=(0, 4, 2))
    yield Edge(formula, [exactly([0.0, INF])], gradient=lambda x: [INF, 0])
    yield Edge(formula, [exactly([-1.0])], gradient=lambda x: [np.nan])


def rsqrt():
    def formula(x):
        return x**-0.5

    yield from pointwise(formula, positive, integers=(1, 4, 2))
    yield Edge(formula, [exactly([0.0, INF])], gradient=lambda x: [-INF, 0])
    yield Edge(formula, [exactly([-1.0])], gradient=lambda x: [np.nan])
