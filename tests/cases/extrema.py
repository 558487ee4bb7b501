"""The larger, the smaller, and bounds: one comparison after the other."""

import numpy as np

from gpunet.errors import ArgumentError, DTypeError, ShapeError
from tests.cases.case import Case, Edge, Invalid, exactly, normal
from tests.cases.grid import pairs

NO_NUMBERS = "it wants two tensors"
NAN, INF = np.nan, np.inf
LEFT, RIGHT = exactly([0.0, 1.0, NAN, 1.0, NAN, INF]), exactly([0.0, 2.0, 1.0, NAN, NAN, INF])


def _largest(x, y):
    return np.where((x > y) | np.isnan(x), x, y)


def _smallest(x, y):
    return np.where((x < y) | np.isnan(x), x, y)


def maximum():
    yield from pairs(_largest, unlike_torch=NO_NUMBERS)
    yield Edge(
        _largest,
        [LEFT, RIGHT],
        gradient=lambda x, y: ([0.5, 0, 1, 1, 1, 0.5], [0.5, 1, 1, 1, 1, 0.5]),
    )


def minimum():
    yield from pairs(_smallest, unlike_torch=NO_NUMBERS)
    yield Edge(
        _smallest,
        [LEFT, RIGHT],
        gradient=lambda x, y: ([0.5, 1, 1, 1, 1, 0.5], [0.5, 0, 1, 1, 1, 0.5]),
    )


def fmax():
    def formula(x, y):
        return np.where((x > y) | (y != y), x, y)

    yield from pairs(formula, unlike_torch=NO_NUMBERS)
    yield Edge(
        formula, [LEFT, RIGHT], gradient=lambda x, y: ([1, 0, 0, 1, 1, 1], [0, 1, 1, 0, 0, 0])
    )


def fmin():
    def formula(x, y):
        return np.where((x < y) | (y != y), x, y)

    yield from pairs(formula, unlike_torch=NO_NUMBERS)
    yield Edge(
        formula, [LEFT, RIGHT], gradient=lambda x, y: ([1, 1, 0, 1, 1, 1], [0, 0, 1, 0, 0, 0])
    )


def _bounded(x, min=None, max=None):
    if min is not None:
        x = np.where(x < min, min, x)
    return x if max is None else np.where(x > max, max, x)


def _clamps():
    for bounds in (
        dict(min=-0.5, max=0.75),
        dict(min=0),
        dict(max=0.5),
        dict(min=normal(31), max=normal(31)),
        dict(min=normal(1)),
        dict(max=normal(31)),
    ):
        yield Case(_bounded, [normal(31)], bounds)
    reason = "its bounds are both tensors or both numbers"
    yield Case(_bounded, [normal(31)], dict(min=normal(), max=1), unlike_torch=reason)
    for shape in ((), (1,), (2, 3), (0, 3), (130, 127)):
        yield Case(_bounded, [normal(*shape), -0.5, 0.75])
    yield Case(_bounded, [normal(2, 1), normal(3)])
    yield Case(_bounded, [exactly([-3, 0, 5]), -1, exactly([2])], unlike_torch=reason)
    yield Case(lambda *_: np.array([0.5, 2]), [exactly([0, 2]), 0.5])
    at_bounds = exactly([-1.0, 0.0, 0.5, 1.0, 2.0, NAN, INF])
    yield Edge(
        lambda x, *_: np.array([0, 0, 0.5, 1, 1, NAN, 1]),
        [at_bounds, 0, 1],
        gradient=lambda x, *_: [0, 1, 1, 1, 0, 0, 0],
    )
    yield Edge(  # at a bound the gradient is x's; where the bounds cross, it is max's
        lambda x, *_: np.array([0, 0, 1, 0.0]),
        [exactly([-1.0, 0.0, 2.0, 0.5]), exactly([0.0, 0.0, 0.0, 1.0]), exactly([1.0, 1, 1, 0])],
        gradient=lambda *_: ([0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 1]),
    )
    yield Invalid([normal(3)], ArgumentError, "min or max must be given, got neither")
    yield Invalid([1.0, 0, 1], DTypeError, "x must be a gpunet.Tensor, got float")
    yield Invalid([normal(3), "0"], DTypeError, "min must be a gpunet.Tensor or a number, got str")
    rule = "shapes must broadcast, got (3,) and (2,)"
    yield Invalid([normal(3), None, normal(2)], ShapeError, rule)
    small = exactly(np.array([1, 2], "int8"))
    yield Invalid([small, 0, 200], ArgumentError, "Python integer 200 out of bounds for int8")


def clamp():
    yield from _clamps()


def clip():
    yield from _clamps()
