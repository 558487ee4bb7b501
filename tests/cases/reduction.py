"""Reductions: one addition after the other."""

import math

import numpy as np

from gpunet.errors import ShapeError
from tests.cases.case import Case, Edge, Invalid, exactly, labels, normal


def _axes(x, dim):
    dims = range(x.ndim) if dim is None else (dim,) if isinstance(dim, int) else dim
    return [d % x.ndim for d in dims]


def _sum(x, dim=None, keepdim=False):
    axes = _axes(x, dim)
    dtype = x.dtype if x.dtype.kind == "f" else "int64"
    total = np.zeros([1 if i in axes else n for i, n in enumerate(x.shape)], dtype)
    for index in np.ndindex(x.shape):
        total[tuple(0 if i in axes else k for i, k in enumerate(index))] += x[index]
    return total if keepdim else total.squeeze(tuple(axes))


def _mean(x, dim=None, keepdim=False):
    return _sum(x, dim, keepdim) / math.prod(x.shape[i] for i in _axes(x, dim))


def _both(formula):
    for shape in [(), (1,), (31,), (33,), (2, 3), (2, 3, 5), (300,)]:
        yield Case(formula, [normal(*shape)])
    for dim in (0, 1, 2, -1, -3, (0, 2), (-1, 1), (0, 1, 2), ()):
        for keepdim in (False, True):
            yield Case(formula, [normal(2, 3, 5)], dict(dim=dim, keepdim=keepdim))
    yield Case(formula, [normal(2, 3), 0, True])
    yield Case(formula, [normal(0, 3)], dict(dim=1))
    yield Edge(formula, [exactly([[np.nan, 1.0], [1.0, 1.0]])], dict(dim=1))
    for dim in (2, -3):
        rule = f"dim must be in [-2, 2), got {dim}; x is (2, 3) float64 on cpu"
        yield Invalid([normal(2, 3), dim], ShapeError, rule)
    yield Invalid([normal(2, 3), (1, -1)], ShapeError, "dim must name each axis once, got (1, -1)")


def sum_():
    yield from _both(_sum)
    yield Case(_sum, [normal(0, 3)], dict(dim=0))
    yield Case(_sum, [labels(9, 2, 3)], dict(dim=0))
    yield Case(_sum, [exactly([True, False, True])])


def mean():
    yield from _both(_mean)
    yield Edge(_mean, [normal(0, 3)], dict(dim=0))
