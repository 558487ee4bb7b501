"""Other shapes for the same elements."""

import math

import numpy as np

from gpunet.errors import ShapeError
from tests.cases.case import Case, Invalid, labels, normal


def _one_tuple(numbers):
    return numbers[0] if numbers and isinstance(numbers[0], tuple) else numbers


def reshape():
    def formula(x, *shape):
        return np.array([x[i] for i in np.ndindex(x.shape)], x.dtype).reshape(_one_tuple(shape))

    for shape in [(6, 4), (24,), (-1,), (2, -1), (2, 3, 4, 1), (1, -1, 2)]:
        yield Case(formula, [normal(2, 3, 4), *shape])
        yield Case(formula, [normal(2, 3, 4), shape])
    yield Case(formula, [normal(), 1])
    yield Case(formula, [normal(1), ()])
    yield Case(formula, [normal(0, 3), 3, 0])
    yield Case(formula, [normal(0, 3), -1, 3])
    yield Case(formula, [labels(9, 4), 2, 2])
    for shape in [(5,), (5, -1), (-1, -1), (-2, 3), (4, 0)]:
        rule = f"shape must hold 6 elements, got {shape}; x is (2, 3) float64 on cpu"
        yield Invalid([normal(2, 3), *shape], ShapeError, rule)
    yield Invalid([normal(0, 3), 0, -1], ShapeError, "shape must hold 0 elements, got (0, -1)")


def flatten():
    def formula(x, start_dim=0, end_dim=-1):
        if x.ndim == 0:
            return np.array([x])
        start, end = start_dim % x.ndim, end_dim % x.ndim + 1
        return np.reshape(x, (*x.shape[:start], math.prod(x.shape[start:end]), *x.shape[end:]))

    for shape in [(), (1,), (31,), (2, 3), (2, 3, 4, 5), (0, 3), (2, 0, 3)]:
        yield Case(formula, [normal(*shape)])
    for start, end in [(1, -1), (0, 1), (1, 2), (-2, -1), (2, 2), (-4, 3)]:
        yield Case(formula, [normal(2, 3, 4, 5)], dict(start_dim=start, end_dim=end))
    yield Case(formula, [normal(2, 0, 3), 1])
    yield Invalid([normal(2, 3), 2], ShapeError, "dim must be in [-2, 2), got 2; x is (2, 3)")
    rule = "start_dim must not be behind end_dim, got 1 and 0; x is (2, 3)"
    yield Invalid([normal(2, 3), 1, 0], ShapeError, rule)


def permute():
    def formula(x, *dims):
        return np.moveaxis(x, _one_tuple(dims), range(x.ndim))

    for dims in [(0, 1, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1), (-1, 0, -2)]:
        yield Case(formula, [normal(2, 3, 4), *dims])
        yield Case(formula, [normal(2, 3, 4), dims])
    yield Case(formula, [normal(31), 0])
    yield Case(formula, [normal(0, 3), 1, 0])
    yield Case(formula, [normal(), ()])
    for dims in [(0, 1), (0, 0, 1), (0, 1, 2, 2)]:
        rule = f"dims must name each of 3 axes once, got {dims}; x is (2, 3, 4)"
        yield Invalid([normal(2, 3, 4), *dims], ShapeError, rule)
    yield Invalid([normal(2, 3), 0, 2], ShapeError, "dim must be in [-2, 2), got 2; x is (2, 3)")


def transpose():
    def formula(x, dim0, dim1):
        before = "abc"[: x.ndim]
        after = list(before)
        after[dim0], after[dim1] = after[dim1], after[dim0]
        return np.einsum(f"{before}->{''.join(after)}", x)

    for dim0, dim1 in [(0, 1), (1, 0), (0, 2), (-1, -2), (1, 1), (0, -1)]:
        yield Case(formula, [normal(2, 3, 4), dim0, dim1])
    yield Case(formula, [normal(0, 3), 0, 1])
    yield Case(formula, [normal(33), 0, 0])
    yield Invalid([normal(2, 3), 0, 2], ShapeError, "dim must be in [-2, 2), got 2; x is (2, 3)")
