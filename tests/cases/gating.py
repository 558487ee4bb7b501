"""Activation functions with weights, noise or a gate."""

import math

import numpy as np

from gpunet.errors import ArgumentError, DTypeError, ShapeError
from tests.cases.activation import FAR, INFINITE
from tests.cases.case import SEED, Case, Edge, Invalid, away_from_zero, exactly, labels, normal
from tests.cases.dropout import OTHERS, uniform


def prelu():
    def formula(x, weight):
        slopes = weight.reshape(()) if weight.size == 1 else weight.reshape(-1, *[1] * (x.ndim - 2))
        return np.where(x > 0, x, slopes * x)

    for shape in [(), (1,), (31,), (2, 3), (2, 3, 5), (0, 3), (3, 0)]:
        yield Case(formula, [away_from_zero(*shape), normal(1)])
    for shape in [(2, 3), (2, 3, 5), (4, 3, 2, 5), (0, 3), (5, 3, 0)]:
        yield Case(formula, [away_from_zero(*shape), normal(3)])
    yield Case(formula, [away_from_zero(2, 3), normal()])
    yield Case(formula, [away_from_zero(2, 0), normal(0)])
    at_zero = exactly([-0.0, 0.0]), exactly([0.5])
    yield Edge(formula, at_zero, gradient=lambda x, weight: ([0.5, 0.5], [0]))
    yield Edge(formula, [exactly(FAR), exactly([0.5])], gradient=lambda *_: ([1, 1, 1], [0]))
    yield Edge(formula, [exactly([[math.nan] * 33, [1.0] * 33]), exactly([0.5])])
    yield Invalid([normal(2, 3), normal(1, 1)], ShapeError, "weight must have shape () or (C,)")
    rule = "weight must have shape (1,) or (C,) = (3,), got (2,)"
    yield Invalid([normal(2, 3), normal(2)], ShapeError, rule)
    yield Invalid([normal(3), normal(3)], ShapeError, "(C,) = (1,), got (3,)")
    yield Invalid([normal(3), labels(3, 1)], DTypeError, "weight must be floating, got int64")


def rrelu():
    def formula(x, lower=1 / 8, upper=1 / 3, training=False):
        r = (lower + upper) / 2
        if training:
            r = (lower + (upper - lower) * uniform(x.size, SEED, call=1)).reshape(x.shape)
        return np.where(x > 0, x, r * x).astype(x.dtype)

    for shape in [(), (1,), (4,), (31,), (2, 3, 5), (0, 3)]:
        yield Case(formula, [away_from_zero(*shape)])
        yield Case(formula, [away_from_zero(*shape)], dict(training=True), unlike_torch=OTHERS)
    yield Case(formula, [away_from_zero(31), -0.5, 0.25, True], unlike_torch=OTHERS)
    yield Case(formula, [away_from_zero(31), 0.25, 0.25, True])
    yield Edge(formula, [INFINITE], gradient=lambda x: [11 / 48, 1])
    yield Edge(formula, [exactly([-0.0, 0.0])], gradient=lambda x: [11 / 48, 11 / 48])
    yield Edge(formula, [exactly([math.nan, 1.0])], dict(training=True))
    for lower, upper in [(0.5, 0.25), (math.nan, 1.0), (0.0, math.inf)]:
        rule = f"lower must be at most upper, both finite, got {lower} and {upper}"
        yield Invalid([normal(3), lower, upper], ArgumentError, rule)


def glu():
    def formula(x, dim=-1):
        a, b = np.split(x, 2, axis=dim)
        return a / (1 + np.exp(-b))

    for shape in [(2,), (62,), (3, 4), (2, 3, 4), (0, 4), (3, 0)]:
        yield Case(formula, [normal(*shape)])
    for dim in (0, 1, 2, -2):
        yield Case(formula, [normal(2, 4, 6), dim])
    extremes = exactly([2.0, 2.0, 2.0, -1e4, 0.0, 1e4])
    yield Edge(formula, [extremes], gradient=lambda x: [0, 0.5, 1, 0, 0.5, 0])
    yield Invalid([normal(2, 3)], ShapeError, "axis 1 must have an even length, got 3")
    yield Invalid([normal(2, 4), 2], ShapeError, "dim must be in [-2, 2), got 2")
    yield Invalid([normal()], ShapeError, "dim must be in [0, 0), got -1")
