"""Sorting by Python's `sorted`, counting in dictionaries and loops."""

import numpy as np

from gpunet.errors import ArgumentError, DTypeError, ShapeError
from tests.cases.along import mapped
from tests.cases.case import Case, Edge, Invalid, constant, exactly, labels, normal

NAN = float("nan")
INF = float("inf")
SHAPES = [(1,), (31,), (2, 3), (0, 3), (3, 0)]


def _drawn(*shape):
    return constant(normal(*shape))


def _ranking(row, descending=False):
    """Places in order; NaN is the largest, and equal elements keep their order."""
    if descending:
        return sorted(range(len(row)), key=lambda i: (row[i] == row[i], -float(row[i])))
    return sorted(range(len(row)), key=lambda i: (row[i] != row[i], row[i]))


def _picked(x, dim, places):
    def row(values):
        found = np.array(places(values), "int64")
        return values[found], found

    return mapped(row, x, dim)


def _sort(x, dim=-1, descending=False, stable=False):
    return _picked(x, dim, lambda row: _ranking(row, descending))


def _argsort(x, dim=-1, descending=False, stable=False):
    return _sort(x, dim, descending)[1]


def _msort(x):
    return _sort(x, 0)[0]


def _topk(x, k, dim=-1, largest=True, sorted=True):
    return _picked(x, dim, lambda row: _ranking(row, largest)[:k])


GAPS = exactly([[2.0, NAN, 1.0, NAN], [INF, 3.0, -INF, NAN]])


def _sorts(formula, x=normal):
    for shape in SHAPES:
        yield Case(formula, [x(*shape)])
    for dim in (0, 1, 2, -1, -3):
        for descending in (False, True):
            yield Case(formula, [x(2, 3, 5), dim, descending])
    yield Case(formula, [x(), 0])
    ties = labels(4, 3, 40)
    for descending in (False, True):
        yield Case(formula, [ties], dict(dim=1, descending=descending, stable=True))
        any_order = "PyTorch leaves the order of equal elements open"
        yield Case(formula, [ties, 0], dict(descending=descending), unlike_torch=any_order)
        yield Case(formula, [exactly([True, False, True])], dict(descending=descending))
    rule = "dim must be in [-2, 2), got 2; x is (2, 3) float64 on cpu"
    yield Invalid([x(2, 3), 2], ShapeError, rule)


def sort():
    yield from _sorts(_sort)
    yield Edge(_sort, [GAPS], gradient=lambda x: np.ones((2, 4)))
    yield Edge(_sort, [GAPS, 1, True], gradient=lambda x, dim, descending: np.ones((2, 4)))


def argsort():
    yield from _sorts(_argsort, _drawn)
    yield Edge(_argsort, [constant(GAPS)])
    yield Edge(_argsort, [constant(GAPS), 1, True])


def msort():
    for shape in [(), *SHAPES, (4, 3, 5)]:
        yield Case(_msort, [normal(*shape)])
    yield Case(_msort, [labels(4, 9, 3)])
    yield Edge(_msort, [GAPS])


def topk():
    for shape, k in [((1,), 1), ((31,), 7), ((2, 3), 3), ((0, 3), 2), ((3, 0), 0)]:
        for largest in (True, False):
            yield Case(_topk, [normal(*shape), k], dict(largest=largest))
    for dim in (0, 1, -1):
        for k in (0, 1, 2):
            yield Case(_topk, [normal(2, 3, 5), k, dim])
    yield Case(_topk, [normal(2, 300), 5, 1, False])
    yield Case(_topk, [normal(), 1])
    yield Case(_topk, [exactly([[5, 3, 9, 1], [2, 8, 4, 6]]), 2])
    yield Case(_topk, [normal(2, 5), 1], dict(sorted=False))
    yield Edge(_topk, [GAPS, 1], gradient=lambda x, k: [[0, 1, 0, 0], [0, 0, 0, 1]])
    for k, largest in ((2, False), (4, True)):
        yield Edge(_topk, [GAPS, k, 1, largest])
    for k in (4, -1):
        rule = f"k must be in [0, 3], the length of axis 1, got {k}; x is (2, 3) float64 on cpu"
        yield Invalid([normal(2, 3), k], ShapeError, rule)
    yield Invalid([normal(2, 3), 1, 2], ShapeError, "dim must be in [-2, 2), got 2")


def _runs(slices):
    """Numbers of the run that each slice is in, and the first slice of each run."""
    groups, firsts = [], []
    for i, s in enumerate(slices):
        if not firsts or not np.array_equal(s, slices[firsts[-1]]):
            firsts.append(i)
        groups.append(len(firsts) - 1)
    return groups, firsts


def _distinct(x, order, return_inverse, return_counts, dim):
    flat = x.reshape(-1) if dim is None else np.moveaxis(x, dim, 0)
    places = list(range(len(flat)))
    if order:
        places.sort(key=lambda i: [(v != v, v) for v in flat[i].reshape(-1)])
    groups, firsts = _runs([flat[i] for i in places])
    inverse = np.zeros(len(flat), "int64")
    inverse[places] = groups
    values = flat[[places[i] for i in firsts]] if firsts else flat
    counts = np.array([groups.count(i) for i in range(len(firsts))], "int64")
    wanted = [values if dim is None else np.moveaxis(values, 0, dim)]
    if return_inverse:
        wanted.append(inverse.reshape(x.shape) if dim is None else inverse)
    return tuple([*wanted, counts] if return_counts else wanted)


def _unique(x, sorted=True, return_inverse=False, return_counts=False, dim=None):
    return _distinct(x, True, return_inverse, return_counts, dim)


def _unique_consecutive(x, return_inverse=False, return_counts=False, dim=None):
    return _distinct(x, False, return_inverse, return_counts, dim)


def _distincts(formula):
    for shape in [(), (1,), (31,), (2, 3), (0, 3)]:
        yield Case(formula, [labels(3, *shape)])
    every = dict(return_inverse=True, return_counts=True)
    yield Case(formula, [labels(3, 4, 5)], every)
    yield Case(formula, [labels(3, 9)], dict(return_inverse=True))
    yield Case(formula, [labels(3, 9)], dict(return_counts=True))
    yield Case(formula, [exactly([True, True, False])], every)
    yield Case(formula, [_drawn(7)], every)
    for dim in (0, 1, -1):
        yield Case(formula, [labels(2, 6, 2)], dict(dim=dim, **every))
        yield Case(formula, [labels(2, 3, 9, 2)], dict(dim=dim))
    yield Edge(formula, [constant(exactly([3.0, NAN, 1.0, 3.0, NAN, -0.0, 0.0]))], every)
    rule = "dim must be in [-2, 2), got 2"
    yield Invalid([normal(2, 3)], ShapeError, rule, dict(dim=2))
    yield Invalid([normal(2, 0)], ShapeError, "slices along dim must not be empty", dict(dim=0))


def unique():
    yield from _distincts(_unique)
    yield Case(_unique, [labels(9, 20)], dict(sorted=False))


def unique_consecutive():
    yield from _distincts(_unique_consecutive)


def _before(row, value, right):
    """How many elements are before a place for the value; NaN is beyond all of them."""
    return sum(1 for s in row if s < value or (right and s == value) or value != value)


def _searchsorted(sequence, x, *, out_int32=False, right=False, side=None, sorter=None):
    x, right = np.asarray(x), right or side == "right"
    sequence = sequence if sorter is None else np.take_along_axis(sequence, sorter, -1)
    found = np.zeros(x.shape, "int32" if out_int32 else "int64")
    for index in np.ndindex(x.shape):
        row = sequence if sequence.ndim == 1 else sequence[index[:-1]]
        found[index] = _before(row, x[index], right)
    return found


def _bucketize(x, boundaries, *, out_int32=False, right=False):
    return _searchsorted(boundaries, x, out_int32=out_int32, right=right)


STEPS = constant(exactly([-1.0, 0.0, 0.0, 0.5, 2.0]))
ROWS = exactly(np.sort(np.arange(30) * 7 % 11, axis=None).reshape(2, 3, 5))


def searchsorted():
    for shape in [(), (1,), (31,), (2, 3), (0, 3)]:
        for right in (False, True):
            yield Case(_searchsorted, [STEPS, _drawn(*shape)], dict(right=right))
    for side in ("left", "right"):
        yield Case(_searchsorted, [exactly([1, 3, 3, 5]), labels(7, 2, 6)], dict(side=side))
        yield Case(_searchsorted, [ROWS, labels(12, 2, 3, 4)], dict(side=side))
    yield Case(_searchsorted, [STEPS, constant(exactly([0.0, 3.0]))], dict(out_int32=True))
    yield Case(_searchsorted, [exactly([1, 2, 4]), 1.5])
    yield Case(_searchsorted, [exactly([1, 2, 4]), 2], dict(right=True))
    yield Case(_searchsorted, [exactly([1, 2, 4]), constant(exactly([1.5, 9.0]))])
    yield Case(_searchsorted, [ROWS, labels(12, 2, 3, 0)])
    yield Case(_searchsorted, [exactly([5, 1, 3]), labels(7, 9)], dict(sorter=exactly([1, 2, 0])))
    yield Edge(_searchsorted, [STEPS, constant(exactly([NAN, INF, -INF]))])
    rule = "sorted_sequence must be (n,), or have x's leading axes, got (2, 3) and (3, 4)"
    yield Invalid([normal(2, 3), normal(3, 4)], ShapeError, rule)
    rule = "side must be one of 'left', 'right', got 'up'"
    yield Invalid([normal(3), normal(3)], ArgumentError, rule, dict(side="up"))
    rule = "side must agree with right=True, got 'left'"
    yield Invalid([normal(3), normal(3)], ArgumentError, rule, dict(side="left", right=True))
    rule = "sorter must have the shape (3,) of sorted_sequence, got (2,)"
    yield Invalid([normal(3), normal(3)], ShapeError, rule, dict(sorter=exactly([0, 1])))
    rule = "sorted_sequence must be a gpunet.Tensor, got float"
    yield Invalid([1.0, normal(3)], DTypeError, rule)


def bucketize():
    for shape in [(), (1,), (31,), (2, 3), (0, 3)]:
        for right in (False, True):
            yield Case(_bucketize, [_drawn(*shape), STEPS], dict(right=right))
    yield Case(_bucketize, [2, exactly([1, 2, 4])], dict(out_int32=True))
    yield Case(_bucketize, [labels(7, 2, 3), exactly([1, 2, 4])])
    rule = "boundaries must have shape (n,), got (2, 3)"
    yield Invalid([normal(3), normal(2, 3)], ShapeError, rule)
    rule = "boundaries must be a gpunet.Tensor, got float"
    yield Invalid([normal(3), 1.0], DTypeError, rule)


def _histc(x, bins=100, min=0, max=0):
    values = [float(v) for v in x.reshape(-1)]
    if min == max and values:
        min, max = sorted(values)[0], sorted(values)[-1]
    if min == max:
        min, max = min - 1, max + 1
    width = (max - min) / bins
    counts = np.zeros(bins, x.dtype)
    for v in values:
        for i in range(bins):
            last = i == bins - 1
            if min + i * width <= v and (v <= max if last else v < min + (i + 1) * width):
                counts[i] += 1
                break
    return counts


def histc():
    eighths = constant(exactly(np.arange(-20, 44) * 5 % 64 / 8))
    yield Case(_histc, [eighths])
    yield Case(_histc, [eighths, 4])
    yield Case(_histc, [eighths, 8, 1, 5])
    yield Case(_histc, [constant(exactly([[1.0, 2.0], [2.0, 5.0]])), 4], dict(min=0, max=4))
    yield Case(_histc, [constant(exactly([3.0, 3.0])), 4])
    yield Case(_histc, [constant(exactly(3.0)), 2])
    yield Case(_histc, [_drawn(0, 3), 5])
    yield Edge(_histc, [constant(exactly([0.5, NAN, INF, -INF])), 2, 0, 1])
    yield Invalid([labels(3, 3)], DTypeError, "x must be floating, got int64")
    yield Invalid([normal(3), 0], ArgumentError, "bins must be at least 1, got 0")
    yield Invalid([normal(3), 3, 2, 1], ArgumentError, "max must not be below min, got 1 and 2")
    rule = "the range of bins must be finite, got 1.0 to inf"
    yield Invalid([exactly([1.0, INF])], ArgumentError, rule)


def _bincount(x, weights=None, minlength=0):
    ones = np.ones(len(x), "int64")
    wide = ones if weights is None else weights
    if weights is not None and weights.dtype != "float32":
        wide = weights.astype("float64")
    counts = np.zeros(max([int(v) + 1 for v in x] + [minlength]), wide.dtype)
    for v, w in zip(x, wide, strict=True):
        counts[v] += w
    return counts


def bincount():
    for n in (0, 1, 31):
        yield Case(_bincount, [labels(5, n)])
    yield Case(_bincount, [labels(5, 31)], dict(minlength=9))
    yield Case(_bincount, [labels(9, 31)], dict(minlength=2))
    yield Case(_bincount, [exactly(np.array([3, 200], "uint8"))])
    none = "PyTorch has no gradient of the weights"
    yield Edge(
        _bincount,
        [labels(5, 31), normal(31)],
        gradient=lambda x, w: np.ones(31),
        unlike_torch=none,
    )
    yield Edge(_bincount, [labels(5, 31), constant(normal(31)), 7])
    yield Invalid([exactly([1, -1])], ArgumentError, "x must be at least 0, got -1")
    yield Invalid([normal(3)], DTypeError, "x must be of integers, got float64")
    yield Invalid([labels(3, 2, 3)], ShapeError, "x must have shape (n,), got (2, 3)")
    yield Invalid([labels(3, 3), -1], DTypeError, "weights must be a gpunet.Tensor, got int")
    rule = "minlength must be at least 0, got -1"
    yield Invalid([labels(3, 3)], ArgumentError, rule, dict(minlength=-1))
    rule = "weights must have x's shape (3,), got (2,)"
    yield Invalid([labels(3, 3), normal(2)], ShapeError, rule)
