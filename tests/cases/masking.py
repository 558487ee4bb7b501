"""Elements picked by a condition."""

import numpy as np

from gpunet.errors import ArgumentError, DTypeError, ShapeError
from tests.cases.case import Case, Edge, Invalid, constant, exactly, labels, normal

ROW = exactly([True, False, True, True, False])
COLUMN = exactly([[True], [False], [True], [False]])
CHESS = exactly([[(i + j) % 2 == 0 for j in range(5)] for i in range(4)])
EMPTY = constant(normal(0, 3))
NAN = exactly([np.nan, np.inf, 1.0, -np.inf, 0.0])


def where():
    def formula(condition, x=None, y=None):
        if x is None:
            return np.nonzero(condition)
        numbers = [v for v in (x, y) if not isinstance(v, np.ndarray)]
        arrays = [v for v in (x, y) if isinstance(v, np.ndarray)]
        floats = [v.dtype for v in arrays if v.dtype.kind == "f"]
        kinds = floats or [np.dtype("float32")] * any(isinstance(n, float) for n in numbers)
        kinds = kinds or [v.dtype for v in arrays] or [np.result_type(*map(type, numbers))]
        return np.where(condition, x, y).astype(np.result_type(*kinds))

    for condition in (CHESS, ROW, COLUMN, exactly(True)):
        yield Case(formula, [condition, normal(4, 5), normal(4, 5)])
        yield Case(formula, [condition, normal(5), normal(4, 1)])
    yield Case(formula, [ROW, normal(), normal(5)])
    yield Case(formula, [exactly(False), normal(), normal()])
    yield Case(formula, [CHESS, normal(4, 5), 2])
    yield Case(formula, [CHESS, 2.5, normal(4, 5)])
    yield Case(formula, [CHESS, normal(4, 5), labels(9, 4, 5)])
    yield Case(formula, [CHESS, labels(9, 4, 5), 7])
    yield Case(formula, [CHESS, 1.5, labels(9, 4, 5)])
    yield Case(formula, [CHESS, exactly(np.int32(3)), labels(9, 4, 5)])
    for x, y in [(1, 0), (1.0, 0), (True, False), (True, 2)]:
        yield Case(formula, [ROW, x, y])
    yield Case(formula, [exactly(np.zeros((0, 3), bool)), normal(0, 3), normal(3)])
    for x in (CHESS, labels(2, 3, 4), exactly(5), constant(normal(3)), EMPTY):
        yield Case(lambda x: np.nonzero(np.atleast_1d(x)), [x])
    yield Edge(formula, [ROW, normal(5), NAN], gradient=lambda c, x, y: (c * 1.0, 1.0 - c))
    x = normal(2, 3)
    yield Invalid([labels(2, 2, 3), x, x], DTypeError, "condition must be bool, got int64")
    yield Invalid([exactly([True]), x, None], DTypeError, "y must be a gpunet.Tensor or a number")
    yield Invalid([True, x, x], DTypeError, "condition must be a gpunet.Tensor, got bool")
    rule = "shapes must broadcast, got [(2,), (2, 3), (2, 3)]"
    yield Invalid([exactly([True, False]), x, x], ShapeError, rule)


def masked_fill():
    def formula(x, mask, value):
        return np.where(mask, value, x).astype(x.dtype)

    for mask in (CHESS, ROW, COLUMN, exactly(True)):
        yield Case(formula, [normal(4, 5), mask, 2.5])
        yield Case(formula, [normal(4, 5), mask, normal()])
    yield Case(formula, [normal(5), CHESS, -1])
    yield Case(formula, [normal(), exactly(True), 3])
    yield Case(formula, [normal(0, 3), exactly(np.zeros((0, 3), bool)), 1.0])
    yield Case(lambda x, mask, value: np.where(mask, 2, x), [labels(9, 5), ROW, 2.5])
    yield Case(formula, [CHESS, ROW, 1])
    yield Edge(formula, [normal(5), ROW, float("-inf")], gradient=lambda x, m, v: 1.0 - m)
    yield Edge(formula, [NAN, ROW, 0.0], gradient=lambda x, m, v: 1.0 - m)
    x = normal(2, 3)
    yield Invalid([x, labels(2, 2, 3), 0], DTypeError, "mask must be bool, got int64")
    yield Invalid(
        [x, exactly([True]), normal(1)], ShapeError, "value must be one number, got shape"
    )
    yield Invalid([x, exactly([True]), "a"], DTypeError, "value must be a number, got str")
    yield Invalid([x, exactly([True, True]), 0], ShapeError, "shapes must broadcast")
    rule = "value must fit into int8, got 128; x is (1,) int8"
    yield Invalid([exactly(np.zeros(1, "int8")), exactly([True]), 128], ArgumentError, rule[:33])


def masked_select():
    def formula(x, mask):
        x, mask = np.broadcast_arrays(x, mask)
        return x[mask].reshape(-1)

    for mask in (CHESS, ROW, COLUMN, exactly(True)):
        yield Case(formula, [normal(4, 5), mask])
    yield Case(formula, [normal(5), CHESS])
    yield Case(formula, [normal(), exactly([True, False, True])])
    yield Case(formula, [normal(), exactly(True)])
    yield Case(formula, [normal(0, 3), exactly([True, False, True])])
    yield Case(formula, [labels(9, 5), ROW])
    x = normal(2, 3)
    yield Invalid([x, labels(2, 2, 3)], DTypeError, "mask must be bool, got int64")
    yield Invalid(
        [x, exactly([True, True])], ShapeError, "shapes must broadcast, got [(2, 3), (2,)]"
    )


def masked_scatter():
    def formula(x, mask, source):
        x, mask = np.broadcast_arrays(x, mask)
        y, rest = x.copy(), iter(source.flat)
        for place in np.ndindex(y.shape):
            if mask[place]:
                y[place] = next(rest)
        return y

    for mask in (CHESS, ROW, COLUMN, exactly(True)):
        yield Case(formula, [normal(4, 5), mask, normal(7, 3)])
    yield Case(formula, [normal(5), CHESS, normal(10)])
    yield Case(formula, [normal(), exactly(True), normal(2)])
    yield Case(formula, [normal(0, 3), exactly([True, False, True]), normal(1)])
    yield Case(formula, [labels(9, 5), ROW, labels(9, 3)])
    x = normal(2, 3)
    yield Invalid([x, labels(2, 2, 3), x], DTypeError, "mask must be bool, got int64")
    yield Invalid([x, exactly([True]), normal(5)], ArgumentError, "at least 6 elements, got 5")
    rule = "source must be float64 as x, got int64"
    yield Invalid([x, exactly([True]), labels(9, 6)], DTypeError, rule)
    yield Invalid([x, exactly([True, True]), x], ShapeError, "shapes must broadcast")


def _positions(x):
    found = [place for place in np.ndindex(x.shape) if x[place]]
    return np.array(found, int).reshape(len(found), x.ndim)


def nonzero():
    for x in (
        CHESS,
        labels(2, 3, 4),
        exactly(5),
        exactly(0),
        constant(normal(3)),
        constant(NAN),
        labels(2, 2, 2, 3),
    ):
        yield Case(_positions, [x])
    yield Case(_positions, [EMPTY])
    for x in (CHESS, labels(2, 3, 4), exactly(5), EMPTY):
        formula = lambda x, as_tuple: np.nonzero(np.atleast_1d(x))  # noqa: E731
        yield Case(formula, [x], dict(as_tuple=True))
    yield Invalid([[0, 1]], DTypeError, "x must be a gpunet.Tensor, got list")


def argwhere():
    for x in (CHESS, labels(2, 3, 4), exactly(5), constant(normal(3)), EMPTY):
        yield Case(_positions, [x])
    yield Invalid([[0, 1]], DTypeError, "x must be a gpunet.Tensor, got list")
