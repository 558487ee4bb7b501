"""Triangles and diagonals, element by element."""

import numpy as np

from gpunet.errors import ArgumentError, DTypeError, ShapeError
from tests.cases.case import Case, Edge, Invalid, exactly, labels, normal, positive

NAN = exactly([[np.nan, 1.0], [np.inf, np.nan]])


def _masked(x, keeps):
    y = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        if keeps(*place[-2:]):
            y[place] = x[place]
    return y


def _triangle(formula, keep):
    for diagonal in (0, 1, -2, 9, -9):
        yield Case(formula, [normal(4, 5), diagonal])
    for shape in [(1, 1), (5, 2), (2, 3, 4), (0, 3)]:
        yield Case(formula, [normal(*shape)])
    yield Case(formula, [labels(9, 3, 3)], dict(diagonal=-1))
    yield Case(formula, [exactly([[True, True], [True, True]])])
    yield Edge(formula, [NAN], gradient=lambda x: _masked(np.ones_like(x), keep))
    yield Invalid([normal(3)], ShapeError, "x must have at least two axes, got 1; x is (3,)")
    yield Invalid([normal(2, 2), 0.5], DTypeError, "diagonal must be integers, got (0.5,)")


def tril():
    def formula(x, diagonal=0):
        return _masked(x, lambda i, j: j <= i + diagonal)

    yield from _triangle(formula, lambda i, j: j <= i)


def triu():
    def formula(x, diagonal=0):
        return _masked(x, lambda i, j: j >= i + diagonal)

    yield from _triangle(formula, lambda i, j: j >= i)


def _listed(keeps):
    def formula(row, col, offset=0, dtype="int64"):
        places = [p for p in np.ndindex(row, col) if keeps(*p, offset)]
        return np.array(places, dtype).reshape(len(places), 2).T

    for row, col, offset in [(3, 3, 0), (3, 2, -1), (2, 4, 1), (0, 2, 0), (2, 2, -5), (2, 2, 5)]:
        yield Case(formula, [row, col, offset])
    yield Case(formula, [2, 3])
    yield Case(formula, [2, 3], dict(dtype="int32"))
    rule = "row and col must not be negative, got -1 and 2"
    yield Invalid([-1, 2], ArgumentError, rule)
    rule = "dtype must be int64 or int32, got float32"
    yield Invalid([2, 2], DTypeError, rule, dict(dtype="float32"))
    yield Invalid([2.0, 2], DTypeError, "row must be integers, got (2.0,)")


def tril_indices():
    yield from _listed(lambda i, j, offset: j <= i + offset)


def triu_indices():
    yield from _listed(lambda i, j, offset: j >= i + offset)


def diag():
    def formula(x, diagonal=0):
        if x.ndim == 2:
            places = [(i, j) for i, j in np.ndindex(x.shape) if j == i + diagonal]
            return np.array([x[p] for p in places], x.dtype)
        n = len(x) + abs(diagonal)
        y = np.zeros((n, n), x.dtype)
        for i, value in enumerate(x):
            y[i + max(0, -diagonal), i + max(0, diagonal)] = value
        return y

    for diagonal in (0, 1, -2, 7):
        yield Case(formula, [normal(4), diagonal])
        yield Case(formula, [normal(4, 5), diagonal])
    yield Case(formula, [normal(31)])
    yield Case(formula, [normal(0), 2])
    yield Case(formula, [normal(0, 3)])
    yield Case(formula, [labels(9, 3)])
    for shape in [(), (2, 2, 2)]:
        rule = f"x must have one or two axes, got {len(shape)}"
        yield Invalid([normal(*shape)], ShapeError, rule)


def diag_embed():
    def formula(x, offset=0, dim1=-2, dim2=-1):
        n = x.shape[-1] + abs(offset)
        y = np.zeros((*x.shape[:-1], n, n), x.dtype)
        for i in range(x.shape[-1]):
            y[..., i + max(0, -offset), i + max(0, offset)] = x[..., i]
        return np.moveaxis(y, (-2, -1), (dim1, dim2))

    for offset in (0, 1, -2):
        yield Case(formula, [normal(3), offset])
        yield Case(formula, [normal(4, 5), offset])
    for dims in [(0, 1), (1, 0), (0, -1), (2, 0), (-1, -2)]:
        yield Case(formula, [normal(2, 3), 1, *dims])
    yield Case(formula, [normal(0, 3)])
    yield Case(formula, [normal(2, 0), 1])
    yield Case(formula, [labels(9, 3)])
    x = normal(2, 3)
    yield Invalid([x, 0, 1, -2], ShapeError, "dim1 and dim2 must differ, got 1 and -2")
    yield Invalid([x, 0, 3, 0], ShapeError, "dim1 and dim2 must be in [-3, 3), got 3")
    yield Invalid([normal()], ShapeError, "dim1 and dim2 must be in [-1, 1), got -2")


def trace():
    def formula(x):
        total = x.dtype.type(0) if x.dtype.kind == "f" else 0
        for i in range(min(x.shape)):
            total += x[i, i] if x.dtype.kind == "f" else int(x[i, i])
        return total

    for shape in [(1, 1), (4, 5), (31, 31), (5, 2), (0, 3)]:
        # Among terms of both signs little may be left of them, and rounding depends on the order.
        yield Case(formula, [positive(*shape)])
    yield Case(formula, [labels(9, 3, 3)])
    yield Case(formula, [exactly(np.array([[100, 0], [0, 100]], "int8"))])
    for shape in [(), (3,), (2, 2, 2)]:
        yield Invalid([normal(*shape)], ShapeError, f"x must have two axes, got {len(shape)}")
    yield Invalid([exactly([[True]])], DTypeError, "x must hold numbers, got bool")
