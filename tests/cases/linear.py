"""Matrix products: sums of products, written as such."""

import numpy as np

from gpunet.errors import DTypeError, ShapeError
from tests.cases.case import Case, Edge, Invalid, exactly, labels, normal

PLAIN = [((1, 1), (1, 1)), ((2, 3), (3, 4)), ((31, 3), (3, 33)), ((3, 31), (31, 1))]
VECTORS = [((3,), (3,)), ((3,), (3, 4)), ((2, 3), (3,)), ((3,), (5, 3, 4)), ((5, 2, 3), (3,))]
STACKS = [
    ((5, 2, 3), (3, 4)),
    ((2, 3), (5, 3, 4)),
    ((5, 2, 3), (5, 3, 4)),
    ((2, 1, 2, 3), (5, 3, 4)),
]
EMPTY = [((0, 3), (3, 4)), ((2, 3), (3, 0)), ((2, 0), (0, 4)), ((0, 2, 3), (3, 4))]
NAN = exactly([[np.nan, 1.0], [1.0, 1.0]])


def matmul():
    def formula(x, y):
        rows = x if x.ndim > 1 else x[None, :]
        columns = y if y.ndim > 1 else y[:, None]
        z = (rows[..., :, :, None] * columns[..., None, :, :]).sum(-2)
        z = z if x.ndim > 1 else z[..., 0, :]
        return z if y.ndim > 1 else z[..., 0]

    for x, y in [*PLAIN, *VECTORS, *STACKS, *EMPTY, ((130, 17), (17, 127))]:
        yield Case(formula, [normal(*x), normal(*y)])
    yield Edge(formula, [NAN, exactly([[1.0], [1.0]])])
    rule = "x's last axis must equal y's last but one, got 3 and 2"
    yield Invalid([normal(2, 3), normal(2, 4)], ShapeError, rule)
    rule = "leading axes must broadcast, got 2 and 3; x is (2, 2, 3) float64"
    yield Invalid([normal(2, 2, 3), normal(3, 3, 4)], ShapeError, rule)
    rule = "operands must have at least one axis; x is () float64"
    yield Invalid([normal(), normal(2)], ShapeError, rule)
    rule = "y must be floating, got int64"
    yield Invalid([normal(2, 2), labels(2, 2, 2)], DTypeError, rule)
    yield Invalid([normal(2, 2), 3.0], DTypeError, "y must be a gpunet.Tensor, got float")


def linear():
    def formula(x, weight, bias=None):
        y = (x[..., None, :] * weight).sum(-1)
        return y if bias is None else y + bias

    for shape in [(1, 1), (5, 3), (3,), (2, 4, 3), (31, 33), (1, 31), (0, 3), (2, 0, 3), (2, 5, 0)]:
        for outputs in (1, 4, 0):
            weight, bias = normal(outputs, shape[-1]), normal(outputs)
            yield Case(formula, [normal(*shape), weight])
            yield Case(formula, [normal(*shape), weight, bias])
    yield Case(formula, [normal(130, 17), normal(127, 17), normal(127)])
    yield Edge(formula, [NAN, exactly([[1.0, 1.0]]), exactly([1.0])])
    x, weight = normal(2, 3), normal(4, 3)
    yield Invalid([x, normal(3)], ShapeError, "weight must have shape (out, in), got (3,)")
    rule = "x must have shape (..., in) = (..., 3), got "
    yield Invalid([normal(3, 2), weight], ShapeError, rule + "(3, 2); weight is (4, 3) float64")
    yield Invalid([normal(), weight], ShapeError, rule + "()")
    rule = "bias must have shape (out,) = (4,), got (3,); weight is (4, 3) float64"
    yield Invalid([x, weight, normal(3)], ShapeError, rule)
    rule = "weight must be floating, got int64"
    yield Invalid([x, labels(2, 4, 3)], DTypeError, rule)
    yield Invalid([x, None], DTypeError, "weight must be a gpunet.Tensor, got NoneType")
