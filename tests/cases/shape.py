"""Other shapes for the same elements."""

import math

import numpy as np

from gpunet.errors import ShapeError
from tests.cases.case import Case, Invalid, labels, normal


def reshape():
    def formula(x, *shape):
        shape = shape[0] if shape and isinstance(shape[0], tuple) else shape
        return np.array([x[i] for i in np.ndindex(x.shape)], x.dtype).reshape(shape)

    for shape in [(6, 4), (24,), (-1,), (2, -1), (2, 3, 4, 1), (1, -1, 2)]:
        yield Case(formula, [normal(2, 3, 4), *shape])
        yield Case(formula, [normal(2, 3, 4), shape])
    yield Case(formula, [normal(), 1])
    yield Case(formula, [normal(1), ()])
    yield Case(formula, [normal(0, 3), 3, 0])
    yield Case(formula, [normal(0, 3), -1, 3])
    yield Case(formula, [labels(9, 4), 2, 2])
    for shape in [(5,), (5, -1), (-1, -1), (-2, 3), (4, 0)]:
        text = str(shape).replace("(", r"\(").replace(")", r"\)")
        yield Invalid(
            [normal(2, 3), *shape],
            {},
            ShapeError,
            rf"shape must hold 6 elements, got {text}; x is \(2, 3\)",
        )
    yield Invalid(
        [normal(0, 3), 0, -1], {}, ShapeError, r"shape must hold 0 elements, got \(0, -1\)"
    )


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
    yield Invalid([normal(2, 3), 2], {}, ShapeError, r"dim must be in \[-2, 2\), got 2")
    yield Invalid(
        [normal(2, 3), 1, 0], {}, ShapeError, "start_dim must not be behind end_dim, got 1 and 0"
    )


def permute():
    def formula(x, *dims):
        dims = dims[0] if dims and isinstance(dims[0], tuple) else dims
        return np.moveaxis(x, dims, range(x.ndim))

    for dims in [(0, 1, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1), (-1, 0, -2)]:
        yield Case(formula, [normal(2, 3, 4), *dims])
        yield Case(formula, [normal(2, 3, 4), dims])
    yield Case(formula, [normal(31), 0])
    yield Case(formula, [normal(0, 3), 1, 0])
    yield Case(formula, [normal(), ()])
    for dims in [(0, 1), (0, 0, 1), (0, 1, 2, 2)]:
        text = ", ".join(map(str, dims))
        yield Invalid(
            [normal(2, 3, 4), *dims],
            {},
            ShapeError,
            rf"dims must name each of 3 axes once, got \({text}\)",
        )
    yield Invalid([normal(2, 3), 0, 2], {}, ShapeError, r"dim must be in \[-2, 2\), got 2")


def transpose():
    def formula(x, dim0, dim1):
        letters = list("abcd"[: x.ndim])
        letters[dim0], letters[dim1] = letters[dim1], letters[dim0]
        return np.einsum(f"{'abcd'[: x.ndim]}->{''.join(letters)}", x)

    for dim0, dim1 in [(0, 1), (1, 0), (0, 2), (-1, -2), (1, 1), (0, -1)]:
        yield Case(formula, [normal(2, 3, 4), dim0, dim1])
    yield Case(formula, [normal(0, 3), 0, 1])
    yield Case(formula, [normal(33), 0, 0])
    yield Invalid([normal(2, 3), 0, 2], {}, ShapeError, r"dim must be in \[-2, 2\), got 2")
