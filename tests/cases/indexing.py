"""Elements picked by position: NumPy's rules are the definition, the gradient is what is tested."""

import numpy as np

from gpunet.errors import ShapeError
from tests.cases.case import Case, Edge, Invalid, exactly, labels, normal


def getitem():
    def formula(x, key):
        return x[key]

    keys = [
        *(0, -1, (1, 2), (slice(None), -1), (..., 0), None, ...),
        *(
            slice(1, 3),
            slice(None, None, 2),
            slice(None, None, -1),
            slice(2, 2),
            (slice(0, 2), None, 1),
        ),
        *(np.array([0, 2, 0]), (np.array([0, 0, 1]), np.array([2, 2, 3])), np.array([], np.int64)),
        *(labels(4, 6), (slice(None), labels(5, 7)), (labels(4, 3), labels(5, 3))),
        exactly([True, False, True, True]),
    ]
    for key in keys:
        yield Case(formula, [normal(4, 5), key])
    yield Case(formula, [normal(), ()])
    yield Case(formula, [normal(0, 3), slice(None)])
    yield Case(formula, [normal(2, 3, 4), (1, ..., np.array([3, 0]))])
    yield Case(formula, [labels(9, 4), exactly([3, 1])])
    yield Edge(formula, [exactly([np.nan, 1.0]), 0], {}, lambda x, key: [1, 0])
    for key, problem in [
        (4, "index 4 is out of bounds"),
        ((0, 0, 0), "too many indices"),
        ("a", "only integers"),
    ]:
        yield Invalid(
            [normal(4, 5), key],
            {},
            ShapeError,
            rf"key must fit the shape: {problem}.*; x is \(4, 5\) float64",
        )
    yield Invalid(
        [normal(4), slice(None, None, 0)],
        {},
        ShapeError,
        "key must fit the shape: slice step cannot be zero",
    )
