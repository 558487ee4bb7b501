"""Elements picked by position: NumPy's rules are the definition, gradients are what is in doubt."""

import operator

import numpy as np

from gpunet.errors import ArgumentError, DTypeError, ShapeError
from tests.cases.case import Case, Edge, Invalid, exactly, labels, normal

ALL = slice(None)
BASIC = [0, -1, (1, 2), (ALL, -1), (..., 0), None, ..., slice(1, 3), slice(2, 2), np.int64(2), ()]
STEPS = [slice(None, None, 2), (slice(0, 2), None, 1), (None, ..., None, slice(1, None, 3))]
ARRAYS = [np.array([0, 2, 0]), (np.array([0, 0, 1]), np.array([2, 2, 3])), np.array([], int)]
LISTS = [[0, 2, 0], [], [True, False, True, True], (ALL, [1, -1]), ((0, 2, 0), 1), range(2)]
TENSORS = [labels(4, 6), (ALL, labels(5, 7)), (labels(4, 3), labels(5, 3)), exactly(2)]
PAIRS = [(exactly([[0], [3]]), exactly([1, 1])), (exactly([2, -1]), slice(1, 3)), labels(4, 2, 3)]
MASKS = [exactly([True, False, True, True]), np.array([False] * 4), True, False, exactly(True)]
DEEP = [(ALL, [1, 1], ALL), (ALL, [0, 2], [1, 1]), ([1, 0], 2)]
APART = [([0, 1], ALL, [1, 1]), (..., [0, 0]), ([0, 1], None, [1, 1]), (None, ALL, [2, 0])]
MASKED = exactly([[True, False, True], [False, False, True]])


def getitem():
    for key in [*BASIC, *STEPS, *ARRAYS, *LISTS, *TENSORS, *PAIRS, *MASKS]:
        yield Case(operator.getitem, [normal(4, 5), key])
    for key in [
        *DEEP,
        *APART,
        MASKED,
        (MASKED, 1),
        (MASKED, None),
        (ALL, exactly([True, False, True])),
    ]:
        yield Case(operator.getitem, [normal(2, 3, 4), key])
    # An integer beside an array: NumPy would move the axis of the array to the front.
    yield Case(lambda x, key: x[0][:, [1, 1]], [normal(2, 3, 4), (0, ALL, [1, 1])])
    yield Case(lambda x, key: x[..., 2][[1, 1]], [normal(2, 3, 4), ([1, 1], ..., 2)])
    yield Case(lambda x, key: x[1][:, [3, 0]], [normal(2, 3, 4), (1, ..., np.array([3, 0]))])
    yield Case(operator.getitem, [normal(), ()])
    yield Case(operator.getitem, [normal(), None])
    yield Case(operator.getitem, [normal(0, 3), ALL])
    yield Case(operator.getitem, [labels(9, 4), exactly([3, 1])])
    why = "PyTorch refuses negative steps"
    yield Case(operator.getitem, [normal(4, 5), slice(None, None, -1)], unlike_torch=why)
    masks, key = "PyTorch takes uint8 for masks", exactly(np.array([0, 1, 1], "uint8"))
    yield Case(operator.getitem, [normal(3), key], unlike_torch=masks)
    each = "PyTorch takes a list of lists for one key an axis"
    yield Case(operator.getitem, [normal(4, 5), [[0, 1], [1, 0]]], unlike_torch=each)
    yield Edge(operator.getitem, [exactly([np.nan, 1.0]), 0], gradient=lambda x, key: [1, 0])
    for key, problem in [
        (4, "index 4 is out of bounds for axis 0 with size 4; x is (4, 5) float64 on cpu"),
        (exactly([-5]), "index -5 is out of bounds for axis 0 with size 4"),
        ((0, 0, 0), "too many indices for array"),
        ("a", "only integers, slices"),
        (1.0, "only integers, slices"),
        (exactly([1.0]), "only integers, slices"),
        (slice(None, None, 0), "slice step cannot be zero"),
        (exactly([True]), "boolean index did not match"),
        ((exactly([0, 1]), exactly([0, 1, 2])), "shape mismatch"),
    ]:
        yield Invalid([normal(4, 5), key], ShapeError, f"key must fit the shape: {problem}")


def select():
    for dim, index in [(0, 1), (1, -1), (-1, 4), (-2, -4)]:
        yield Case(lambda x, dim, index: np.take(x, index, dim), [normal(4, 5), dim, index])
    yield Case(lambda x, dim, index: x[2], [normal(3), 0, 2])
    yield Case(lambda x, dim, index: x[:, 2], [labels(9, 0, 3), 1, 2])
    rule = "index must be in [-3, 3), got "
    yield Invalid([normal(2, 3), 1, 3], ShapeError, rule + "3; x is (2, 3) float64")
    yield Invalid([normal(2, 3), 1, -4], ShapeError, rule + "-4")
    yield Invalid([normal(2, 3), 1, 1.0], DTypeError, "index must be integers, got (1.0,)")
    yield Invalid([normal(), 0, 0], ShapeError, "dim must be in [0, 0), got 0; x is ()")


def take():
    def formula(x, index):
        return np.array([x.flat[i] for i in index.flat], x.dtype).reshape(index.shape)

    for index in [labels(20, 7), labels(20, 2, 3), exactly([-1, -20, 0, -1]), exactly(3)]:
        yield Case(formula, [normal(4, 5), index])
    yield Case(formula, [normal(), exactly([0, 0])])
    yield Case(formula, [normal(0, 3), exactly(np.zeros(0, int))])
    yield Case(formula, [labels(9, 4), exactly([3, 1])])
    for got in (6, -7):
        rule = f"index must be in [-6, 6), got {got}; index is (2,) int64 on cpu"
        yield Invalid([normal(2, 3), exactly([0, got])], ArgumentError, rule)
    rule = "index must be int64 or int32, got float64"
    yield Invalid([normal(2, 3), exactly([0.0])], DTypeError, rule)
