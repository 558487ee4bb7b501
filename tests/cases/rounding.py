"""Whole parts and signs: Python's division and rounding."""

import numpy as np

from gpunet.errors import DTypeError
from tests.cases.case import Case, Edge, Invalid, away_from_zero, constant, exactly, normal
from tests.cases.grid import pairs, pointwise, steps

NAN, INF = np.nan, np.inf
BOOLS = exactly([True, False])
TIES = exactly([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.0])
REFUSED = "x must be numeric, got bool; x is (2,) bool on cpu"


def _down(x):
    return x // 1


def _up(x):
    return -(-x // 1)


def _whole(x):
    return np.where(x < 0, _up(x), _down(x))


def floor():
    yield from steps(_down)
    yield Case(_down, [constant(TIES)])
    yield Edge(lambda x: x, [exactly([INF, -INF, NAN])], gradient=lambda x: [0, 0, 0])
    yield Invalid([BOOLS], DTypeError, REFUSED)


def ceil():
    yield from steps(_up)
    yield Case(_up, [constant(TIES)])
    yield Invalid([BOOLS], DTypeError, REFUSED)


def trunc():
    yield from steps(_whole)
    yield Case(_whole, [constant(TIES)])
    yield Invalid([BOOLS], DTypeError, REFUSED)


def round_():
    def formula(x, decimals=0):
        if x.dtype.kind == "i":
            return x
        return np.array([round(float(v), decimals) for v in x.flat]).reshape(x.shape)

    yield from steps(formula)
    yield Case(lambda x: np.array([-2.0, -2, 0, 0, 2, 2, 3]), [constant(TIES)])
    for decimals in (1, 2, -1):
        yield Case(formula, [constant(normal(31))], dict(decimals=decimals))
        yield Edge(
            formula,
            [normal(3)],
            dict(decimals=decimals),
            gradient=lambda x, decimals: np.zeros_like(x),
        )
    yield Invalid([BOOLS], DTypeError, REFUSED)
    message = "x must be floating, got int64; x is (2,) int64 on cpu"
    yield Invalid([exactly([1, 2])], DTypeError, message, dict(decimals=1))


def frac():
    def formula(x):
        return np.where(x < 0, -1, 1) * (np.abs(x) % 1)

    yield from pointwise(formula, integers=())
    yield Edge(formula, [exactly([0.0, 2.0, -2.5, INF])], gradient=lambda x: [1, 1, 1, 1])


def sign():
    def formula(x):
        return np.where(x > 0, 1, np.where(x < 0, -1, 0)).astype(x.dtype)

    yield from steps(formula)
    yield Case(formula, [BOOLS])
    yield Edge(formula, [exactly([INF, -INF, NAN, -0.0])], gradient=lambda x: [0, 0, 0, 0])


def copysign():
    def formula(x, y):
        return np.abs(x) * np.where(np.signbit(y), -1.0, 1.0)

    first = "it wants a tensor first"
    yield from pairs(formula, away_from_zero, away_from_zero, integers=False, first=first)
    yield Edge(
        formula,
        [exactly([0.0, 1.0, -2.0, 3.0]), exactly([-1.0, -0.0, 0.0, np.nan])],
        gradient=lambda x, y: ([0, -1, -1, 1], [0, 0, 0, 0]),
    )
    yield Case(np.copysign, [exactly([1, -2]), exactly([-3, 4])])


def heaviside():
    def formula(x, values):
        return np.where(x == 0, values, np.where(x > 0, 1, 0)).astype(values.dtype)

    reason = "it has no gradient there"
    for x, values in ((31, 31), (31, 1), (1, 31)):
        yield Case(formula, [constant(normal(x)), constant(normal(values))])
    yield Case(formula, [exactly([[1], [0], [-2]]), exactly([5, 6])])
    yield Case(formula, [BOOLS, exactly([True, True])])
    kinks = [exactly([-1.0, 0.0, -0.0, 2.0, NAN]), exactly([5.0, 6, 7, 8, 9])]
    slopes = ([0] * 5, [0, 1, 1, 0, 0])
    yield Edge(formula, kinks, gradient=lambda x, values: slopes, unlike_torch=reason)
    message = "values must be a gpunet.Tensor, got float"
    yield Invalid([normal(3), 0.5], DTypeError, message)


def nan_to_num():
    def formula(x, nan=None, posinf=None, neginf=None):
        if x.dtype.kind != "f":
            return x
        bounds = np.finfo(x.dtype)
        y = np.where(x != x, nan or 0, x)
        y = np.where(x == INF, bounds.max if posinf is None else posinf, y)
        return np.where(x == -INF, bounds.min if neginf is None else neginf, y)

    yield from pointwise(formula)
    yield Case(formula, [BOOLS])
    given = [1.0, NAN, INF, -INF]
    for kwargs in (dict(posinf=9, neginf=-8), dict(nan=3.0, posinf=7.0, neginf=0)):
        yield Edge(formula, [exactly(given)], kwargs, gradient=lambda *_, **__: [1, 0, 0, 0])


def isnan():
    yield from _tests(lambda x: x != x)


def isinf():
    yield from _tests(lambda x: np.abs(x) == INF)


def isfinite():
    yield from _tests(lambda x: np.abs(x) < INF)


def _tests(formula):
    for shape in ((), (31,), (2, 3), (0, 3)):
        yield Case(formula, [constant(normal(*shape))])
    yield Edge(formula, [constant(exactly([NAN, INF, -INF, 0.0]))])
    yield Case(formula, [exactly([1, 2])])
    yield Invalid([1.0], DTypeError, "x must be a gpunet.Tensor, got float")
