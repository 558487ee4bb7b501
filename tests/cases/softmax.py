"""Softmax and log-softmax, by their definition."""

import numpy as np

from gpunet.errors import DTypeError, ShapeError
from tests.cases.case import Case, Edge, Invalid, exactly, labels, normal

FAR = [[1e4, 0.0, -1e4], [-1e30, 1e30, 0.0]]
TOP = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def _log_softmax(x, dim):
    return x - np.logaddexp.reduce(x, axis=dim, keepdims=True)


def _softmax(x, dim):
    return np.exp(_log_softmax(x, dim))


def _rows(formula):
    for shape in [(1,), (3,), (31,), (33,), (0, 3), (3, 0), (1, 1), (130, 127)]:
        yield Case(formula, [normal(*shape), -1])
    for dim in (0, 1, 2, -2, -3):
        yield Case(formula, [normal(2, 3, 5)], dict(dim=dim))
    yield Case(formula, [normal(0, 3), 0])
    for width in (
        2,
        16,
        33,
    ):  # a row with a NaN is NaN, wherever in the row it stands; others are not
        x = np.ones((width, width))
        np.fill_diagonal(x, np.nan)
        x[0] = 1.0
        yield Edge(formula, [exactly(x), 1])
    masked = np.zeros((2, 33))
    masked[0, ::2] = masked[1, 1:] = -np.inf
    yield Edge(formula, [exactly(masked), 1])
    yield Edge(formula, [exactly([[-np.inf, -np.inf], [np.inf, 0.0]]), 1])
    yield Invalid(
        [normal(2, 3), 2],
        {},
        ShapeError,
        r"dim must be in \[-2, 2\), got 2; x is \(2, 3\) float64 on cpu",
    )
    yield Invalid([normal(), 0], {}, ShapeError, r"dim must be in \[0, 0\), got 0")
    yield Invalid([labels(2, 3), 0], {}, DTypeError, "x must be float32 or float64, got int64")


def softmax():
    yield from _rows(_softmax)
    yield Edge(_softmax, [exactly(FAR), 1], {}, lambda x, dim: 0 * TOP)


def log_softmax():
    yield from _rows(_log_softmax)
    yield Edge(_log_softmax, [exactly(FAR), 1], {}, lambda x, dim: 1 - 3 * TOP)
