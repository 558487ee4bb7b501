"""Largest and smallest elements, found by Python's `max` and `min`."""

import numpy as np

from gpunet.errors import ArgumentError, DTypeError, ShapeError
from tests.cases.along import reduced
from tests.cases.case import Case, Edge, Invalid, constant, exactly, labels, normal

SHAPES = [(), (1,), (31,), (2, 3), (2, 3, 5)]
NAN = float("nan")
TIES = exactly([[1.0, 3.0, 3.0], [3.0, 2.0, 2.0]])
GAPS = exactly([[1.0, NAN, 5.0], [NAN, 2.0, NAN]])
BOOL = "PyTorch does not take booleans here"


def _best(choose):
    """The extremum of a row; of a row with NaN it is NaN."""

    def formula(row):
        nans = [v for v in row if v != v]
        return row.dtype.type(nans[0] if nans else choose(row))

    return formula


def _place(choose):
    """The first place of it."""

    def formula(row):
        nans = [i for i, v in enumerate(row) if v != v]
        return np.int64(nans[0] if nans else list(row).index(choose(row)))

    return formula


def _extremum(choose):
    value, place = _best(choose), _place(choose)

    def formula(x, dim=None, keepdim=False, *, other=None):
        other = dim if isinstance(dim, np.ndarray) else other
        if other is not None:
            dtype = np.result_type(x, other)
            pairs = np.broadcast(x.astype(dtype), other.astype(dtype))
            return np.array([value(np.array(p)) for p in pairs], dtype).reshape(pairs.shape)
        if dim is None:
            return reduced(value, x)
        return reduced(lambda row: (value(row), place(row)), x, dim, keepdim)

    return formula


def _over_axes(choose):
    return lambda x, dim=None, keepdim=False: reduced(_best(choose), x, dim, keepdim)


def _position(choose):
    return lambda x, dim=None, keepdim=False: reduced(_place(choose), x, dim, keepdim)


def _aminmax(x, dim=None, keepdim=False):
    return reduced(lambda row: (_best(min)(row), _best(max)(row)), x, dim, keepdim)


def _one_axis(formula, x=normal):
    for dim in (0, 1, 2, -1, -3):
        for keepdim in (False, True):
            yield Case(formula, [x(2, 3, 5)], dict(dim=dim, keepdim=keepdim))
    for shape in SHAPES[:2]:
        yield Case(formula, [x(*shape)], dict(dim=-1))
    yield Case(formula, [x(0, 3)], dict(dim=1))
    yield Case(formula, [labels(3, 4, 7)], dict(dim=1))
    rule = "axis 0 of x must not be empty, got length 0; x is (0, 3) float64 on cpu"
    yield Invalid([x(0, 3)], ShapeError, rule, dict(dim=0))
    rule = "dim must be in [-2, 2), got 2; x is (2, 3) float64 on cpu"
    yield Invalid([x(2, 3)], ShapeError, rule, dict(dim=2))


def _whole(formula, x=normal):
    for shape in SHAPES:
        yield Case(formula, [x(*shape)])
    yield Case(formula, [labels(3, 4, 7)])
    rule = "axis 0 of x must not be empty, got length 0; x is (0, 3) float64 on cpu"
    yield Invalid([x(0, 3)], ShapeError, rule)


def _extrema(choose):
    formula = _extremum(choose)
    yield from _whole(formula)
    yield from _one_axis(formula)
    yield Case(formula, [exactly([True, False])])
    sign = 1 if choose is max else -1
    ties = exactly(sign * np.array([1.0, 3.0, 3.0, 2.0, 3.0]))
    third = np.array([0, 1, 1, 0, 1]) / 3
    yield Edge(formula, [ties], gradient=lambda x: third)
    yield Edge(formula, [ties, 0], gradient=lambda x, dim: [0, 1, 0, 0, 0])
    yield Edge(formula, [GAPS], gradient=lambda x: np.where(x == x, 0, 1 / 3))
    yield Edge(formula, [GAPS, 1], gradient=lambda x, dim: [[0, 1, 0], [1, 0, 0]])
    for x, y in [((31,), (31,)), ((2, 3), (3,)), ((), (3,)), ((2, 1), (1, 3)), ((0, 3), (3,))]:
        yield Case(formula, [normal(*x), normal(*y)])
    yield Case(formula, [normal(3)], dict(other=normal(3)))
    yield Case(formula, [labels(9, 3), exactly(np.array([4, 5, 6], "int32"))])
    pair = exactly([1.0, 2.0, 3.0]), exactly([2.0, 2.0, 2.0])
    wins = (np.array([0, 0.5, 1]), np.array([1, 0.5, 0]))[:: 1 if choose is max else -1]
    yield Edge(formula, [*pair], gradient=lambda x, other: tuple(wins))
    yield Edge(formula, [exactly([NAN, 1.0]), exactly([1.0, NAN])])
    rule = "keepdim must come with dim, got keepdim=True alone"
    yield Invalid([normal(3)], ArgumentError, rule, dict(keepdim=True))
    yield Invalid([normal(3), 1.5], ArgumentError, "dim must be an integer, got 1.5")
    yield Invalid([normal(3), normal(4)], ShapeError, "shapes must broadcast, got (3,) and (4,)")
    yield Invalid([normal(3)], DTypeError, "other must be a gpunet.Tensor, got int", dict(other=2))


def max_():
    yield from _extrema(max)


def min_():
    yield from _extrema(min)


def _over(choose):
    formula = _over_axes(choose)
    yield from _whole(formula)
    yield from _one_axis(formula)
    for dim in ((0, 2), (-1, 1), (0, 1, 2), ()):
        yield Case(formula, [normal(2, 3, 5), dim])
    sign = 1 if choose is max else -1
    ties = exactly(sign * np.array([[1.0, 3.0, 3.0], [3.0, 2.0, 2.0]]))
    yield Edge(formula, [ties, 1], gradient=lambda x, dim: [[0, 0.5, 0.5], [1, 0, 0]])
    yield Edge(formula, [ties], gradient=lambda x: np.array([[0, 1, 1], [1, 0, 0]]) / 3)
    yield Edge(formula, [GAPS, 1])
    yield Invalid([normal(2, 3), (0, -2)], ShapeError, "dim must name each axis once, got (0, -2)")


def amax():
    yield from _over(max)


def amin():
    yield from _over(min)


def aminmax():
    yield from _whole(_aminmax)
    yield from _one_axis(_aminmax)
    ties = exactly([1.0, 1.0, 3.0, 3.0])
    yield Edge(_aminmax, [ties], gradient=lambda x: [0.5, 0.5, 0.5, 0.5])
    yield Edge(_aminmax, [GAPS], dict(dim=1))


def _positions(choose):
    formula = _position(choose)

    def drawn(*shape):
        return constant(normal(*shape))

    yield from _whole(formula, drawn)
    yield from _one_axis(formula, drawn)
    yield Case(formula, [drawn(2, 3)], dict(keepdim=True))
    yield Case(formula, [exactly([False, True, True])], unlike_torch=BOOL)
    yield Edge(formula, [constant(TIES)])
    yield Edge(formula, [constant(GAPS), 1])


def argmax():
    yield from _positions(max)


def argmin():
    yield from _positions(min)
