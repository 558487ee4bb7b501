"""Softmax and log-softmax, by their definition."""

import numpy as np

from gpunet.errors import ShapeError
from tests.cases.case import Case, Edge, Invalid, exactly, normal

FAR = exactly([[1e4, 0.0, -1e4], [-1e30, 1e30, 0.0]])
HIGHEST = np.array([[1, 0, 0], [0, 1, 0]])


def _log_softmax(x, dim):
    return x - np.logaddexp.reduce(x, axis=dim, keepdims=True)


def _softmax(x, dim):
    return np.exp(_log_softmax(x, dim))


def _both(formula):
    for shape in [(1,), (3,), (31,), (33,), (0, 3), (3, 0), (1, 1), (130, 127)]:
        yield Case(formula, [normal(*shape), -1])
    for dim in (0, 1, 2, -2, -3):
        yield Case(formula, [normal(2, 3, 5)], dict(dim=dim))
    yield Case(formula, [normal(0, 3), 0])
    for width in (2, 16, 33):  # a NaN spoils its own row, wherever it stands, and no other
        x = np.ones((width, width))
        np.fill_diagonal(x[1:], np.nan)
        yield Edge(formula, [exactly(x), 1])
    masked = np.zeros((3, 33))
    masked[0, ::2] = masked[1, 1:] = masked[2] = -np.inf
    yield Edge(formula, [exactly(masked), 1])
    rule = "dim must be in [-2, 2), got 2; x is (2, 3) float64 on cpu"
    yield Invalid([normal(2, 3), 2], ShapeError, rule)
    yield Invalid([normal(), 0], ShapeError, "dim must be in [0, 0), got 0")


def softmax():
    yield from _both(_softmax)
    yield Edge(_softmax, [FAR, 1], gradient=lambda x, dim: 0 * HIGHEST)


def log_softmax():
    yield from _both(_log_softmax)
    yield Edge(_log_softmax, [FAR, 1], gradient=lambda x, dim: 1 - 3 * HIGHEST)
