"""Elements picked by position: NumPy's rules are the definition, gradients are what is in doubt."""

import operator

import numpy as np

from gpunet.errors import ShapeError
from tests.cases.case import Case, Edge, Invalid, exactly, labels, normal

ALL = slice(None)
BASIC = [0, -1, (1, 2), (ALL, -1), (..., 0), None, ..., slice(1, 3), slice(2, 2)]
STEPS = [slice(None, None, 2), slice(None, None, -1), (slice(0, 2), None, 1)]
ARRAYS = [np.array([0, 2, 0]), (np.array([0, 0, 1]), np.array([2, 2, 3])), np.array([], int)]
TENSORS = [labels(4, 6), (ALL, labels(5, 7)), (labels(4, 3), labels(5, 3))]
MASKS = [exactly([True, False, True, True]), np.array([False] * 4)]


def getitem():
    for key in [*BASIC, *STEPS, *ARRAYS, *TENSORS, *MASKS]:
        yield Case(operator.getitem, [normal(4, 5), key])
    yield Case(operator.getitem, [normal(), ()])
    yield Case(operator.getitem, [normal(0, 3), ALL])
    yield Case(operator.getitem, [normal(2, 3, 4), (1, ..., np.array([3, 0]))])
    yield Case(operator.getitem, [labels(9, 4), exactly([3, 1])])
    yield Edge(operator.getitem, [exactly([np.nan, 1.0]), 0], gradient=lambda x, key: [1, 0])
    for key, problem in [
        (4, "index 4 is out of bounds for axis 0 with size 4; x is (4, 5) float64 on cpu"),
        ((0, 0, 0), "too many indices for array"),
        ("a", "only integers, slices"),
        (slice(None, None, 0), "slice step cannot be zero"),
    ]:
        yield Invalid([normal(4, 5), key], ShapeError, f"key must fit the shape: {problem}")
