"""Elements by their rank in Python's `sorted`."""

import math

import numpy as np

from gpunet.errors import ArgumentError, DTypeError, ShapeError
from tests.cases.along import each_row, reduced
from tests.cases.case import Case, Edge, Invalid, constant, exactly, labels, normal, unit

NAN = float("nan")
INF = float("inf")
GAPS = exactly([[2.0, NAN, 1.0, 7.0], [NAN, 3.0, 4.0, NAN], [4.0, 5.0, 6.0, 7.0]])
LARGEST = "PyTorch's place among equal elements is any"


def _ranking(row):
    return sorted(range(len(row)), key=lambda i: (row[i] != row[i], row[i]))


def _median_place(row, skip):
    nans = [i for i, v in enumerate(row) if v != v]
    if nans and (not skip or len(nans) == len(row)):
        return nans[0]
    return _ranking(row)[(len(row) - len(nans) - 1) // 2]


def _median_of(skip):
    def formula(x, dim=None, keepdim=False):
        def row(values):
            if not len(values):
                return values.dtype.type(NAN)
            i = _median_place(values, skip)
            return values[i] if dim is None else (values[i], np.int64(i))

        return reduced(row, x, dim, keepdim)

    return formula


def _kthvalue(x, k, dim=-1, keepdim=False):
    def row(values):
        i = _ranking(values)[k - 1]
        return values[i], np.int64(i)

    return reduced(row, x, dim, keepdim)


def _mode(x, dim=-1, keepdim=False):
    def row(values):
        counts = [sum(values == v) for v in values]
        best = min(v for v, n in zip(values, counts, strict=True) if n == max(counts))
        return best, np.int64(np.flatnonzero(values == best)[-1])

    return reduced(row, x, dim, keepdim)


def _between(row, q, interpolation):
    """The value at rank q · (n − 1)."""
    rank = float(q) * (len(row) - 1)
    low, high = math.floor(rank), math.ceil(rank)
    a, b = row[low], row[high]
    nearest = row[round(rank)]
    weight = row.dtype.type(rank - low)
    linear = a + (b - a) * weight
    choices = dict(linear=linear, lower=a, higher=b, midpoint=(a + b) / 2, nearest=nearest)
    return choices[interpolation]


def _quantile_of(skip):
    def formula(x, q, dim=None, keepdim=False, *, interpolation="linear"):
        qs = np.asarray(q)

        def row(values):
            numbers = np.array(sorted(v for v in values if v == v), values.dtype)
            if not len(numbers) or (len(numbers) < len(values) and not skip):
                numbers = np.full(1, NAN, values.dtype)
            found = [_between(numbers, one, interpolation) for one in qs.reshape(-1)]
            return np.array(found, values.dtype)

        axes = list(range(x.ndim)) if dim is None else [dim % x.ndim] if x.ndim else []
        y = np.moveaxis(each_row(row, x, axes)[0], -1, 0)
        shape = [1 if i in axes else n for i, n in enumerate(x.shape)]
        return y.reshape(qs.shape + (tuple(shape) if keepdim else y.shape[1:]))

    return formula


def _axes(formula, *args, x=normal, empty=""):
    for shape in [(1,), (31,), (2, 3)]:
        yield Case(formula, [x(*shape), *args], dict(dim=-1))
    for dim in (0, 1, -1):
        for keepdim in (False, True):
            yield Case(formula, [x(4, 3, 5), *args], dict(dim=dim, keepdim=keepdim))
    yield Case(formula, [x(), *args], dict(dim=0))
    yield Case(formula, [x(0, 3), *args], dict(dim=1), unlike_torch=empty)
    rule = "dim must be in [-2, 2), got 2; x is (2, 3)"
    yield Invalid([x(2, 3), *args], ShapeError, rule, dict(dim=2))
    rule = "axis 0 of x must not be empty, got length 0; x is (0, 3) float64 on cpu"
    yield Invalid([x(0, 3), *args], ShapeError, rule, dict(dim=0))


def _medians(skip):
    formula = _median_of(skip)
    yield from _axes(formula)
    for shape in [(), (1,), (31,), (4, 3), (2, 3, 5)]:
        yield Case(formula, [normal(*shape)])
    yield Case(formula, [labels(4, 6, 7), 1])
    yield Case(formula, [labels(4, 6, 7), 0, True])
    yield Case(formula, [labels(9, 6)])
    yield Edge(formula, [normal(0, 3)])
    ties = exactly([3.0, 1.0, 2.0, 2.0, 2.0, 1.0])
    yield Edge(formula, [ties], gradient=lambda x: (x == 2) / 3)
    yield Edge(formula, [ties, 0], gradient=lambda x, dim: [0, 0, 1, 0, 0, 0])
    yield Edge(formula, [exactly([[NAN, NAN]]), 1], gradient=lambda x, dim: [[1, 0]])
    rule = "keepdim must come with dim, got keepdim=True alone"
    yield Invalid([normal(3)], ArgumentError, rule, dict(keepdim=True))


def median():
    yield from _medians(False)
    places = [[0, 1, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0]]
    yield Edge(_median_of(False), [GAPS, 1], gradient=lambda x, dim: places)
    yield Edge(_median_of(False), [GAPS], gradient=lambda x: (x != x) / 3)


def nanmedian():
    yield from _medians(True)
    places = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0]]
    yield Edge(_median_of(True), [GAPS, 1], gradient=lambda x, dim: places)
    yield Edge(_median_of(True), [GAPS], gradient=lambda x: (x == 4) / 2)


def kthvalue():
    yield from _axes(_kthvalue, 1)
    for k in (1, 2, 5):
        yield Case(_kthvalue, [normal(2, 5), k])
    yield Case(_kthvalue, [normal(5, 2), 4, 0, True])
    yield Case(_kthvalue, [labels(4, 6, 40), 17], unlike_torch=LARGEST)
    places = [[0, 0, 0, 1], [1, 0, 0, 0], [0, 0, 1, 0]]
    yield Edge(_kthvalue, [GAPS, 3, 1], gradient=lambda x, k, dim: places)
    for k in (0, 4):
        rule = f"k must be in [1, 3], the length of axis 1, got {k}; x is (2, 3) float64 on cpu"
        yield Invalid([normal(2, 3), k], ShapeError, rule)


def mode():
    def drawn(*shape):  # few enough that PyTorch's unstable sort finds the last place, too
        return labels(3, *shape) if shape in {(2, 3), (4, 3, 5)} else normal(*shape)

    yield from _axes(_mode, x=drawn)
    for shape in [(7,), (3, 5)]:
        yield Case(_mode, [normal(*shape)])
    yield Case(_mode, [labels(4, 5, 40)], unlike_torch=LARGEST)
    yield Case(_mode, [exactly([True, False, True])])
    ties = exactly([[3.0, 1.0, 3.0, 1.0], [2.0, 3.0, 3.0, 2.0]])
    yield Edge(_mode, [ties], gradient=lambda x: [[0, 0, 0, 1], [0, 0, 0, 1]])
    gaps = exactly([NAN, 2.0, NAN, 2.0])
    sorts = "PyTorch's sort goes wrong over NaN"
    yield Edge(_mode, [gaps], gradient=lambda x: [0, 0, 0, 1], unlike_torch=sorts)


def _quantiles(skip):
    formula = _quantile_of(skip)
    yield from _axes(formula, 0.3, empty="PyTorch refuses empty tensors")
    for q in (0.0, 0.25, 0.6, 1.0):
        yield Case(formula, [normal(7), q])
    levels = unit(4)
    for dim in (None, 0, -1):
        for keepdim in (False, True):
            yield Case(formula, [normal(3, 6), constant(levels), dim, keepdim])
    yield Case(formula, [normal(3, 6), levels, 1])
    yield Case(formula, [normal(2, 3, 5), constant(unit())])
    for interpolation in ("linear", "lower", "higher", "midpoint", "nearest"):
        for q in (0.0, 0.3, 0.5, 0.8):
            kwargs = dict(interpolation=interpolation)
            yield Case(formula, [normal(2, 6), q, 1], kwargs)
    yield Edge(formula, [exactly([1.0, 2.0, 4.0]), 0.25], gradient=lambda x, q: [0.5, 0.5, 0])
    both = exactly([0.25, 0.25, 0.5])
    yield Edge(
        formula, [exactly([1.0, 2.0, 4.0]), both], gradient=lambda x, q: ([1, 2, 0], [2, 2, 0])
    )
    yield Edge(formula, [GAPS, 0.4, 1])
    yield Edge(formula, [GAPS, 0.4])
    yield Edge(formula, [exactly([1.0, INF]), 0.25])
    rule = "q must be in [0, 1], got 1.5"
    yield Invalid([normal(3), 1.5], ArgumentError, rule)
    yield Invalid([normal(3), unit(2, 2)], ShapeError, "q must have shape () or (Q,), got (2, 2)")
    yield Invalid([labels(3, 3), 0.5], DTypeError, "x must be floating, got int64")
    yield Invalid([normal(3), labels(2)], DTypeError, "q must be of x's dtype float64, got int64")
    rule = "interpolation must be one of 'linear', 'lower', 'higher', 'midpoint', 'nearest'"
    yield Invalid([normal(3), 0.5], ArgumentError, rule, dict(interpolation="cubic"))


def quantile():
    yield from _quantiles(False)


def nanquantile():
    yield from _quantiles(True)
