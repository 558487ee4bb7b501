"""Activation functions: the formulas of their papers."""

import math

import numpy as np

from gpunet.errors import ArgumentError
from tests.cases.case import Case, Edge, Invalid, away_from_zero, exactly, normal

FAR = np.array([1e10, 1e30, 3e38])  # slopes have reached their limit; up to the end of float32
INFINITE = exactly([-np.inf, np.inf])


def _pointwise(formula, slopes, *inputs, small=1e-3, unlike="", **kwargs):
    """All remainders of vector loops, no elements, both far ends (with the slopes there), NaN.

    `unlike` says what PyTorch does otherwise at the far ends.
    """
    for shape in [(), (1,), (3,), (31,), (33,), (4, 9), (2, 3, 5), (0,), (2, 0, 3), (130, 127)]:
        yield Case(formula, [away_from_zero(*shape), *inputs], kwargs)
    yield Case(formula, [exactly([-small, small]), *inputs], kwargs)  # where y is small
    yield Case(formula, [exactly([-1e3, -90.0, -19.0, 19.0, 90.0, 1e3]), *inputs], kwargs)
    for end, slope in zip((-FAR, FAR), slopes, strict=True):
        limit = np.full(3, slope)
        gradient = lambda *_, limit=limit, **__: limit  # noqa: E731
        yield Edge(formula, [exactly(end), *inputs], kwargs, gradient=gradient, unlike_torch=unlike)
    yield Edge(formula, [exactly([[math.nan] * 33, [1.0] * 33]), *inputs], kwargs)


def relu():
    def formula(x):
        return np.maximum(x, 0)

    yield from _pointwise(formula, slopes=(0, 1))
    yield Edge(formula, [exactly([-0.0, 0.0])], gradient=lambda x: [0, 0])
    yield Edge(formula, [INFINITE], gradient=lambda x: [0, 1])


def leaky_relu():
    def formula(x, negative_slope=0.01):
        return np.maximum(x, 0) + negative_slope * np.minimum(x, 0)

    yield from _pointwise(formula, slopes=(0.01, 1))
    for negative_slope in (0.0, 0.3, -0.5):
        yield Case(formula, [away_from_zero(31)], dict(negative_slope=negative_slope))
    yield Edge(formula, [exactly([-0.0, 0.0])], gradient=lambda x: [0.01, 0.01])
    yield Edge(formula, [INFINITE], gradient=lambda x: [0.01, 1])


def elu():
    def formula(x, alpha=1.0):
        return np.maximum(x, 0) + alpha * np.expm1(np.minimum(x, 0))

    yield from _pointwise(formula, slopes=(0, 1))
    for alpha in (0.5, 2.0, -0.5):
        yield Case(formula, [away_from_zero(31)], dict(alpha=alpha))
    at_zero = exactly([-0.0, 0.0])
    yield Edge(formula, [at_zero], dict(alpha=0.5), gradient=lambda x, alpha: [0.5, 0.5])
    yield Edge(formula, [INFINITE], gradient=lambda x: [0, 1])


def selu():
    def formula(x):
        alpha, scale = 1.67326324235437728481704, 1.05070098735548049341933
        return scale * (np.maximum(x, 0) + alpha * np.expm1(np.minimum(x, 0)))

    scale = 1.05070098735548049341933
    yield from _pointwise(formula, slopes=(0, scale))
    left = 1.67326324235437728481704 * scale
    yield Edge(formula, [exactly([-0.0, 0.0])], gradient=lambda x: [left, left])
    yield Edge(formula, [INFINITE], gradient=lambda x: [0, scale])


def celu():
    def formula(x, alpha=1.0):
        return np.maximum(x, 0) + np.minimum(0, alpha * np.expm1(x / alpha))

    yield from _pointwise(formula, slopes=(0, 1))
    for alpha in (0.5, 2.0):
        yield Case(formula, [away_from_zero(31)], dict(alpha=alpha))
    yield Edge(formula, [exactly([-0.0, 0.0])], dict(alpha=2.0), gradient=lambda x, alpha: [1, 1])
    yield Invalid([normal(3), 0.0], ArgumentError, "alpha must not be 0")


def sigmoid():
    def formula(x):
        return 1 / (1 + np.exp(-x))

    yield from _pointwise(formula, slopes=(0, 0))
    yield Case(formula, [exactly([-2, 0, 3])])
    yield Edge(formula, [INFINITE], gradient=lambda x: [0, 0])


def logsigmoid():
    def formula(x):
        return -np.logaddexp(0, -x)

    yield from _pointwise(formula, slopes=(1, 0))
    yield Case(formula, [exactly([20.0, 80.0])])  # tiny, and not 0
    yield Edge(formula, [INFINITE], gradient=lambda x: [1, 0])


def tanh():
    yield from _pointwise(np.tanh, slopes=(0, 0))
    yield Case(np.tanh, [exactly([-2, 0, 3])])
    yield Edge(np.tanh, [INFINITE], gradient=lambda x: [0, 0])


def tanhshrink():
    # Near 0 the formula itself, which is PyTorch's, has no digits left in float32.
    yield from _pointwise(lambda x: x - np.tanh(x), slopes=(1, 1), small=0.5)


def softsign():
    formula = lambda x: x / (1 + np.abs(x))  # noqa: E731
    yield from _pointwise(formula, slopes=(0, 0))
    none = "its gradient is NaN at infinity"
    yield Edge(formula, [INFINITE], gradient=lambda x: [0, 0], unlike_torch=none)
    yield Edge(lambda x: x, [exactly([-0.0, 0.0])], gradient=lambda x: [1, 1])


_erf = np.vectorize(math.erf, otypes=[float])


def gelu():
    def formula(x, approximate="none"):
        if approximate == "tanh":
            return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
        return x / 2 * (1 + _erf(x / math.sqrt(2)).astype(x.dtype))

    doubled = "where vectors have 64 bytes it doubles x first, which overflows"
    yield from _pointwise(formula, slopes=(0, 1), unlike=doubled)
    cube = "its gradient is NaN where x³ overflows"
    yield from _pointwise(formula, slopes=(0, 1), unlike=cube, approximate="tanh")
    message = "approximate must be one of 'none', 'tanh', got 'erf'"
    yield Invalid([normal(3)], ArgumentError, message, dict(approximate="erf"))


def silu():
    yield from _pointwise(lambda x: x / (1 + np.exp(-x)), slopes=(0, 1))


def softplus():
    def formula(x, beta=1.0, threshold=20.0):
        return np.where(beta * x > threshold, x, np.logaddexp(0, beta * x) / beta)

    yield from _pointwise(formula, slopes=(0, 1))
    yield Case(formula, [exactly([-80.0, -20.0])])  # tiny, and not 0
    for beta in (0.5, 3.0, -1.0):
        yield Case(formula, [normal(31)], dict(beta=beta))
    yield Case(formula, [away_from_zero(31)], dict(beta=2.0, threshold=0.0))
    below_and_at, above = exactly([3.0, 4.0]), exactly([4.5])  # of the threshold; then x itself
    yield Case(formula, [above, 0.5, 2.0])
    slope = 1 / (1 + np.exp(-np.array([1.5, 2.0])))
    yield Edge(formula, [below_and_at, 0.5, 2.0], gradient=lambda *_: slope)
    yield Edge(formula, [INFINITE], gradient=lambda x: [0, 1])


def mish():
    formula = lambda x: x * np.tanh(np.log1p(np.exp(x)))  # noqa: E731
    yield from _pointwise(formula, slopes=(0, 1))
    none = "its gradient is NaN at infinity"
    yield Edge(formula, [INFINITE], gradient=lambda x: [np.nan, 1], unlike_torch=none)
