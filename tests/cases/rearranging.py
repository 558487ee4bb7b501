"""Elements repeated, mirrored and shifted: positions computed one by one."""

import numpy as np

from gpunet.errors import ArgumentError, DTypeError, ShapeError
from tests.cases.case import Case, Invalid, exactly, labels, normal


def _read(x, shape, source):
    """y[index] = x[source(index)] for every index of `shape`."""
    y = np.zeros(shape, x.dtype)
    for index in np.ndindex(*shape):
        y[index] = x[tuple(source(index))]
    return y


def tile():
    def formula(x, *dims):
        dims = dims[0] if dims and isinstance(dims[0], tuple) else dims
        dims = (1,) * (x.ndim - len(dims)) + dims
        lengths = (1,) * (len(dims) - x.ndim) + x.shape
        shape = [n * k for n, k in zip(lengths, dims, strict=True)]

        def source(index):
            return [i % n for i, n in zip(index, lengths, strict=True)][len(dims) - x.ndim :]

        return _read(x, shape, source)

    for dims in [(2, 3), (2,), (3, 1, 2), (0, 1), (1, 1)]:
        yield Case(formula, [normal(4, 5), *dims])
        yield Case(formula, [normal(4, 5), dims])
    yield Case(formula, [normal(), 3])
    yield Case(formula, [normal(0, 3), 2, 2])
    yield Case(formula, [normal(31), ()])
    yield Case(formula, [labels(9, 4), 2])
    yield Invalid([normal(2), -1], ShapeError, "repeats must not be negative, got (-1,)")
    yield Invalid([normal(2), 1.0], DTypeError, "dims must be integers, got (1.0,)")


def repeat_interleave():
    def formula(x, repeats=None, dim=None, output_size=None):
        if repeats is None:
            return np.array([i for i, n in enumerate(x) for _ in range(n)], x.dtype)
        x, dim = (x.reshape(-1), 0) if dim is None else (x, dim % x.ndim)
        counts = np.broadcast_to(repeats, x.shape[dim : dim + 1])
        order = [i for i, n in enumerate(counts) for _ in range(n)]
        return np.stack([np.take(x, i, dim) for i in order] or [x.take(0, dim)] * 0, dim)

    for dim in (None, 0, 1, -1):
        yield Case(formula, [normal(4, 5), 2], dict(dim=dim))
    yield Case(formula, [normal(4, 5), exactly([1, 0, 3, 1]), 0])
    yield Case(formula, [normal(4, 5), exactly([2]), 0])
    yield Case(formula, [normal(4, 5), exactly(2), 1])
    yield Case(formula, [normal(2, 3), exactly([1, 2, 0]), 1], dict(output_size=3))
    yield Case(formula, [normal(), 3])
    yield Case(formula, [labels(9, 4), 2])
    yield Case(formula, [exactly([2, 0, 1])])
    yield Case(formula, [exactly(np.array([2, 0, 1], "int32"))])
    yield Case(lambda *_: np.zeros((0, 3)), [normal(2, 3), 0, 0])
    x, name = normal(2, 3), "repeats must "
    yield Invalid([x, -1], ArgumentError, name + "not be negative, got -1")
    yield Invalid([x, exactly([-1, 2]), 0], ArgumentError, name + "not be negative, got -1")
    rule = name + "be one number, or 2 in one axis, got shape (3,)"
    yield Invalid([x, exactly([1, 2, 3]), 0], ShapeError, rule)
    rule = name + "be int64 or int32, got float64"
    yield Invalid([x, exactly([1.0, 2.0]), 0], DTypeError, rule)
    yield Invalid([exactly([[1]])], ShapeError, "x must have one axis, got 2")
    rule = "output_size must be the sum of the repeats, 3, got 4"
    yield Invalid([x, exactly([1, 2]), 0], ArgumentError, rule, dict(output_size=4))
    yield Invalid([x, 2, 2], ShapeError, "dim must be in [-2, 2), got 2")


def _mirrored(x, *dims):
    dims = dims[0] if dims and isinstance(dims[0], tuple) else dims
    axes = {d % max(1, x.ndim) for d in dims}

    def source(index):
        return [n - 1 - i if k in axes else i for k, (i, n) in enumerate(zip(index, x.shape))]  # noqa: B905

    return _read(x, x.shape, source)


def flip():
    for dims in [(0,), (1,), (-1,), (0, 1), (1, 0), ()]:
        yield Case(_mirrored, [normal(4, 5), dims])
    yield Case(_mirrored, [normal(2, 3, 4), 0, -1])
    yield Case(_mirrored, [normal(), (0,)])
    yield Case(_mirrored, [normal(0, 3), (0, 1)])
    yield Case(_mirrored, [labels(9, 4), (0,)])
    yield Invalid([normal(2, 3), (0, -2)], ShapeError, "dims must name each axis once, got (0, 0)")
    yield Invalid([normal(2, 3), (2,)], ShapeError, "dim must be in [-2, 2), got 2; x is (2, 3)")


def fliplr():
    for shape in [(4, 5), (2, 3, 4), (0, 3)]:
        yield Case(lambda x: _mirrored(x, 1), [normal(*shape)])
    yield Invalid([normal(3)], ShapeError, "x must have at least two axes, got 1; x is (3,)")


def flipud():
    for shape in [(31,), (4, 5), (2, 3, 4), (0, 3)]:
        yield Case(lambda x: _mirrored(x, 0), [normal(*shape)])
    yield Invalid([normal()], ShapeError, "x must have at least one axis, got 0; x is ()")


def roll():
    def formula(x, shifts, dims=None):
        if dims is None:
            return formula(x.reshape(-1), shifts, 0).reshape(x.shape)
        pairs = list(zip(np.atleast_1d(shifts), np.atleast_1d(dims), strict=True))

        def source(index):
            index = list(index)
            for shift, d in pairs:
                index[d] = (index[d] - shift) % x.shape[d]
            return index

        return _read(x, x.shape, source)

    for shifts, dims in [(1, 0), (-2, 1), (7, -1), ((1, 2), (0, 1)), ((1, 2), (1, 1)), (3, None)]:
        yield Case(formula, [normal(4, 5), shifts, dims])
    yield Case(formula, [normal(4, 5), (-3,)])
    yield Case(formula, [normal(), 1])
    yield Case(formula, [normal(0, 3), 1, 0])
    yield Case(formula, [labels(9, 4), 1, 0])
    x, rule = normal(2, 3), "shifts must have as many numbers as dims, got "
    yield Invalid([x, (1, 2)], ArgumentError, rule + "(1, 2) and None")
    yield Invalid([x, 1, (0, 1)], ArgumentError, rule + "1 and (0, 1)")
    yield Invalid([x, (), ()], ArgumentError, rule + "() and ()")
    yield Invalid([x, 1, 2], ShapeError, "dim must be in [-2, 2), got 2; x is (2, 3)")
    yield Invalid([normal(), 1, 0], ShapeError, "dim must be in [0, 0), got 0; x is ()")


def rot90():
    def formula(x, k=1, dims=(0, 1)):
        first, second = dims
        for _ in range(k % 4):
            shape = list(x.shape)
            shape[first], shape[second] = shape[second], shape[first]

            def source(index, x=x):  # (i, j) comes from (j, n - 1 - i)
                index = list(index)
                i, j = index[first], index[second]
                index[first], index[second] = j, x.shape[second] - 1 - i
                return index

            x = _read(x, shape, source)
        return x

    for k in (0, 1, 2, 3, 4, -1, -6):
        yield Case(formula, [normal(4, 5), k])
    for dims in [(1, 0), (1, 2), (-1, 0)]:
        yield Case(formula, [normal(2, 3, 4)], dict(dims=dims))
    yield Case(formula, [normal(0, 3)])
    yield Case(formula, [labels(9, 2, 2)])
    for dims in [(0, 0), (0, -2), (0, 1, 0)]:
        rule = f"dims must be two axes of x, got {dims}; x is (2, 3)"
        yield Invalid([normal(2, 3), 1, dims], ShapeError, rule)
    yield Invalid([normal(3)], ShapeError, "dims must be two axes of x, got (0, 1); x is (3,)")
    yield Invalid([normal(2, 3), 1, (0, 2)], ShapeError, "dim must be in [-2, 2), got 2")
