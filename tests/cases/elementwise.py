"""Exponentials and logarithms: NumPy's, and the C library's error function."""

import math

import numpy as np

from gpunet.errors import ArgumentError
from tests.cases.case import Case, Edge, Invalid, constant, exactly, normal, positive
from tests.cases.grid import pairs, pointwise, uniform

NAN, INF = np.nan, np.inf
FAR_APART = [constant(exactly([1e4, -1e4, 0.0])), constant(exactly([1e4, -1e4, 1e4]))]
FAR = exactly([-INF, -1e4, 1e4, INF])


def exp():
    yield from pointwise(np.exp)
    yield Edge(np.exp, [FAR], gradient=lambda x: [0, 0, INF, INF])


def exp2():
    yield from pointwise(lambda x: 2.0**x)
    yield Edge(lambda x: 2.0**x, [FAR], gradient=lambda x: [0, 0, INF, INF])


def expm1():
    yield from pointwise(np.expm1)
    yield Case(lambda x: x + x**2 / 2 + x**3 / 6, [exactly([1e-6, -1e-6])])
    yield Edge(np.expm1, [FAR], gradient=lambda x: [0, 0, INF, INF])


def _logarithm(formula, pole):
    yield from pointwise(formula, positive)
    yield Edge(formula, [exactly([pole, INF])], gradient=lambda x: [INF, 0])
    yield Edge(formula, [exactly([-2.0])])


def log():
    yield from _logarithm(np.log, 0.0)


def log2():
    yield from _logarithm(lambda x: np.log(x) / math.log(2), 0.0)


def log10():
    yield from _logarithm(lambda x: np.log(x) / math.log(10), 0.0)


def log1p():
    yield from _logarithm(np.log1p, -1.0)
    yield Case(lambda x: x - x**2 / 2 + x**3 / 3, [exactly([1e-6, -1e-6])])


def _each(function):
    return lambda x: np.vectorize(function, otypes=[float])(x) if np.size(x) else x


def erf():
    formula = _each(math.erf)
    yield from pointwise(formula)
    slope = 2 / math.sqrt(math.pi)
    far = exactly([-INF, -1e4, 0.0, 1e4, INF])
    yield Edge(formula, [far], gradient=lambda x: [0, 0, slope, 0, 0])


def erfc():
    formula = _each(math.erfc)
    yield from pointwise(formula)
    yield Case(formula, [exactly([3.0, 3.5, 4.0])])  # small, and not 0
    slope = -2 / math.sqrt(math.pi)
    far = exactly([-INF, -1e4, 0.0, 1e4, INF])
    yield Edge(formula, [far], gradient=lambda x: [0, 0, slope, 0, 0])


def logit():
    def formula(x, eps=None):
        if eps is not None:
            x = np.where(x < eps, eps, np.where(x > 1 - eps, 1 - eps, x))
        return np.log(x) - np.log(1 - x)

    yield from pointwise(formula, uniform(0.1, 0.9), integers=())
    for eps in (0.0, 0.25):
        yield Case(formula, [uniform(0.1, 0.9)(31)], dict(eps=eps))
    beyond = exactly([-0.5, 0.0, 1.0, 2.0])
    yield Edge(formula, [beyond], gradient=lambda x: [NAN, INF, INF, NAN])
    bounds = exactly([-0.5, 0.25, 0.75, 2.0])
    slopes = [0, 16 / 3, 16 / 3, 0]
    yield Edge(formula, [bounds], dict(eps=0.25), gradient=lambda x, eps: slopes)
    message = "eps must be in [0, 0.5], got 0.6"
    yield Invalid([normal(3)], ArgumentError, message, dict(eps=0.6))


def logaddexp():
    def formula(x, y):
        return np.log(np.exp(x) + np.exp(y))

    yield from pairs(formula, integers=False, unlike_torch="it wants two tensors")
    yield Case(np.logaddexp, FAR_APART)
    yield Edge(
        np.logaddexp,
        [exactly([INF, 1.0, -INF, 1e4]), exactly([1.0, -INF, 0.0, -1e4])],
        gradient=lambda x, y: ([1, 1, 0, 1], [0, 0, 1, 0]),
    )


def logaddexp2():
    def formula(x, y):
        return np.log2(2.0**x + 2.0**y)

    yield from pairs(formula, integers=False, unlike_torch="it wants two tensors")
    yield Case(np.logaddexp2, FAR_APART)
    yield Edge(
        np.logaddexp2,
        [exactly([INF, 1.0, -INF, 1e4]), exactly([1.0, -INF, 0.0, -1e4])],
        gradient=lambda x, y: ([1, 1, 0, 1], [0, 0, 1, 0]),
    )


def xlogy():
    yield from pairs(lambda x, y: x * np.log(y), y=positive, integers=False)
    yield Case(lambda x, y: x * np.log(y), [exactly([1, 2]), 2])
    yield Edge(
        lambda x, y: np.array([0, 0, NAN, NAN, -INF, 0]),
        [exactly([0.0, 0, 0, 1, 1, 0]), exactly([0.0, -1, NAN, -1, 0, INF])],
        gradient=lambda x, y: ([0, 0, NAN, NAN, -INF, INF], [NAN, 0, NAN, -1, INF, 0]),
    )
