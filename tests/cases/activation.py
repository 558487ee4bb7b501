"""Activation functions: the formulas of their papers."""

import math

import numpy as np

from gpunet.errors import ArgumentError, DTypeError
from tests.cases.case import Case, Edge, Invalid, away_from, exactly, labels, normal

FAR = np.array(
    [1e4, 1e30, 3e38]
)  # where every slope has reached its limit, up to the end of float32


def _pointwise(formula, slopes, kink=0.0, **kwargs):
    """Every remainder of a vector loop, no elements, both far ends (with the slopes there), NaN."""
    for shape in [(), (1,), (3,), (31,), (33,), (4, 9), (2, 3, 5), (0,), (2, 0, 3), (130, 127)]:
        yield Case(formula, [away_from(kink, *shape)], kwargs)
    yield Case(formula, [exactly([-90.0, -20.0, 20.0, 90.0])], kwargs)
    for end, slope in zip((-FAR, FAR), slopes, strict=True):
        yield Edge(
            formula, [exactly(end)], kwargs, lambda x, slope=slope, **_: np.full_like(x, slope)
        )
    nan = [[math.nan] * 33, [1.0] * 33]
    yield Edge(formula, [exactly(nan)], kwargs)
    yield Invalid(
        [labels(2, 3)],
        kwargs,
        DTypeError,
        r"x must be float32 or float64, got int64; x is \(3,\) int64 on cpu",
    )


def relu():
    def formula(x):
        return np.maximum(x, 0)

    yield from _pointwise(formula, slopes=(0, 1))
    yield Edge(formula, [exactly([0.0, -0.0])], gradient=lambda x: [0, 0])
    yield Edge(formula, [exactly([-np.inf, np.inf])], gradient=lambda x: [0, 1])


def leaky_relu():
    def formula(x, negative_slope=0.01):
        return np.maximum(x, 0) + negative_slope * np.minimum(x, 0)

    yield from _pointwise(formula, slopes=(0.01, 1))
    for negative_slope in (0.0, 0.3, -0.5):
        yield Case(formula, [away_from(0, 31)], dict(negative_slope=negative_slope))
    yield Edge(formula, [exactly([0.0, -0.0])], gradient=lambda x: [0.01, 0.01])
    yield Edge(formula, [exactly([-np.inf, np.inf])], gradient=lambda x: [0.01, 1])


def elu():
    def formula(x, alpha=1.0):
        return np.maximum(x, 0) + alpha * np.expm1(np.minimum(x, 0))

    yield from _pointwise(formula, slopes=(0, 1))
    for alpha in (0.5, 2.0):
        yield Case(formula, [away_from(0, 31)], dict(alpha=alpha))
    yield Edge(formula, [exactly([-np.inf, np.inf])], dict(alpha=1.5), lambda x, alpha: [0, 1])


def sigmoid():
    def formula(x):
        return 1 / (1 + np.exp(-x))

    yield from _pointwise(formula, slopes=(0, 0))
    yield Edge(formula, [exactly([-np.inf, np.inf])], gradient=lambda x: [0, 0])


def tanh():
    yield from _pointwise(np.tanh, slopes=(0, 0))
    yield Edge(np.tanh, [exactly([-np.inf, np.inf])], gradient=lambda x: [0, 0])


_erf = np.vectorize(math.erf, otypes=[float])


def gelu():
    def formula(x, approximate="none"):
        if approximate == "tanh":
            return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
        return x / 2 * (1 + _erf(x / math.sqrt(2)).astype(x.dtype))

    for approximate in ("none", "tanh"):
        yield from _pointwise(formula, slopes=(0, 1), approximate=approximate)
    message = "approximate must be one of 'none', 'tanh', got 'erf'"
    yield Invalid([normal(3)], dict(approximate="erf"), ArgumentError, message)


def silu():
    yield from _pointwise(lambda x: x / (1 + np.exp(-x)), slopes=(0, 1))


def softplus():
    def formula(x, beta=1.0):
        return np.logaddexp(0, beta * x) / beta

    yield from _pointwise(formula, slopes=(0, 1))
    for beta in (0.5, 3.0):
        yield Case(formula, [normal(31)], dict(beta=beta))
    yield Edge(formula, [exactly([-np.inf, np.inf])], gradient=lambda x: [0, 1])


def mish():
    yield from _pointwise(lambda x: x * np.tanh(np.log1p(np.exp(x))), slopes=(0, 1))
