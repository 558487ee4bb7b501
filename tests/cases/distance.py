"""Norms and what is made of them, by their formulas."""

import numpy as np

from gpunet.errors import ArgumentError, DTypeError, ShapeError
from tests.cases.along import reduced
from tests.cases.case import Case, Edge, Invalid, away_from_zero, constant, exactly, labels, normal

INF = float("inf")
NAN = float("nan")
ORDERS = (0.5, 1, 1.5, 2, 3, INF, -INF, -1, 0)
OF_NAN = "PyTorch takes sign(NaN) as 0"


def _length(row, p):
    size = abs(row)
    if p == 0:
        return row.dtype.type(sum(size != 0))
    if abs(p) == INF:
        return max(size) if p > 0 else min(size)
    return sum([v**p for v in size], row.dtype.type(0)) ** row.dtype.type(1 / p)


def _vector_norm(x, ord=2, dim=None, keepdim=False):
    return reduced(lambda row: _length(row, ord), x, dim, keepdim)


def _norm(x, p="fro", dim=None, keepdim=False):
    return _vector_norm(x, 2 if p == "fro" else p, dim, keepdim)


def _dist(x, other, p=2):
    return _vector_norm(x - other, p)


def _pairwise_distance(x1, x2, p=2.0, eps=1e-6, keepdim=False):
    difference = np.asarray(x1 - x2 + (eps if x1.dtype.kind == "f" else np.float32(eps)))
    return _vector_norm(difference, p, -1, keepdim)


def _cosine_similarity(x1, x2, dim=1, eps=1e-8):
    x1, x2 = np.broadcast_arrays(x1, x2)
    lengths = [np.maximum(_vector_norm(x, 2, dim), eps) for x in (x1, x2)]
    return reduced(lambda row: sum(row, row.dtype.type(0)), x1 * x2, dim) / lengths[0] / lengths[1]


def _normalize(x, p=2.0, dim=1, eps=1e-12):
    return x / np.maximum(_vector_norm(x, p, dim, True), eps)


def _norms(formula):
    for p in ORDERS:
        x = normal if abs(p) == INF else away_from_zero  # whose smallest are equal
        for shape in [(), (1,), (31,), (2, 3)]:
            yield Case(formula, [x(*shape), p])
        yield Case(formula, [x(2, 3, 5), p, 1])
        yield Case(formula, [x(2, 3, 5), p, (0, -1), True])
        yield Case(formula, [x(0, 3), p, 1])
        if p in (0, 0.5, 1, 1.5, 2, 3):
            yield Case(formula, [normal(0, 3), p, 0])
        zeros = exactly([0.0, 0.0])
        yield Edge(formula, [zeros, p], gradient=lambda x, p: [0, 0])
    for p in (0.5, 1, 1.5, 2, 3):
        one = exactly([0.0, -2.0])
        yield Edge(formula, [one, p], gradient=lambda x, p: [0, -1])
    for p in (-1, -INF):
        yield Edge(formula, [exactly([0.0, -2.0]), p], gradient=lambda x, p: [0, 0])
    ties = exactly([2.0, -2.0, 1.0])
    yield Edge(formula, [ties, INF], gradient=lambda x, p: [0.5, -0.5, 0])
    yield Edge(formula, [exactly([2.0, -1.0, 1.0]), -INF], gradient=lambda x, p: [0, -0.5, 0.5])
    for p in (1, 2, INF):
        yield Edge(formula, [exactly([NAN, 1.0]), p], unlike_torch=OF_NAN * (p != 2))
    yield Case(formula, [away_from_zero(2, 3), 2, ()])
    rule = "dim must be in [-2, 2), got 2; x is (2, 3) float64 on cpu"
    yield Invalid([normal(2, 3), 2, 2], ShapeError, rule)
    yield Invalid([normal(2, 3), 2, (0, 0)], ShapeError, "dim must name each axis once")
    yield Invalid([normal(3), "nuc"], ArgumentError, "p must be a number, got 'nuc'")
    yield Invalid([labels(3, 3)], DTypeError, "x must be floating, got int64")
    rule = "axis 0 of x must not be empty, got length 0"
    yield Invalid([normal(0, 3), INF], ShapeError, rule)
    whole = dict(dtype="int32")
    yield Invalid([normal(3)], DTypeError, "dtype must be floating, got int32", whole)


def vector_norm():
    yield from _norms(_vector_norm)


def norm():
    yield from _norms(_norm)
    yield Case(_norm, [away_from_zero(2, 3)])
    yield Case(_norm, [away_from_zero(2, 3), "fro", 1])
    yield Case(_norm, [exactly([300.0, 400.0])])  # the squares are beyond float16


PAIRS = [((31,), (31,)), ((2, 3), (2, 3)), ((2, 3), (3,)), ((4, 1, 3), (5, 3))]


def dist():
    for p in (0.5, 1, 2, 3, INF):
        yield Case(_dist, [normal(2, 3), normal(2, 3), p])
    for x, other in [((), ()), *PAIRS]:
        yield Case(_dist, [normal(*x), normal(*other)])
    same = exactly([1.0, 2.0])
    yield Edge(_dist, [same, same], gradient=lambda x, other: ([0, 0], [0, 0]))
    yield Invalid([normal(2), normal(3)], ShapeError, "shapes must broadcast, got (2,) and (3,)")
    yield Invalid([normal(2), labels(3, 2)], DTypeError, "other must be floating, got int64")
    yield Invalid([normal(2), normal(2), "p"], ArgumentError, "p must be a number, got 'p'")


def pairwise_distance():
    for p in (1.0, 2.0, 3.0, INF):
        for x1, x2 in PAIRS:
            yield Case(_pairwise_distance, [normal(*x1), normal(*x2), p])
    yield Case(_pairwise_distance, [normal(2, 3), normal(2, 3)], dict(eps=0.5, keepdim=True))
    yield Case(_pairwise_distance, [labels(9, 2, 3), labels(9, 2, 3)])
    yield Case(_pairwise_distance, [normal(), normal()])
    yield Case(_pairwise_distance, [normal(0, 3), normal(0, 3)])
    same = exactly([[1.0, 1.0]])
    slope = 0.5**0.5
    yield Edge(
        _pairwise_distance,
        [same, same],
        gradient=lambda x1, x2: ([[slope, slope]], [[-slope, -slope]]),
    )
    yield Invalid([normal(2), normal(3)], ShapeError, "shapes must broadcast, got (2,) and (3,)")
    yield Invalid([normal(2), 1.0], DTypeError, "x2 must be a gpunet.Tensor, got float")
    bits = exactly([True, False])
    yield Invalid([bits, bits], DTypeError, "must be numeric, got bool")


def cosine_similarity():
    for x1, x2 in PAIRS:
        yield Case(_cosine_similarity, [normal(*x1), normal(*x2), -1])
    for dim in (0, 1):
        yield Case(_cosine_similarity, [normal(2, 3, 5), normal(2, 3, 5), dim])
    yield Case(_cosine_similarity, [normal(2, 3), normal(2, 3)])
    yield Case(_cosine_similarity, [normal(), normal(), 0])
    yield Case(_cosine_similarity, [normal(0, 3), normal(0, 3)])
    short, unit = exactly([1e-9, 0.0]), constant(exactly([1.0, 0.0]))
    yield Edge(_cosine_similarity, [short, unit, 0])
    zero = exactly([0.0, 0.0])
    yield Edge(_cosine_similarity, [zero, unit, 0], gradient=lambda x1, x2, dim: [1e8, 0])
    far = exactly([1e10, 1e10])
    yield Edge(_cosine_similarity, [far, constant(far), 0])
    yield Invalid([normal(2, 3), normal(2, 3), 2], ShapeError, "dim must be in [-2, 2), got 2")
    yield Invalid([normal(2), normal(3), 0], ShapeError, "shapes must broadcast")
    yield Invalid([normal(2), labels(3, 2), 0], DTypeError, "x2 must be floating, got int64")


def normalize():
    for p in (1.0, 2.0, 3.0, INF):
        yield Case(_normalize, [away_from_zero(4, 3), p])
        yield Case(_normalize, [away_from_zero(2, 3, 5), p, (0, 2)])
    for dim in (0, 1, -1):
        yield Case(_normalize, [normal(4, 3, 2)], dict(dim=dim))
    yield Case(_normalize, [normal(31)], dict(dim=0, eps=100.0))
    yield Case(_normalize, [away_from_zero()], dict(dim=0))
    yield Case(_normalize, [normal(0, 3)])
    yield Edge(_normalize, [exactly([[0.0, 0.0]])], gradient=lambda x: [[1e12, 1e12]])
    yield Invalid([normal(3)], ShapeError, "dim must be in [-1, 1), got 1")
    yield Invalid([labels(3, 3), 2.0, 0], DTypeError, "x must be floating, got int64")
