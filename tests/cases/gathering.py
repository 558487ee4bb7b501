"""Positions along one axis named by indices: the loops that define them."""

import numpy as np

from gpunet.errors import ArgumentError, DTypeError, ShapeError
from tests.cases.case import Case, Edge, Invalid, constant, exactly, labels, normal

INT32 = exactly(np.array([[0, 1], [1, 1]], "int32"))
NONE = exactly(np.zeros(0, int))
LARGER = "PyTorch's gradient wants a src of the shape of index"


def _there(place, dim, k):
    """`place` with position k along `dim`."""
    place = list(place)
    place[dim] = k
    return tuple(place)


def gather():
    def formula(x, dim, index):
        x, wanted = (x.reshape(1) if not x.ndim else x), np.atleast_1d(index)
        y = np.zeros(wanted.shape, x.dtype)
        for place, k in np.ndenumerate(wanted):
            y[place] = x[_there(place, dim, k)]
        return y.reshape(index.shape)

    for dim, index in [(0, labels(4, 6, 5)), (1, labels(5, 4, 2)), (-1, labels(5, 2, 9))]:
        yield Case(formula, [normal(4, 5), dim, index])
    yield Case(formula, [normal(2, 3, 4), 1, labels(3, 2, 5, 1)])
    yield Case(formula, [normal(2, 3), 1, INT32])
    yield Case(formula, [normal(31), 0, exactly([3, 3, 30])])
    yield Case(formula, [normal(3), 0, exactly(1)])
    yield Case(formula, [normal(), 0, exactly([0, 0])])
    yield Case(formula, [normal(), -1, exactly(0)])
    yield Case(lambda *_: np.zeros(0), [normal(2, 3), 1, NONE])
    yield Case(formula, [labels(9, 4), 0, exactly([3, 1])])
    yield from _bad_index("gather", lambda x, dim, index: [x, dim, index])


def _bad_index(_, call):
    x = normal(2, 3)
    for got in (3, -1):
        rule = f"index must be in [0, 3), got {got}; index is (1, 2) int64 on cpu"
        yield Invalid(call(x, 1, exactly([[0, got]])), ArgumentError, rule)
    rule = "index must have as many axes as x, 2, got 1; x is (2, 3) float64"
    yield Invalid(call(x, 1, exactly([0])), ShapeError, rule)
    rule = "index must not be larger than x but along axis 1, got (3, 1)"
    yield Invalid(call(x, 1, exactly([[0], [0], [0]])), ShapeError, rule)
    rule = "index must be int64 or int32, got float64"
    yield Invalid(call(x, 1, exactly([[0.0]])), DTypeError, rule)
    yield Invalid(call(x, 2, exactly([[0]])), ShapeError, "dim must be in [-2, 2), got 2")


def take_along_dim():
    def formula(x, indices, dim=None):
        if dim is None:
            return x.reshape(-1)[indices.reshape(-1)]
        return np.take_along_axis(x, indices, dim)

    yield Case(formula, [normal(4, 5), labels(4, 6, 5), 0])
    yield Case(formula, [normal(4, 5), labels(5, 4, 3), -1])
    yield Case(formula, [normal(4, 5), exactly([[-1, 0, -5]]), 1])
    yield Case(formula, [normal(1, 5), labels(5, 3, 2), 1])
    yield Case(formula, [normal(4, 5), exactly([[0, 19], [0, 0]])])
    why = "PyTorch takes negative indices with a dim only"
    yield Case(formula, [normal(4, 5), exactly([-20, 19])], unlike_torch=why)
    yield Case(formula, [normal(), exactly(0)])
    yield Case(formula, [labels(9, 2, 2), labels(2, 2, 1)], dict(dim=1))
    x = normal(2, 3)
    rule = "indices must have as many axes as x, 2, got 1"
    yield Invalid([x, exactly([0]), 1], ShapeError, rule)
    rule = "indices must be in [-3, 3), got 3"
    yield Invalid([x, exactly([[3]]), 1], ArgumentError, rule)
    rule = "shapes must broadcast but along axis 1, got (2, 3) and (3, 1)"
    yield Invalid([x, exactly([[0], [0], [0]]), 1], ShapeError, rule)
    rule = "indices must be int64 or int32, got float64"
    yield Invalid([x, exactly([[0.0]]), 1], DTypeError, rule)


def _scattered(x, dim, index, src, add):
    y, named = np.array(x, ndmin=1), np.atleast_1d(index)
    for place, k in np.ndenumerate(named if index.size else NONE.array(None, "int64")):
        there = _there(place, dim, k)
        value = np.atleast_1d(src)[place] if np.size(src) != 1 or np.ndim(src) else src
        y[there] = y[there] + value if add else value
    return y.reshape(x.shape)


def scatter():
    def formula(x, dim, index, src=None, value=None):
        return _scattered(x, dim, index, src if value is None else value, False)

    once = exactly([[3, 0, 1], [2, 3, 0], [0, 1, 2], [1, 4, 3]])
    yield Case(formula, [normal(4, 5), 1, once, normal(4, 3)])
    yield Case(formula, [normal(4, 5), -1, once, normal(5, 4)], unlike_torch=LARGER)
    some = exactly([[3, 0, 1], [2, 3, 0]])
    yield Case(formula, [normal(4, 5), 0, some, normal(2, 3)])
    yield Case(formula, [normal(4, 5), 0, some, normal(2, 5)], unlike_torch=LARGER)
    yield Case(formula, [normal(4, 5), 1, labels(5, 4, 7), 2.5])
    yield Case(formula, [normal(4, 5), 1, labels(5, 4, 7)], dict(value=-1))
    yield Case(formula, [normal(2, 3), 1, exactly(np.array([[0], [2]], "int32")), 1.0])
    yield Case(formula, [normal(3), 0, exactly([2, 0]), normal(2)])
    yield Case(formula, [normal(), 0, exactly([0]), normal(1)])
    yield Case(formula, [normal(2, 3), 1, NONE, 1.0])
    yield Case(formula, [labels(9, 4), 0, exactly([3, 1]), labels(9, 2)])
    yield Case(lambda *_: np.array([0, 1, 2]), [exactly([0, 5, 2]), 0, exactly([1]), 1.5])
    yield Edge(formula, [normal(3), 0, exactly([1]), float("nan")])
    yield from _bad_index("scatter", lambda x, dim, index: [x, dim, index, 1.0])
    yield from _bad_source()
    rule = "either src or value must be given, got both or none"
    yield Invalid([normal(2), 0, exactly([0])], ArgumentError, rule)
    yield Invalid([normal(2), 0, exactly([0]), 1.0], ArgumentError, rule, dict(value=1.0))
    rule = "value must be a number, got str"
    yield Invalid([normal(2), 0, exactly([0]), "1"], DTypeError, rule)


def _bad_source():
    x, index = normal(2, 3), exactly([[0, 1]])
    rule = "src must be float64 as x, got int64; x is (2, 3) float64 on cpu"
    yield Invalid([x, 1, index, labels(9, 1, 2)], DTypeError, rule)
    rule = "src must be at least as large as index, (1, 2), got "
    yield Invalid([x, 1, index, normal(1, 1)], ShapeError, rule + "(1, 1)")
    yield Invalid([x, 1, index, normal(2)], ShapeError, rule + "(2,)")


def scatter_add():
    def formula(x, dim, index, src):
        return _scattered(x, dim, index, src, True)

    yield Case(formula, [normal(4, 5), 1, labels(5, 4, 7), normal(4, 7)])
    yield Case(formula, [normal(4, 5), -2, labels(4, 9, 3), normal(10, 4)], unlike_torch=LARGER)
    yield Case(formula, [normal(2, 3, 4), 1, labels(3, 2, 5, 1), normal(2, 5, 1)])
    yield Case(formula, [normal(3), 0, exactly([2, 0, 2, 2]), normal(4)])
    yield Case(formula, [normal(), 0, exactly([0, 0]), normal(2)])
    yield Case(formula, [normal(2, 3), 1, NONE, constant(normal(1, 1))])
    yield Case(formula, [labels(9, 4), 0, exactly([3, 1, 3]), labels(9, 3)])
    yield from _bad_index("scatter_add", lambda x, dim, index: [x, dim, index, normal(4, 4)])
    yield from _bad_source()
    yield Invalid([normal(2), 0, exactly([0]), 1.0], DTypeError, "src must be a gpunet.Tensor")


def index_select():
    def formula(x, dim, index):
        return np.take(x, np.atleast_1d(index), dim) if x.ndim else x

    for dim, index in [(0, labels(4, 6)), (1, exactly([4, 4, 0])), (-1, exactly(2)), (0, NONE)]:
        yield Case(formula, [normal(4, 5), dim, index])
    yield Case(formula, [normal(2, 3, 4), 1, exactly(np.array([1, 1], "int32"))])
    yield Case(formula, [normal(), 0, exactly([0])])
    yield Case(formula, [normal(0, 3), 1, exactly([2, 0, 2])])
    yield Case(formula, [labels(9, 4), 0, exactly([3, 1])])
    yield from _bad_vector(lambda x, dim, index: [x, dim, index])
    yield Invalid([normal(), 0, exactly([0, 0])], ShapeError, "index must hold one position, got 2")


def _bad_vector(call, lowest=0):
    x = normal(2, 3)
    for got in (3, lowest - 1):
        rule = f"index must be in [{lowest}, 3), got {got}; index is (1,) int64 on cpu"
        yield Invalid(call(x, 1, exactly([got])), ArgumentError, rule)
    rule = "index must have one axis, got shape (1, 1)"
    yield Invalid(call(x, 1, exactly([[0]])), ShapeError, rule)
    rule = "index must be int64 or int32, got bool"
    yield Invalid(call(x, 1, exactly([True])), DTypeError, rule)
    yield Invalid(call(x, 2, exactly([0])), ShapeError, "dim must be in [-2, 2), got 2")


def _bad_slices():
    x = normal(2, 3)
    rule = "source must have shape (2, 1), got "
    for shape in [(2, 2), (2,), (1, 1)]:
        yield Invalid([x, 1, exactly([0]), normal(*shape)], ShapeError, rule + str(shape))
    rule = "source must be float64 as x, got int64"
    yield Invalid([x, 1, exactly([0]), labels(9, 2, 1)], DTypeError, rule)
    rule = "source must have shape (), got (1,)"
    yield Invalid([normal(), 0, exactly([0]), normal(1)], ShapeError, rule)


def index_add():
    def formula(x, dim, index, source, alpha=1):
        y = np.moveaxis(np.array(x, ndmin=1), dim, 0)
        for k, part in zip(np.atleast_1d(index), np.moveaxis(np.atleast_1d(source), dim, 0)):  # noqa: B905
            y[k] = y[k] + np.asarray(alpha * part, x.dtype)
        return np.moveaxis(y, 0, dim).reshape(x.shape)

    yield Case(formula, [normal(4, 5), 0, labels(4, 6), normal(6, 5)])
    yield Case(formula, [normal(4, 5), -1, exactly([4, 4, 0]), normal(4, 3)], dict(alpha=-0.5))
    yield Case(formula, [normal(2, 3, 4), 1, exactly([1, 1]), normal(2, 2, 4)], dict(alpha=2))
    yield Case(formula, [normal(3), 0, exactly(1), normal(1)])
    yield Case(formula, [normal(), 0, exactly([0]), normal()])
    yield Case(formula, [normal(2, 3), 0, NONE, normal(0, 3)])
    yield Case(formula, [labels(9, 4), 0, exactly([3, 1, 3]), labels(9, 3)], dict(alpha=3))
    yield from _bad_vector(lambda x, dim, index: [x, dim, index, normal(2, 1)])
    yield from _bad_slices()


def index_copy():
    def formula(x, dim, index, source):
        y = np.moveaxis(np.array(x, ndmin=1), dim, 0)
        y[np.atleast_1d(index)] = np.moveaxis(np.atleast_1d(source), dim, 0)
        return np.moveaxis(y, 0, dim).reshape(x.shape)

    yield Case(formula, [normal(4, 5), 0, exactly([3, 0]), normal(2, 5)])
    yield Case(formula, [normal(4, 5), -1, exactly([4, 2, 0]), normal(4, 3)])
    yield Case(formula, [normal(3), 0, exactly(1), normal(1)])
    yield Case(formula, [normal(), 0, exactly([0]), normal()])
    yield Case(formula, [normal(2, 3), 0, NONE, normal(0, 3)])
    yield Case(formula, [labels(9, 4), 0, exactly([3, 1]), labels(9, 2)])
    yield from _bad_vector(lambda x, dim, index: [x, dim, index, normal(2, 1)])
    yield from _bad_slices()


def index_fill():
    def formula(x, dim, index, value):
        y = np.moveaxis(np.array(x, ndmin=1), dim, 0)
        y[np.atleast_1d(index)] = value
        return np.moveaxis(y, 0, dim).reshape(x.shape)

    for dim, index in [(0, exactly([3, 0, 3])), (1, exactly([-1, 2])), (-1, exactly(2)), (0, NONE)]:
        yield Case(formula, [normal(4, 5), dim, index, 2.5])
    yield Case(formula, [normal(4, 5), 1, exactly([0, 3]), normal()])
    yield Case(formula, [normal(), 0, exactly([0]), 1])
    yield Case(formula, [labels(9, 4), 0, exactly([3, 1]), 7])
    yield Edge(formula, [normal(3), 0, exactly([1]), float("inf")])
    yield from _bad_vector(lambda x, dim, index: [x, dim, index, 1.0], -3)
    rule = "value must be one number, got shape (1,)"
    yield Invalid([normal(2), 0, exactly([0]), normal(1)], ShapeError, rule)
    yield Invalid([normal(2), 0, exactly([0]), None], DTypeError, "value must be a number")
