"""Other shapes for the same elements."""

import math

import numpy as np

from gpunet.errors import DTypeError, ShapeError
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
    yield Case(formula, [normal(0, 3), -1])
    yield Case(formula, [labels(9, 4), 2, 2])
    yield Case(formula, [normal(4), np.int64(2), 2])
    for shape in [(5,), (5, -1), (-1, -1), (-2, 3), (4, 0)]:
        rule = f"shape must hold 6 elements, got {shape}; x is (2, 3) float64 on cpu"
        yield Invalid([normal(2, 3), *shape], ShapeError, rule)
    yield Invalid([normal(0, 3), 0, -1], ShapeError, "shape must hold 0 elements, got (0, -1)")
    yield Invalid([normal(4), 2.0, 2], DTypeError, "shape must be integers, got (2.0, 2)")


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
    yield Case(formula, [normal(), -1, 0])
    yield Invalid([normal(2, 3), 2], ShapeError, "dim must be in [-2, 2), got 2; x is (2, 3)")
    yield Invalid([normal(), 1], ShapeError, "dim must be in [-1, 1), got 1; x is ()")
    rule = "start_dim must not be behind end_dim, got 1 and 0; x is (2, 3)"
    yield Invalid([normal(2, 3), 1, 0], ShapeError, rule)


def ravel():
    for shape in [(), (1,), (31,), (2, 3, 5), (0, 3)]:
        yield Case(
            lambda x: np.array([x[i] for i in np.ndindex(x.shape)], x.dtype), [normal(*shape)]
        )
    yield Case(lambda x: np.array(x.tolist()), [labels(9, 4)])


def unflatten():
    def formula(x, dim, sizes):
        return x.reshape(*x.shape[: dim % x.ndim], *sizes, *x.shape[dim % x.ndim + 1 :])

    for dim, sizes in [(1, (2, 3)), (1, (-1, 2)), (-1, (5,)), (0, (1, -1, 2)), (2, (5, 1))]:
        yield Case(formula, [normal(4, 6, 5), dim, sizes])
    yield Case(formula, [normal(0, 2), 0, (0, 3)])
    yield Case(lambda x, dim, sizes: x.reshape(0, 3, 2), [normal(0, 2), 0, (-1, 3)])
    rule = "shape must hold 6 elements, got (4, 2); x is (4, 6) float64"
    yield Invalid([normal(4, 6), 1, (4, 2)], ShapeError, rule)
    yield Invalid([normal(4, 6), 1, ()], DTypeError, "sizes must be a tuple of integers, got ()")
    yield Invalid([normal(4, 6), 1, 6], DTypeError, "sizes must be a tuple of integers, got 6")
    yield Invalid([normal(), 0, (1,)], ShapeError, "dim must be in [0, 0), got 0")


def squeeze():
    def formula(x, dim=None):
        dims = range(x.ndim) if dim is None else dim if isinstance(dim, tuple) else (dim,)
        gone = {d % max(1, x.ndim) for d in dims}
        return x.reshape([n for i, n in enumerate(x.shape) if i not in gone or n != 1])

    for shape in [(), (1,), (31,), (1, 3, 1, 2), (1, 0, 1)]:
        yield Case(formula, [normal(*shape)])
    for dim in [0, -2, 1, (0, 2), (0, 1), ()]:
        yield Case(formula, [normal(1, 3, 1, 2), dim])
    yield Case(formula, [normal(), 0])
    yield Case(formula, [normal(), (-1,)])
    yield Case(formula, [labels(9, 4, 1)])
    yield Invalid([normal(2, 1), 2], ShapeError, "dim must be in [-2, 2), got 2; x is (2, 1)")
    rule = "dim must name each axis once, got (1, 1)"
    yield Invalid([normal(2, 1), (1, -1)], ShapeError, rule)
    yield Invalid([normal(2, 1), 0.0], DTypeError, "dim must be integers, got (0.0,)")


def unsqueeze():
    for shape, dim in [((), 0), ((), -1), ((3,), 1), ((2, 3), 0), ((2, 3), -1), ((2, 3), -3)]:
        yield Case(np.expand_dims, [normal(*shape), dim])
    yield Case(np.expand_dims, [normal(4, 5), 1])
    yield Case(np.expand_dims, [normal(0, 3), 1])
    yield Case(np.expand_dims, [labels(9, 4), 1])
    for dim in (3, -4):
        rule = f"dim must be in [-3, 3), got {dim}; x is (2, 3)"
        yield Invalid([normal(2, 3), dim], ShapeError, rule)


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


def _exchanged(x, dim0, dim1):
    before = "abc"[: x.ndim]
    after = list(before)
    after[dim0], after[dim1] = after[dim1], after[dim0]
    return np.einsum(f"{before}->{''.join(after)}", x)


def transpose():
    for dim0, dim1 in [(0, 1), (1, 0), (0, 2), (-1, -2), (1, 1), (0, -1)]:
        yield Case(_exchanged, [normal(2, 3, 4), dim0, dim1])
    yield Case(_exchanged, [normal(0, 3), 0, 1])
    yield Case(_exchanged, [normal(33), 0, 0])
    yield Case(lambda x, dim0, dim1: x, [normal(), 0, -1])
    yield Invalid([normal(2, 3), 0, 2], ShapeError, "dim must be in [-2, 2), got 2; x is (2, 3)")


def swapaxes():
    for axis0, axis1 in [(0, 1), (0, 2), (-1, -2), (1, 1)]:
        yield Case(_exchanged, [normal(2, 3, 4), axis0, axis1])
    yield Case(lambda x, axis0, axis1: x, [normal(), 0, -1])
    yield Invalid([normal(2, 3), 0, 2], ShapeError, "dim must be in [-2, 2), got 2; x is (2, 3)")


def movedim():
    for source, destination in [(0, 2), (-1, 0), (1, 1), ((0, 1), (1, 0)), ((2, 0), (0, -1))]:
        yield Case(np.moveaxis, [normal(2, 3, 4), source, destination])
    yield Case(np.moveaxis, [normal(0, 3), 0, 1])
    yield Case(lambda x, source, destination: x, [normal(), 0, -1])
    x = normal(2, 3)
    yield Invalid([x, 2, 0], ShapeError, "dim must be in [-2, 2), got 2; x is (2, 3)")
    yield Invalid([x, (0, 0), (0, 1)], ShapeError, "source must name each axis once, got (0, 0)")
    yield Invalid([x, (0, 1), (1, -1)], ShapeError, "destination must name each axis once")
    rule = "source and destination must have equal length, got 0 and (0, 1)"
    yield Invalid([x, 0, (0, 1)], ShapeError, rule)


def t():
    for shape in [(), (31,), (4, 5), (5, 6), (0, 3)]:
        yield Case(np.transpose, [normal(*shape)])
    yield Invalid([normal(2, 3, 4)], ShapeError, "x must have at most two axes, got 3")


def broadcast_to():
    for shape in [(4, 5), (2, 4, 5), (3, 1, 4, 5)]:
        yield Case(np.broadcast_to, [normal(4, 5), shape])
    for before, after in [((1, 3), (2, 3)), ((3, 1), (2, 3, 0)), ((1,), (5,)), ((0, 1), (0, 3))]:
        yield Case(np.broadcast_to, [normal(*before), after])
    yield Case(np.broadcast_to, [normal(), (2, 3)])
    yield Case(np.broadcast_to, [normal(), ()])
    yield Case(lambda x, shape: np.stack([x] * 4), [normal(2, 3), (4, -1, 3)])
    yield Case(np.broadcast_to, [labels(9, 4, 1), (4, 3)])
    for shape in [(3,), (2, 5), (-1, 2, 3), (-2, 3), ()]:
        rule = f"x must broadcast to the shape, got {shape}; x is (2, 3)"
        yield Invalid([normal(2, 3), shape], ShapeError, rule)


def narrow():
    def formula(x, dim, start, length):
        return np.take(x, [start % x.shape[dim] + k for k in range(length)], dim)

    for dim, start, length in [(0, 1, 2), (1, 0, 5), (-1, -3, 2), (1, 2, 0), (0, 3, 1)]:
        yield Case(formula, [normal(4, 5), dim, start, length])
    yield Case(lambda x, *_: x[:, :0], [normal(2, 3), 1, 3, 0])
    yield Case(lambda x, *_: x, [normal(0, 3), 0, 0, 0])
    for start, length in [(2, 2), (4, 0), (-4, 1), (1, -1)]:
        rule = f"start and length must lie within the 3 positions, got {start} and {length}"
        yield Invalid([normal(2, 3), 1, start, length], ShapeError, rule)
    yield Invalid([normal(), 0, 0, 1], ShapeError, "dim must be in [0, 0), got 0; x is ()")


def diagonal():
    def formula(x, offset=0, dim1=0, dim2=1):
        y = np.moveaxis(x, (dim1, dim2), (-2, -1))
        pairs = [(i, j) for i in range(y.shape[-2]) for j in range(y.shape[-1]) if j == i + offset]
        rows, columns = [i for i, _ in pairs], [j for _, j in pairs]
        return y[..., rows, columns] if pairs else y[..., 0, :0]

    for offset in (0, 1, -1, 4, -3, 5, -9):
        yield Case(formula, [normal(4, 5), offset])
    for dims in [(0, 1), (1, 0), (2, 0), (-1, -2), (0, -1)]:
        yield Case(formula, [normal(2, 3, 4), 1, *dims])
    yield Case(formula, [normal(2, 3, 4)], dict(dim1=1, dim2=2, offset=-1))
    yield Case(formula, [labels(9, 3, 3)])
    yield Case(lambda x: x[:, 0], [normal(0, 3)])
    yield Invalid([normal(3)], ShapeError, "dim must be in [-1, 1), got 1; x is (3,)")
    yield Invalid([normal(2, 3), 0, 1, -1], ShapeError, "dim1 and dim2 must differ, got 1 and -1")
