"""Elementwise arithmetic: NumPy's own operators, which leave only broadcasting and gradients to doubt."""

import numpy as np

from gpunet.errors import DTypeError, ShapeError
from tests.cases.case import Case, Edge, Invalid, away_from, exactly, labels, normal, positive

SHAPES = [(), (1,), (31,), (2, 3), (0, 3), (130, 127)]
PAIRS = [
    *(
        ((), ()),
        ((1,), (1,)),
        ((31,), ()),
        ((), (33,)),
        ((2, 3), (3,)),
        ((3,), (2, 3)),
        ((33,), (1,)),
    ),
    *(
        ((2, 1, 3), (4, 1)),
        ((2, 3, 5), (2, 3, 5)),
        ((0, 3), (3,)),
        ((1, 3), (0, 1)),
        ((130, 127), (127,)),
    ),
]


def _pairs(formula, x=normal, y=normal):
    """Broadcasting both ways, plain numbers on either side, integers, and what is refused."""
    for x_shape, y_shape in PAIRS:
        yield Case(formula, [x(*x_shape), y(*y_shape)])
    for number in (2.5, 3):
        yield Case(formula, [x(31), number])
        yield Case(formula, [number, y(31)])
    yield Case(formula, [exactly([[5], [-3]]), exactly([1, 2, 4])])
    yield Invalid(
        [x(2, 3), y(4)], {}, ShapeError, r"shapes must broadcast, got \(2, 3\) and \(4,\)"
    )
    yield Invalid([x(3), "2"], {}, DTypeError, "must be a gpunet.Tensor or a number, got str")
    yield Invalid([2.0, 3.0], {}, DTypeError, "must be a gpunet.Tensor, got float")


def _pointwise(formula, x=normal):
    for shape in SHAPES:
        yield Case(formula, [x(*shape)])
    yield Edge(formula, [exactly([np.nan, 1.0])])


def add():
    yield from _pairs(lambda x, y: x + y)


def sub():
    yield from _pairs(lambda x, y: x - y)


def mul():
    yield from _pairs(lambda x, y: x * y)


def div():
    def formula(x, y):
        return x / y

    yield from _pairs(formula, y=lambda *shape: away_from(0, *shape))
    yield Edge(formula, [exactly([1.0, -1.0, 0.0]), exactly([0.0, 0.0, 0.0])])


def pow_():
    def formula(x, y):
        return x**y

    yield from _pairs(formula, x=positive)
    for exponent in (2, 3, -1, 0):
        yield Case(formula, [away_from(0, 31), exponent])
    yield Edge(
        formula,
        [exactly([0.0, 0.0, 0.0]), exactly([1.0, 2.0, 3.0])],
        {},
        lambda x, y: ([1, 0, 0], [0, 0, 0]),
    )
    yield Edge(formula, [exactly([0.0, 2.0]), 0], {}, lambda x, y: [0, 0])


def neg():
    yield from _pointwise(lambda x: 0 - x)


def exp():
    yield from _pointwise(np.exp)
    yield Edge(
        np.exp, [exactly([-1e4, 1e4, -np.inf, np.inf])], {}, lambda x: [0, np.inf, 0, np.inf]
    )
    yield Invalid([labels(2, 3)], {}, DTypeError, "x must be float32 or float64, got int64")


def log():
    yield from _pointwise(np.log, positive)
    yield Edge(np.log, [exactly([0.0, np.inf])], {}, lambda x: [np.inf, 0])
    yield Edge(np.log, [exactly([-1.0])])
    yield Invalid([labels(2, 3)], {}, DTypeError, "x must be float32 or float64, got int64")


def sqrt():
    def formula(x):
        return x**0.5

    yield from _pointwise(formula, positive)
    yield Edge(formula, [exactly([0.0, np.inf])], {}, lambda x: [np.inf, 0])
    yield Edge(formula, [exactly([-1.0])])
    yield Invalid([labels(2, 3)], {}, DTypeError, "x must be float32 or float64, got int64")


def abs_():
    def formula(x):
        return np.where(x < 0, -x, x)

    yield from _pointwise(formula, lambda *shape: away_from(0, *shape))
    yield Case(formula, [exactly([-3, 0, 2])])
    yield Edge(formula, [exactly([0.0, -np.inf])], {}, lambda x: [0, -1])
