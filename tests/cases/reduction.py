"""Reductions: one element after the other."""

import functools
import math

import numpy as np

from gpunet.errors import ArgumentError, DTypeError, ShapeError
from tests.cases.along import reduced
from tests.cases.case import (
    Case,
    Edge,
    Invalid,
    away_from_zero,
    constant,
    exactly,
    labels,
    normal,
    positive,
)

SHAPES = [(), (1,), (31,), (33,), (2, 3), (2, 3, 5), (300,)]
NAN = float("nan")
INF = float("inf")


def _start(row, value):
    """A number that a total begins with: floating as the row, else int64."""
    return (row.dtype if row.dtype.kind == "f" else np.dtype("int64")).type(value)


def _total(row):
    return sum(row, start=_start(row, 0))


def _average(row):
    return _total(row) / len(row)


def _spread(row, correction):
    return _total((row - _average(row)) ** 2) / row.dtype.type(max(len(row) - correction, 0))


def _sum(x, dim=None, keepdim=False, dtype=None):
    return reduced(_total, x if dtype is None else x.astype(dtype), dim, keepdim)


def _mean(x, dim=None, keepdim=False, dtype=None):
    return reduced(_average, x if dtype is None else x.astype(dtype), dim, keepdim)


def _prod(x, dim=None, keepdim=False):
    return reduced(lambda row: math.prod(row, start=_start(row, 1)), x, dim, keepdim)


def _moments(x, dim, unbiased, keepdim, correction, root):
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if unbiased is not None:
        correction = 1 if unbiased else 0

    def formula(row):
        return _spread(row, correction) ** (0.5 if root else 1), _average(row)

    return reduced(formula, x, dim, keepdim)


def _var_mean(x, dim=None, unbiased=None, keepdim=False, *, correction=1):
    return _moments(x, dim, unbiased, keepdim, correction, False)


def _std_mean(x, dim=None, unbiased=None, keepdim=False, *, correction=1):
    return _moments(x, dim, unbiased, keepdim, correction, True)


def _var(*args, **kwargs):
    return _var_mean(*args, **kwargs)[0]


def _std(*args, **kwargs):
    return _std_mean(*args, **kwargs)[0]


def _logsumexp(x, dim, keepdim=False):
    x = x if x.dtype.kind == "f" else x.astype("float32")
    minus_infinity = x.dtype.type(-np.inf)
    return reduced(lambda r: functools.reduce(np.logaddexp, r, minus_infinity), x, dim, keepdim)


def _numbers(row):
    return np.array([v for v in row if v == v], row.dtype)


def _nansum(x, dim=None, keepdim=False):
    return reduced(lambda row: _total(_numbers(row)), x, dim, keepdim)


def _nanmean(x, dim=None, keepdim=False):
    return reduced(lambda row: _average(_numbers(row)), x, dim, keepdim)


def _truth(combine):
    def formula(x, dim=None, keepdim=False):
        if dim == ():
            return x != 0
        y = reduced(lambda row: combine(v != 0 for v in row), x, dim, keepdim)
        return y.astype("uint8" if x.dtype == "uint8" else "bool")

    return formula


def _count_nonzero(x, dim=None):
    return reduced(lambda row: np.int64(len([v for v in row if v != 0])), x, dim)


def _axes_of(formula, x=normal):
    """Shapes, axes, `keepdim`, and the axes that are refused."""
    for dim in (0, 1, 2, -1, -3, (0, 2), (-1, 1), (0, 1, 2), ()):
        for keepdim in (False, True):
            yield Case(formula, [x(2, 3, 5)], dict(dim=dim, keepdim=keepdim))
    yield Case(formula, [x(2, 3), 0])
    for dim in (0, -1):
        yield Case(formula, [x(), dim])
    yield Case(formula, [x(0, 3)], dict(dim=1))
    for dim in (2, -3):
        rule = f"dim must be in [-2, 2), got {dim}; x is (2, 3) float64 on cpu"
        yield Invalid([x(2, 3), dim], ShapeError, rule)
    yield Invalid([x(2, 3), (1, -1)], ShapeError, "dim must name each axis once, got (1, -1)")
    yield Invalid([x(2, 3), 1.5], ArgumentError, "dim must be an integer, got 1.5")


def _sums(formula, x=normal):
    for shape in SHAPES:
        yield Case(formula, [x(*shape)])
    yield from _axes_of(formula, x)
    yield Edge(formula, [exactly([[NAN, 1.0], [1.0, 1.0]])], dict(dim=1))


def sum_():
    yield from _sums(_sum)
    yield Case(_sum, [normal(2, 3), 0, True])
    yield Case(_sum, [normal(0, 3)], dict(dim=0))
    yield Case(_sum, [labels(9, 2, 3)], dict(dim=0))
    for shape, dim in [((1030, 2), 0), ((2, 1100, 3), 1), ((1025, 2, 2), (0, 1))]:
        yield Case(_sum, [normal(*shape), dim])  # added up in blocks
    yield Case(_sum, [exactly([True, False, True])])
    yield Case(_sum, [exactly(np.array([200, 100], "uint8"))])
    yield Case(_sum, [labels(9, 2, 3)], dict(dtype="float32"))
    wide, narrow = exactly([100, 100, 1]), exactly(np.array([100, 100, 1], "int8"))
    yield Case(_sum, [narrow], dict(dtype="int64"))
    yield Case(_small_sum, [wide], dict(dtype="int8"))
    both = dict(dim=0, axis=0)
    yield Invalid([normal(3)], ArgumentError, "axis must not be given beside dim, got 0", both)
    yield Case(_sum_by_numpy_names, [normal(2, 3)], dict(axis=1, keepdims=True))


def _small_sum(x, dtype):
    return x.astype(dtype).sum(dtype=dtype)


def _sum_by_numpy_names(x, axis, keepdims):
    return _sum(x, axis, keepdims)


def mean():
    yield from _sums(_mean)
    yield Case(_mean, [normal(2, 3), 0, True])
    yield Edge(_mean, [normal(0, 3)], dict(dim=0))
    yield Case(_mean, [exactly(np.full(70000, 3.0))])  # the sum is beyond float16
    yield Case(_mean, [labels(9, 2, 3), 1], dict(dtype="float32"))
    yield Invalid([labels(9, 3)], DTypeError, "x must be floating, got int64")
    yield Invalid([normal(3)], DTypeError, "x must be floating, got int32", dict(dtype="int32"))


def prod():
    for shape in SHAPES[:-1]:
        yield Case(_prod, [away_from_zero(*shape)])
    for dim in (0, 1, -1):
        for keepdim in (False, True):
            yield Case(_prod, [away_from_zero(2, 3, 5), dim, keepdim])
    yield Case(_prod, [normal(), 0])
    yield Case(_prod, [normal(0, 3), 0])
    yield Case(_prod, [normal(0, 3)])
    yield Case(_prod, [labels(5, 2, 3), 0])
    yield Case(_prod, [exactly([True, False])])
    zeros = exactly([[2.0, 0.0, 3.0], [0.0, 0.0, 3.0], [2.0, 4.0, 1.0]])
    yield Case(_prod, [zeros, 1])
    yield Case(_prod, [exactly([2.0, 0.0, 3.0])])
    yield Edge(_prod, [exactly([NAN, 0.0])])
    rule = "dim must be in [-2, 2), got 2; x is (2, 3) float64 on cpu"
    yield Invalid([normal(2, 3), 2], ShapeError, rule)
    yield Invalid([normal(2, 3), (0, 1)], ArgumentError, "dim must be an integer, got (0, 1)")


def _of_moments(formula):
    for shape in SHAPES[2:]:
        yield Case(formula, [normal(*shape)])
    yield from (row for row in _axes_of(formula) if not isinstance(row, Case))
    infinite = "PyTorch's gradient over all axes, given as (), is infinite"
    for dim in (0, 1, -1, (0, 2), (0, 1, 2), ()):
        for keepdim in (False, True):
            kwargs = dict(dim=dim, keepdim=keepdim)
            unlike = "" if dim else infinite * (dim == ())
            yield Case(formula, [normal(2, 3, 5)], kwargs, unlike_torch=unlike)
    for correction in (0, 2, 0.5):
        yield Case(formula, [normal(7, 3), 0], dict(correction=correction))
    yield Case(formula, [normal(7, 3), 0, False, True])
    yield Case(formula, [normal(7, 3), False])
    yield Case(formula, [normal(7, 3)], dict(unbiased=True))
    yield Case(formula, [normal(0, 3)], dict(dim=1))
    yield Case(formula, [exactly(1e4 + np.arange(8.0))])  # digits lost by other formulas
    yield Edge(formula, [exactly([5.0])])
    yield Edge(formula, [normal()])
    yield Edge(formula, [normal(0, 3), 0])
    yield Edge(formula, [exactly([[NAN, 1.0], [1.0, 2.0]]), 1])
    yield Edge(formula, [normal(2, 3), 0], dict(correction=2))
    rule = "correction must not be given beside unbiased, got 2"
    yield Invalid([normal(3)], ArgumentError, rule, dict(unbiased=True, correction=2))
    yield Invalid([labels(9, 3)], DTypeError, "x must be floating, got int64")


def var():
    yield from _of_moments(_var)
    yield Edge(_var, [exactly([2.0, 2.0])], gradient=lambda x: [0, 0])


def std():
    yield from _of_moments(_std)
    yield Edge(_std, [exactly([2.0, 2.0])], gradient=lambda x: [0, 0])
    yield Edge(_std, [exactly([2.0])], dict(correction=0), gradient=lambda x, correction: [0])


def var_mean():
    yield from _of_moments(_var_mean)


def std_mean():
    yield from _of_moments(_std_mean)
    yield Edge(_std_mean, [exactly([2.0, 2.0])], gradient=lambda x: [0.5, 0.5])


def nansum():
    yield from _sums(_nansum)
    yield Case(_nansum, [labels(9, 2, 3)], dict(dim=0))
    gaps = exactly([[NAN, 1.0, 2.0], [NAN, NAN, NAN]])
    yield Edge(_nansum, [gaps, 1], gradient=lambda x, dim: x == x)
    yield Edge(_nansum, [gaps], gradient=lambda x: x == x)


def nanmean():
    yield from _sums(_nanmean)
    gaps = exactly([[NAN, 1.0, 2.0], [4.0, 5.0, NAN]])
    yield Edge(_nanmean, [gaps, 1], gradient=lambda x, dim: (x == x) / 2)
    none = "PyTorch's gradient is NaN where there is no number"
    yield Edge(_nanmean, [exactly([NAN, NAN])], gradient=lambda x: [0, 0], unlike_torch=none)
    yield Edge(_nanmean, [normal(0, 3), 0])
    yield Invalid([labels(9, 3)], DTypeError, "x must be floating, got int64")


def logsumexp():
    for shape in SHAPES:
        yield Case(_logsumexp, [normal(*shape), -1])
    for row in _axes_of(_logsumexp):
        if row.kwargs.get("dim") != ():  # which PyTorch refuses
            yield row
    yield Case(_logsumexp, [labels(9, 2, 3), 1])
    yield Edge(_logsumexp, [normal(0, 3), 0])
    far = exactly([[1e4, -1e4, 1e4], [-1e4, -1e4, -INF]])
    halves = [[0.5, 0, 0.5], [0.5, 0.5, 0]]
    rounded = "PyTorch computes the gradient from the result, which has few digits left"
    yield Edge(_logsumexp, [far, 1], gradient=lambda x, dim: halves, unlike_torch=rounded)
    rows = exactly([[-INF, -INF], [INF, 1.0], [NAN, 1.0]])
    yield Edge(_logsumexp, [rows, 1], gradient=lambda x, dim: [[NAN, NAN], [NAN, 0], [NAN, NAN]])


def _truths(formula):
    def drawn(*shape):
        return constant(positive(*shape))

    for shape in SHAPES[:6]:
        yield Case(formula, [labels(2, *shape)])
    yield from _axes_of(formula, drawn)
    yield Case(formula, [labels(2, 4, 5), 0])
    yield Case(formula, [labels(2, 4, 5), ()])
    yield Case(formula, [labels(2, 0, 3), 0])
    yield Case(formula, [exactly([[True, False], [False, False], [True, True]]), 1])
    yield Case(formula, [exactly(np.array([[0, 2], [0, 0]], "uint8")), 1])
    yield Edge(formula, [constant(exactly([[0.0, NAN], [-0.0, 0.0]])), 1])


def any_():
    yield from _truths(_truth(any))


def all_():
    yield from _truths(_truth(all))


def count_nonzero():
    for shape in SHAPES[:6]:
        yield Case(_count_nonzero, [labels(3, *shape)])
    for dim in (0, -1, (0, 2), ()):
        yield Case(_count_nonzero, [labels(2, 2, 3, 5), dim])
    yield Case(_count_nonzero, [labels(2, 0, 3), 0])
    yield Case(_count_nonzero, [exactly([True, False, True])])
    yield Edge(_count_nonzero, [constant(exactly([[0.0, NAN], [-0.0, 1.0]])), 1])
    yield Invalid([labels(2, 3), 1], ShapeError, "dim must be in [-1, 1), got 1")
