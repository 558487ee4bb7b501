"""Softmax and its kin, by their definition."""

import numpy as np

from gpunet.errors import ArgumentError, DTypeError, ShapeError
from tests.cases.case import SEED, Case, Edge, Invalid, exactly, labels, normal
from tests.cases.dropout import OTHERS, uniform

FAR = exactly([[1e4, 0.0, -1e4], [-1e30, 1e30, 0.0]])
HIGHEST = np.array([[1, 0, 0], [0, 1, 0]])


def _log_softmax(x, dim, dtype=None):
    x = x if dtype is None else x.astype("float64")  # of whole numbers
    return x - np.logaddexp.reduce(np.atleast_1d(x), axis=dim, keepdims=x.ndim > 0)


def _softmax(x, dim, dtype=None):
    return np.exp(_log_softmax(x, dim, dtype))


def _softmin(x, dim, dtype=None):
    return _softmax(-x, dim, dtype)


def _along(formula, never=-np.inf):
    for shape in [(1,), (3,), (31,), (33,), (0, 3), (3, 0), (1, 1), (130, 127)]:
        yield Case(formula, [normal(*shape), -1])
    for dim in (0, 1, 2, -2, -3):
        yield Case(formula, [normal(2, 3, 5)], dict(dim=dim))
    yield Case(formula, [normal(0, 3), 0])
    yield Case(formula, [normal(), 0])
    yield Case(formula, [normal(), -1])
    yield Case(formula, [labels(9, 2, 3)], dict(dim=1, dtype="float32"))
    for width in (2, 16, 33):  # a NaN spoils its own row, wherever it stands, and no other
        x = np.ones((width, width))
        np.fill_diagonal(x[1:], np.nan)
        yield Edge(formula, [exactly(x), 1])
    masked = np.zeros((3, 33))
    masked[0, ::2] = masked[1, 1:] = masked[2] = never
    yield Edge(formula, [exactly(masked), 1])
    rule = "dim must be in [-2, 2), got 2; x is (2, 3) float64 on cpu"
    yield Invalid([normal(2, 3), 2], ShapeError, rule)
    yield Invalid([normal(), 1], ShapeError, "dim must be in [0, 0), got 1")
    yield Invalid([normal(3), 0, "int64"], DTypeError, "dtype must be floating, got int64")
    yield Invalid([labels(9, 3), 0], DTypeError, "x must be floating, got int64")


def softmax():
    yield from _along(_softmax)
    yield Edge(_softmax, [FAR, 1], gradient=lambda x, dim: 0 * HIGHEST)


def log_softmax():
    yield from _along(_log_softmax)
    yield Edge(_log_softmax, [FAR, 1], gradient=lambda x, dim: 1 - 3 * HIGHEST)


def softmin():
    yield from _along(_softmin, never=np.inf)
    yield Edge(_softmin, [FAR, 1], gradient=lambda x, dim: 0 * HIGHEST)


def gumbel_softmax():
    def formula(x, tau=1.0, hard=False, dim=-1):
        noise = -np.log(-np.log(uniform(x.size, SEED, call=1))).reshape(x.shape)
        y = _softmax(((x + noise) / tau).astype(x.dtype), dim)
        highest = y == y.max(dim, keepdims=True) if y.ndim else np.array(True)
        return highest.astype(x.dtype) if hard else y

    for shape in [(), (1,), (31,), (2, 3), (2, 3, 5), (0, 3)]:
        yield Case(formula, [normal(*shape)], unlike_torch=OTHERS)
    for dim in (0, 1, -2):
        yield Case(formula, [normal(2, 3, 5), 0.5], dict(dim=dim), unlike_torch=OTHERS)
        # Its gradient is that of the soft one, and so no difference quotient.
        hard = [normal(2, 3, 5), 0.5, True]
        yield Edge(formula, hard, dict(dim=dim), unlike_torch=OTHERS)
    yield Edge(formula, [normal(), 1.0, True], gradient=lambda *_: 0)
    for tau in (0.0, -1.0, float("nan")):
        yield Invalid([normal(3), tau], ArgumentError, f"tau must be positive, got {tau}")
    rule = "dim must be in [-2, 2), got 2"
    yield Invalid([normal(2, 3)], ShapeError, rule, dict(dim=2))
