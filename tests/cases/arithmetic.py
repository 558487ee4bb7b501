"""Elementwise arithmetic: Python's operators on NumPy arrays; gradients are what is in doubt."""

import operator

import numpy as np

from gpunet.errors import ArgumentError, DTypeError, ShapeError
from tests.cases.case import Case, Edge, Invalid, away_from_zero, exactly, normal, positive

SHAPES = [(), (1,), (31,), (2, 3), (0, 3), (130, 127)]
REPEATED = [((), (33,)), ((33,), (1,)), ((2, 3), (3,)), ((3,), (2, 3)), ((2, 1, 3), (4, 1))]


def _pairs(formula, x=normal, y=normal):
    """Broadcasting both ways, plain numbers on either side, integers, and what is refused."""
    for x_shape, y_shape in [*zip(SHAPES, SHAPES, strict=True), *REPEATED, ((1, 3), (0, 1))]:
        yield Case(formula, [x(*x_shape), y(*y_shape)])
    yield Case(formula, [x(130, 127), y(127)])
    for number in (2.5, 3):
        yield Case(formula, [x(31), number])
        yield Case(formula, [number, y(31)])
    yield Case(formula, [exactly([[5], [-3]]), exactly([1, 2, 4])])
    rule = "shapes must broadcast, got (2, 3) and (4,); x is (2, 3) float64 on cpu, y is (4,)"
    yield Invalid([x(2, 3), y(4)], ShapeError, rule)
    yield Invalid([x(3), "2"], DTypeError, "y must be a gpunet.Tensor or a number, got str")
    yield Invalid([2.0, 3], DTypeError, "x or y must be a gpunet.Tensor, got float and int")


def _pointwise(formula, x=normal):
    for shape in SHAPES:
        yield Case(formula, [x(*shape)])
    yield Edge(formula, [exactly([np.nan, 1.0])])


def add():
    yield from _pairs(operator.add)


def sub():
    yield from _pairs(operator.sub)


def mul():
    yield from _pairs(operator.mul)


def div():
    yield from _pairs(operator.truediv, y=away_from_zero)
    yield Edge(operator.truediv, [exactly([1.0, -1.0, 0.0]), exactly([0.0, 0.0, 0.0])])


def pow_():
    yield from _pairs(operator.pow, x=positive)
    for exponent in (2, 3, -1, 0):
        yield Case(operator.pow, [away_from_zero(31), exponent])
    yield Edge(operator.pow, [exactly([0.0, 2.0]), 0], gradient=lambda x, y: [0, 0])
    zeros, ones = exactly([0.0, 0.0, 0.0]), exactly([0.0, 1.0, 2.0])
    yield Edge(operator.pow, [zeros, ones], gradient=lambda x, y: ([0, 1, 0], [0, 0, 0]))
    message = "Integers to negative integer powers are not allowed; x is (2,) int64 on cpu"
    yield Invalid([exactly([1, 2]), -1], ArgumentError, message)


def neg():
    yield from _pointwise(lambda x: 0 - x)


def exp():
    yield from _pointwise(np.exp)
    far = exactly([-np.inf, -1e4, 1e4, np.inf])
    yield Edge(np.exp, [far], gradient=lambda x: [0, 0, np.inf, np.inf])


def log():
    yield from _pointwise(np.log, positive)
    yield Edge(np.log, [exactly([0.0, np.inf])], gradient=lambda x: [np.inf, 0])
    yield Edge(np.log, [exactly([-1.0])])


def sqrt():
    def formula(x):
        return x**0.5

    yield from _pointwise(formula, positive)
    yield Edge(formula, [exactly([0.0, np.inf])], gradient=lambda x: [np.inf, 0])
    yield Edge(formula, [exactly([-1.0])])


def abs_():
    def formula(x):
        return np.where(x < 0, -x, x)

    yield from _pointwise(formula, away_from_zero)
    yield Case(formula, [exactly([-3, 0, 2])])
    yield Edge(formula, [exactly([-np.inf, -0.0, 0.0])], gradient=lambda x: [-1, 0, 0])
