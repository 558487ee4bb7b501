"""Rows that elementwise functions have in common."""

import numpy as np

from gpunet.errors import DTypeError, ShapeError
from tests.cases.case import Case, Draw, Edge, Invalid, constant, exactly, normal

SHAPES = [(), (1,), (31,), (2, 3), (0, 3), (130, 127)]
REPEATED = [((), (33,)), ((33,), (1,)), ((2, 3), (3,)), ((3,), (2, 3)), ((2, 1, 3), (4, 1))]


def pairs(formula, x=normal, y=normal, name="other", integers=True, unlike_torch="", first=""):
    """Broadcasting both ways, plain numbers on either side, integers, and what is refused.

    `unlike_torch` is why PyTorch takes no number in place of a tensor, `first` of the first one.
    """
    rows = [
        Case(formula, [x(*x_shape), y(*y_shape)])
        for x_shape, y_shape in [*zip(SHAPES, SHAPES, strict=True), *REPEATED, ((1, 3), (0, 1))]
    ]
    rows.append(Case(formula, [x(130, 127), y(127)]))
    for number in (2.5, 3):
        rows.append(Case(formula, [x(31), number], unlike_torch=unlike_torch))
        rows.append(Case(formula, [number, y(31)], unlike_torch=first or unlike_torch))
    if integers:
        rows.append(Case(formula, [exactly([[5], [-3]]), exactly([1, 2, 4])]))
    rule = "shapes must broadcast, got (2, 3) and (4,); x is (2, 3) float64 on cpu, "
    rows.append(Invalid([x(2, 3), y(4)], ShapeError, rule + f"{name} is (4,)"))
    rule = f"{name} must be a gpunet.Tensor or a number, got str"
    rows.append(Invalid([x(3), "2"], DTypeError, rule))
    rule = f"x or {name} must be a gpunet.Tensor, got float and int"
    rows.append(Invalid([2.0, 3], DTypeError, rule))
    return rows


def pointwise(formula, x=normal, integers=(1, 2)):
    """Shapes, integers and NaN."""
    rows = [Case(formula, [x(*shape)]) for shape in SHAPES]
    if integers:
        rows.append(Case(formula, [exactly(list(integers))]))
    rows.append(Edge(formula, [exactly([np.nan, 1.0])]))
    return rows


def steps(formula, x=normal):
    """A function that is made of steps: its gradient is 0."""
    rows = [Case(formula, [constant(x(*shape))]) for shape in SHAPES]
    rows.append(Case(formula, [exactly([-3, 0, 2])]))
    rows.append(Edge(formula, [x(2, 3)], gradient=lambda x: np.zeros_like(x)))
    return rows


def uniform(low, high):
    """Makes draws from [low, high)."""

    def draw(*shape):
        return Draw(f"uniform({low},{high}){shape}", lambda rng: rng.uniform(low, high, shape))

    return draw
