"""Matrix products: sums of products, written as such."""

import numpy as np

from gpunet.errors import DTypeError, ShapeError
from tests.cases.case import Case, Edge, Invalid, exactly, labels, normal


def matmul():
    def formula(x, y):
        rows = x if x.ndim > 1 else x[None, :]
        columns = y if y.ndim > 1 else y[:, None]
        z = (rows[..., :, :, None] * columns[..., None, :, :]).sum(-2)
        z = z if x.ndim > 1 else z[..., 0, :]
        return z if y.ndim > 1 else z[..., 0]

    shapes = [
        *(
            ((1, 1), (1, 1)),
            ((2, 3), (3, 4)),
            ((31, 3), (3, 33)),
            ((3, 31), (31, 1)),
            ((130, 17), (17, 127)),
        ),
        *(((3,), (3,)), ((3,), (3, 4)), ((2, 3), (3,)), ((3,), (5, 3, 4)), ((5, 2, 3), (3,))),
        *(
            ((5, 2, 3), (3, 4)),
            ((2, 3), (5, 3, 4)),
            ((5, 2, 3), (5, 3, 4)),
            ((2, 1, 2, 3), (5, 3, 4)),
        ),
        *(((0, 3), (3, 4)), ((2, 3), (3, 0)), ((2, 0), (0, 4)), ((0, 2, 3), (3, 4))),
    ]
    for x, y in shapes:
        yield Case(formula, [normal(*x), normal(*y)])
    yield Edge(formula, [exactly([[np.nan, 1.0], [1.0, 1.0]]), exactly([[1.0], [1.0]])])
    rule = "x's last axis must equal y's last but one, got 3 and 2"
    yield Invalid([normal(2, 3), normal(2, 4)], {}, ShapeError, rule)
    yield Invalid(
        [normal(2, 2, 3), normal(3, 3, 4)],
        {},
        ShapeError,
        "leading axes must broadcast, got 2 and 3",
    )
    yield Invalid(
        [normal(), normal(2)],
        {},
        ShapeError,
        r"operands must have at least one axis; x is \(\) float64",
    )
    yield Invalid(
        [normal(2, 2), labels(2, 2, 2)], {}, DTypeError, "y must be float32 or float64, got int64"
    )
    yield Invalid([normal(2, 2), 3.0], {}, DTypeError, "y must be a gpunet.Tensor, got float")


def linear():
    def formula(x, weight, bias=None):
        y = (x[..., None, :] * weight).sum(-1)
        return y if bias is None else y + bias

    for shape in [(1, 1), (5, 3), (3,), (2, 4, 3), (31, 33), (1, 31), (0, 3), (2, 0, 3), (130, 17)]:
        yield Case(formula, [normal(*shape), normal(127 if shape[0] == 130 else 4, shape[-1])])
        yield Case(formula, [normal(*shape), normal(4, shape[-1]), normal(4)])
    yield Case(formula, [normal(2, 3), normal(1, 3), normal(1)])
    for width, outputs in ((0, 4), (3, 0)):
        yield Case(formula, [normal(2, width), normal(outputs, width), normal(outputs)])
        yield Case(formula, [normal(2, 5, width), normal(outputs, width)])
    yield Edge(
        formula, [exactly([[np.nan, 1.0], [1.0, 1.0]]), exactly([[1.0, 1.0]]), exactly([1.0])]
    )
    yield Invalid(
        [normal(2, 3), normal(3)], {}, ShapeError, r"weight must have shape \(out, in\), got \(3,\)"
    )
    yield Invalid(
        [normal(2, 3), normal(4, 2)],
        {},
        ShapeError,
        r"x must have shape \(..., in\) = \(..., 2\), got \(2, 3\)",
    )
    yield Invalid(
        [normal(), normal(4, 2)],
        {},
        ShapeError,
        r"x must have shape \(..., in\) = \(..., 2\), got \(\)",
    )
    rule = r"bias must have shape \(out,\) = \(4,\), got \(3,\)"
    yield Invalid([normal(2, 3), normal(4, 3), normal(3)], {}, ShapeError, rule)
    yield Invalid(
        [normal(2, 3), labels(2, 4, 3)],
        {},
        DTypeError,
        "weight must be float32 or float64, got int64",
    )
