"""What the tables of losses share."""

import numpy as np

from gpunet.errors import ArgumentError, DTypeError, ShapeError
from tests.cases.case import Case, Draw, Edge, Invalid, exactly, labels, normal

REDUCTIONS = ("mean", "sum", "none")
NO_SUCH_REDUCTION = "reduction must be one of 'mean', 'sum', 'none'"
SHAPES = ((), (1,), (31,), (2, 3), (2, 3, 5))


def reduced(losses, reduction, count=None):
    losses = np.asarray(losses)
    if reduction == "none":
        return losses
    count = losses.size if count is None else count
    return losses.sum() / count if reduction == "mean" else losses.sum()


def signs(*shape):
    """−1 and 1, for which no gradient is asked."""
    text = f"signs({','.join(map(str, shape))})"
    return Draw(text, lambda rng: rng.choice([-1.0, 1.0], shape), False)


def written(*gradients):
    """The gradient of an edge: these values, whatever the call."""
    return lambda *_, **__: gradients


def at_each_shape(loss, x, target):
    """The rows of every loss of elements: shapes, reductions, nothing, what is refused."""
    kwargs = [dict(reduction=reduction) for reduction in REDUCTIONS]
    return [
        *[Case(loss, [x(*shape), target(*shape)], k) for k in kwargs for shape in SHAPES],
        *[Edge(loss, [x(0, 3), target(0, 3)], k) for k in kwargs],  # the mean of nothing is NaN
        Case(loss, [x(130, 127), target(130, 127)]),
        Invalid([x(3), target(3)], ArgumentError, NO_SUCH_REDUCTION, dict(reduction="max")),
        Invalid([labels(2, 3), target(3)], DTypeError, "must be floating, got int64"),
        Invalid([x(3), 0.0], DTypeError, "target must be a gpunet.Tensor, got float"),
    ]


def not_a_number(loss, target):
    """NaN shows where it stands, and nowhere else."""
    inputs = [exactly([np.nan, 1.0]), target(2)]
    return [Edge(loss, inputs, dict(reduction="none")), Edge(loss, inputs)]


def of_one_shape(target):
    """A target that would broadcast is refused."""
    rule = "target must have x's shape (3,), got (3, 1); x is (3,) float64 on cpu"
    return [Invalid([normal(3), target(3, 1)], ShapeError, rule)]


def broadcasting(loss, x, target):
    """A target that broadcasts with x, and one that cannot."""
    pairs = [((2, 3), (3,)), ((3,), (2, 3)), ((2, 1), (1, 3)), ((2, 3), ())]
    rule = "the shapes of x, target must broadcast, got (3,) and (2,)"
    return [
        *[
            Case(loss, [x(*shape), target(*other)], dict(reduction=reduction))
            for reduction in REDUCTIONS
            for shape, other in pairs
        ],
        Invalid([x(3), target(2)], ShapeError, rule),
    ]
