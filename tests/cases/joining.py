"""Tensors put together and taken apart."""

import itertools

import numpy as np

from gpunet.errors import ArgumentError, DTypeError, ShapeError
from tests.cases.case import Case, Edge, Invalid, exactly, labels, normal

BOOL = exactly([[True, False, True]])
NAN = exactly([[np.nan, 1.0]])


def _put(tensors, dim=0):
    """Written element by element into an array of the final length."""
    tensors = [x for x in tensors if x.shape != (0,)] or list(tensors[:1])
    dim %= tensors[0].ndim
    shape = list(tensors[0].shape)
    shape[dim] = sum(x.shape[dim] for x in tensors)
    y, start = np.zeros(shape, _meeting(tensors)), 0
    for x in tensors:
        for index in np.ndindex(x.shape):
            y[(*index[:dim], start + index[dim], *index[dim + 1 :])] = x[index]
        start += x.shape[dim]
    return y


def _meeting(tensors):
    """PyTorch's dtype: floats before integers before booleans, the widest of a kind."""
    floats = [x.dtype for x in tensors if x.dtype.kind == "f"]
    return np.result_type(*(floats or [x.dtype for x in tensors]))


def cat():
    for shapes, dim in [
        ([(2, 3), (4, 3)], 0),
        ([(2, 3), (2, 1), (2, 5)], 1),
        ([(2, 3), (2, 1)], -1),
        ([(5,)], 0),
        ([(5,), (0,), (31,)], 0),
        ([(0, 3), (2, 3)], 0),
        ([(2, 3, 1), (2, 4, 1)], -2),
        ([(20, 13), (11, 13)], 0),
    ]:
        yield Case(_put, [tuple(normal(*shape) for shape in shapes), dim])
    yield Case(_put, [(normal(2, 3), exactly(np.zeros(0)))])
    yield Case(_put, [(exactly(np.zeros(0)), exactly(np.zeros(0))), 0])
    yield Case(_put, [(normal(2, 3), labels(9, 2, 3), BOOL)])
    yield Case(_put, [(labels(9, 1, 3), BOOL)])
    yield Case(_put, [(BOOL, BOOL)], dict(dim=1))
    yield Edge(_put, [(NAN, NAN)])
    x = normal(2, 3)
    yield Invalid([()], ArgumentError, "tensors must be at least one, got none")
    yield Invalid([x], DTypeError, "tensors must be a tuple of gpunet.Tensor, got Tensor")
    yield Invalid([(x, 1.0)], DTypeError, "tensors must be a gpunet.Tensor, got float")
    yield Invalid([(x, normal())], ShapeError, "tensors must have at least one axis, got shape ()")
    yield Invalid([(x, x), 2], ShapeError, "dim must be in [-2, 2), got 2; x is (2, 3)")
    rule = "tensors must have equal shapes but along axis 0, got (2, 3) and "
    yield Invalid([(x, normal(2, 4))], ShapeError, rule + "(2, 4)")
    yield Invalid([(x, normal(3))], ShapeError, rule + "(3,)")


def concat():
    yield from cat()


def stack():
    def formula(tensors, dim=0):
        n = tensors[0].ndim + 1
        return _put([np.expand_dims(x, dim % n) for x in tensors], dim % n)

    for dim in (0, 1, 2, -1, -2, -3):
        yield Case(formula, [(normal(4, 5), normal(4, 5), normal(4, 5)), dim])
    yield Case(formula, [(normal(), normal())])
    yield Case(formula, [(normal(0, 3),)], dict(dim=1))
    yield Case(formula, [(normal(3), labels(9, 3))])
    yield Case(formula, [(BOOL, labels(9, 1, 3))])
    x = normal(2, 3)
    yield Invalid([(x, x), 3], ShapeError, "dim must be in [-3, 3), got 3; x is (2, 3)")
    rule = "tensors must have equal shapes, got (2, 3) and (3,)"
    yield Invalid([(x, normal(3))], ShapeError, rule)
    yield Invalid([()], ArgumentError, "tensors must be at least one, got none")


def hstack():
    def formula(tensors):
        return _put([np.atleast_1d(x) for x in tensors], int(tensors[0].ndim > 1))

    for shapes in [[(2,), (3,)], [(), (4,)], [(), ()], [(4, 5), (4, 1)], [(2, 3, 4), (2, 1, 4)]]:
        yield Case(formula, [tuple(normal(*shape) for shape in shapes)])
    yield Case(formula, [(normal(0, 3), normal(0, 1))])
    yield Case(formula, [(normal(1, 3), BOOL)])
    rule = "tensors must have equally many axes, got (2, 3) and (3,)"
    yield Invalid([(normal(2, 3), normal(3))], ShapeError, rule)
    rule = "tensors must have equal shapes but along axis 1, got (2, 3) and (3, 3)"
    yield Invalid([(normal(2, 3), normal(3, 3))], ShapeError, rule)


def vstack():
    def formula(tensors):
        return _put([np.atleast_2d(x) for x in tensors], 0)

    for shapes in [[(3,), (3,)], [(), (1,)], [(4, 5), (5,)], [(2, 3, 4), (1, 3, 4)]]:
        yield Case(formula, [tuple(normal(*shape) for shape in shapes)])
    yield Case(formula, [(normal(0, 3), normal(3))])
    yield Case(formula, [(normal(3), BOOL)])
    rule = "tensors must have equally many axes, got (2, 3) and (1, 2, 3)"
    yield Invalid([(normal(2, 3), normal(1, 2, 3))], ShapeError, rule)


def block_diag():
    def formula(*tensors):
        blocks = [np.atleast_2d(x) for x in tensors]
        y = np.zeros([sum(x.shape[i] for x in blocks) for i in (0, 1)], _meeting(tensors))
        row = column = 0
        for x in blocks:
            for (i, j), value in np.ndenumerate(x):
                y[row + i, column + j] = value
            row, column = row + x.shape[0], column + x.shape[1]
        return y

    yield Case(formula, [normal(4, 5), normal(2, 3)])
    yield Case(formula, [normal(), normal(3), normal(2, 1)])
    why = "PyTorch's gradient takes the empty row for none"
    yield Case(formula, [normal(0), normal(2, 3)], unlike_torch=why)
    yield Case(formula, [labels(9, 2, 2), BOOL])
    yield Case(formula, [normal(2), labels(9, 2, 2)])
    rule = "tensors must have at most two axes, got 3; x is (1, 2, 3)"
    yield Invalid([normal(1, 2, 3)], ShapeError, rule)
    yield Invalid([], ArgumentError, "tensors must be at least one, got none")


def _pieces(x, lengths, dim):
    ends = np.cumsum(lengths)
    return tuple(
        np.moveaxis(np.moveaxis(x, dim, 0)[end - n : end], 0, dim)
        for end, n in zip(ends, lengths, strict=True)
    )


def split():
    def formula(x, split_size_or_sections, dim=0):
        n, size = x.shape[dim], split_size_or_sections
        if isinstance(size, tuple):
            return _pieces(x, size, dim)
        lengths = [min(size, n - start) for start in range(0, n, size or 1)] or [0]
        return _pieces(x, lengths, dim)

    for size, dim in [(2, 0), (2, 1), (3, -1), (9, 0), (1, 0), ((1, 3), 0), ((0, 5), 1)]:
        yield Case(formula, [normal(4, 5), size, dim])
    yield Case(formula, [normal(0, 3), 0])
    yield Case(formula, [normal(0, 3), 2])
    yield Case(formula, [normal(31), 7])
    yield Case(formula, [labels(9, 4), 3])
    x = normal(2, 3)
    yield Invalid([x, 0, 1], ShapeError, "split_size must be at least 1, got 0; x is (2, 3)")
    yield Invalid([x, -1, 1], ShapeError, "split_size must be at least 1, got -1")
    yield Invalid([x, (1, 1), 1], ShapeError, "sections must add up to 3, got (1, 1)")
    yield Invalid([x, (4, -1), 1], ShapeError, "sections must add up to 3, got (4, -1)")
    yield Invalid([x, 1, 2], ShapeError, "dim must be in [-2, 2), got 2")
    yield Invalid([normal(), 1], ShapeError, "dim must be in [0, 0), got 0")
    yield Invalid([x, 1.0], DTypeError, "split_size must be integers, got (1.0,)")


def chunk():
    def formula(x, chunks, dim=0):
        n = x.shape[dim]
        if not n:
            return _pieces(x, [0] * chunks, dim)
        size = -(-n // chunks)
        return _pieces(x, [min(size, n - start) for start in range(0, n, size)], dim)

    for chunks, dim in [(2, 0), (3, 0), (3, 1), (9, -1), (1, 0)]:
        yield Case(formula, [normal(4, 5), chunks, dim])
    yield Case(formula, [normal(7), 5])
    yield Case(formula, [normal(0, 3), 4])
    yield Case(formula, [labels(9, 4), 3])
    yield Invalid([normal(2, 3), 0], ArgumentError, "chunks must be at least 1, got 0")
    yield Invalid([normal(), 1], ShapeError, "dim must be in [0, 0), got 0")


def tensor_split():
    def formula(x, indices_or_sections, dim=0):
        cut = indices_or_sections
        return tuple(np.array_split(x, cut.tolist() if isinstance(cut, np.ndarray) else cut, dim))

    for cut, dim in [(2, 0), (3, 1), (7, 0), ((1, 3), 0), ((3, 1, -1), 1), ((9,), 0), ((), 0)]:
        yield Case(formula, [normal(4, 5), cut, dim])
    yield Case(formula, [normal(7), exactly([2, 5])])
    yield Case(formula, [normal(7), exactly(3)])
    yield Case(formula, [normal(0, 3), 2])
    yield Invalid([normal(2, 3), 0], ArgumentError, "sections must be at least 1, got 0")
    yield Invalid([normal(2), (0.5,)], DTypeError, "indices must be integers, got (0.5,)")
    yield Invalid([normal(), 1], ShapeError, "dim must be in [0, 0), got 0")


def unbind():
    def formula(x, dim=0):
        return tuple(np.moveaxis(x, dim, 0))

    for dim in (0, 1, -1):
        yield Case(formula, [normal(4, 5), dim])
    yield Case(formula, [normal(3)])
    yield Case(formula, [normal(2, 0, 3)])
    yield Case(formula, [labels(9, 4)])
    yield Invalid([normal()], ShapeError, "dim must be in [0, 0), got 0; x is ()")


def broadcast_tensors():
    def formula(*tensors):
        return tuple(np.broadcast_arrays(*tensors))

    for shapes in [[(4, 5), (5,)], [(4, 1), (1, 5), ()], [(2, 3)], [(1, 3), (0, 1)]]:
        yield Case(formula, [normal(*shape) for shape in shapes])
    yield Case(formula, [normal(2, 3), labels(9, 3)])
    rule = "shapes must broadcast, got [(2, 3), (2,)]"
    yield Invalid([normal(2, 3), normal(2)], ShapeError, rule)


def meshgrid():
    def formula(*tensors, indexing="ij"):
        return tuple(np.meshgrid(*tensors, indexing=indexing))

    for indexing in ("ij", "xy"):
        for lengths in [(31,), (4, 6), (2, 3, 4), (3, 0)]:
            yield Case(formula, [normal(n) for n in lengths], dict(indexing=indexing))
    yield Case(formula, [normal(), normal(3)])
    yield Case(lambda tensors: formula(*tensors), [(normal(2), normal(3))])
    yield Case(formula, [labels(9, 4), labels(9, 2)])
    x = normal(3)
    yield Invalid([], ArgumentError, "tensors must be at least one, got none")
    yield Invalid([x, normal(2, 3)], ShapeError, "tensors must have at most one axis, got (2, 3)")
    rule = "tensors must have one dtype, got float64 and int64"
    yield Invalid([x, labels(9, 2)], ArgumentError, rule)
    rule = "indexing must be one of 'ij', 'xy', got 'ab'"
    yield Invalid([x, x], ArgumentError, rule, dict(indexing="ab"))


def cartesian_prod():
    def formula(*tensors):
        if len(tensors) == 1:
            return tensors[0]
        rows = list(itertools.product(*tensors))
        return np.array(rows, tensors[0].dtype).reshape(len(rows), len(tensors))

    for lengths in [(4, 6), (2, 3, 4), (31,), (3, 0)]:
        yield Case(formula, [normal(n) for n in lengths])
    yield Case(formula, [labels(9, 4), labels(9, 2)])
    yield Invalid([normal(2, 3)], ShapeError, "tensors must have one axis, got (2, 3)")
    rule = "tensors must have one dtype, got float64 and int64"
    yield Invalid([normal(2), labels(9, 2)], ArgumentError, rule)
