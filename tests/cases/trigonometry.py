"""Circular and hyperbolic functions: NumPy's; gradients are what is in doubt."""

import math

import numpy as np

from tests.cases.case import Case, Edge, away_from_zero, constant, exactly
from tests.cases.grid import pairs, pointwise, uniform

NAN, INF = np.nan, np.inf
INSIDE = uniform(-0.9, 0.9)
NO_NUMBERS = "it wants two tensors"
ENDS = exactly([-1.0, 1.0])


def sin():
    yield from pointwise(np.sin)
    yield Edge(np.sin, [exactly([0.0, INF])], gradient=lambda x: [1, NAN])


def cos():
    yield from pointwise(np.cos)
    yield Edge(np.cos, [exactly([0.0, INF])], gradient=lambda x: [0, NAN])


def tan():
    yield from pointwise(np.tan, INSIDE)
    yield Edge(np.tan, [exactly([0.0, INF])], gradient=lambda x: [1, NAN])


def asin():
    yield from pointwise(np.arcsin, INSIDE, integers=(0, 1))
    yield Edge(np.arcsin, [ENDS], gradient=lambda x: [INF, INF])
    yield Edge(np.arcsin, [exactly([2.0, -INF])], gradient=lambda x: [NAN, NAN])


def acos():
    yield from pointwise(np.arccos, INSIDE, integers=(0, 1))
    yield Edge(np.arccos, [ENDS], gradient=lambda x: [-INF, -INF])
    yield Edge(np.arccos, [exactly([2.0, -INF])], gradient=lambda x: [NAN, NAN])


def atan():
    yield from pointwise(np.arctan)
    yield Edge(np.arctan, [exactly([-INF, 0.0, 1e4])], gradient=lambda x: [0, 1, 1 / (1 + 1e8)])


def sinh():
    yield from pointwise(np.sinh)
    yield Edge(np.sinh, [exactly([-1e4, 0.0, INF])], gradient=lambda x: [INF, 1, INF])


def cosh():
    yield from pointwise(np.cosh)
    yield Edge(np.cosh, [exactly([-1e4, 0.0, INF])], gradient=lambda x: [-INF, 0, INF])


def asinh():
    yield from pointwise(np.arcsinh)
    yield Edge(
        np.arcsinh, [exactly([-INF, 0.0, 1e4])], gradient=lambda x: [0, 1, 1 / math.sqrt(1 + 1e8)]
    )


def acosh():
    yield from pointwise(np.arccosh, uniform(1.5, 4))
    yield Edge(np.arccosh, [exactly([1.0, INF, 0.5])], gradient=lambda x: [INF, 0, NAN])


def atanh():
    yield from pointwise(np.arctanh, INSIDE, integers=())
    yield Edge(np.arctanh, [exactly([-1.0, 1.0, 0.0])], gradient=lambda x: [INF, INF, 1])
    yield Edge(np.arctanh, [exactly([2.0, -INF])])


def deg2rad():
    yield from pointwise(lambda x: x / 180 * math.pi, integers=(90, -30))


def rad2deg():
    yield from pointwise(lambda x: x / math.pi * 180, integers=(1, -3))


def sinc():
    def formula(x):
        a = np.asarray(x * math.pi)
        return np.where(x == 0, 1, np.sin(a) / np.where(a == 0, 1, a))

    yield from pointwise(formula, uniform(0.3, 0.9), integers=())
    yield Case(formula, [exactly([0])])
    yield Edge(formula, [exactly([0.0, INF])], gradient=lambda x: [0, NAN])

    def slope(x):  # the series: cos a − sin a / a cancels there
        a = x.astype("float64") * math.pi
        return -math.pi * a / 3 * (1 - a**2 / 10 + a**4 / 280)

    reason = "it loses digits there"
    yield Edge(formula, [exactly([1e-3, -1e-5])], gradient=slope, unlike_torch=reason)


def atan2():
    yield from pairs(np.arctan2, away_from_zero, away_from_zero, unlike_torch=NO_NUMBERS)
    yield Edge(
        np.arctan2,
        [exactly([0.0, 0.0, 0.0, 2.0]), exactly([0.0, 1.0, -2.0, 0.0])],
        gradient=lambda x, y: ([0, 1, -0.5, 0], [0, 0, 0, -0.5]),
    )


def hypot():
    def formula(x, y):
        return (x * x + y * y) ** 0.5

    draw = away_from_zero
    yield from pairs(formula, draw, draw, integers=False, unlike_torch=NO_NUMBERS)
    yield Case(np.hypot, [constant(exactly([3e4, 1e-4])), constant(exactly([4e4, 0.0]))])
    yield Edge(
        np.hypot,
        [exactly([0.0, 3.0, INF]), exactly([0.0, -4.0, 1.0])],
        gradient=lambda x, y: ([NAN, 0.6, NAN], [NAN, -0.8, 0]),
    )
