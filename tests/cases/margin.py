"""Losses of scores with a margin."""

from itertools import product

import numpy as np

from gpunet.errors import ArgumentError, DTypeError, ShapeError
from tests.cases.case import (
    Case,
    Draw,
    Edge,
    Invalid,
    constant,
    exactly,
    labels,
    normal,
    positive,
)
from tests.cases.criterion import NO_SUCH_REDUCTION, REDUCTIONS, SHAPES, reduced, written

NONE = dict(reduction="none")


def margin_ranking_loss():
    def loss(input1, input2, target, margin=0.0, reduction="mean"):
        return reduced(np.maximum(-target * (input1 - input2) + margin, 0), reduction)

    for reduction in REDUCTIONS:
        for shape, margin in product(SHAPES, (0.0, 0.3)):
            kwargs = dict(margin=margin, reduction=reduction)
            yield Case(loss, [normal(*shape), normal(*shape), normal(*shape)], kwargs)
        kwargs = dict(reduction=reduction)
        yield Case(loss, [normal(4, 3), normal(4, 1), normal(1, 3)], kwargs)
        yield Edge(loss, [normal(0, 3), normal(0, 3), normal(0, 3)], kwargs)
    yield Case(loss, [normal(4), normal(4), exactly([1, -1, -1, 1])])
    x1, x2 = exactly([2.0, 2.0, 3.0, 0.0]), exactly([1.0, 1.0, 1.0, np.nan])
    target = exactly([1.0, -1.0, 1.0, 1.0])  # at the margin the slope is that inside
    by_x1, by_target = np.array([-1, 1, 0, 0]), [-1, -1, 0, np.nan]
    yield Edge(
        loss,
        [x1, x2, target],
        dict(NONE, margin=1.0),
        gradient=written(by_x1, -by_x1, by_target),
    )
    x = normal(3)
    rule = "input1 and input2 and target must have the same number of axes"
    yield Invalid([x, normal(2, 3), x], ShapeError, rule)
    rule = "the shapes of input1, input2, target must broadcast, got (3,) and (3,) and (2,)"
    yield Invalid([x, x, normal(2)], ShapeError, rule)
    for i, name in enumerate(("input1", "input2", "target")):
        inputs = [x, x, x]
        inputs[i] = 0.0
        rule = f"{name} must be a gpunet.Tensor, got float"
        yield Invalid(inputs, DTypeError, rule)
    yield Invalid([labels(3, 3), x, x], DTypeError, "input1 must be floating, got int64")
    yield Invalid([x, x, x], ArgumentError, NO_SUCH_REDUCTION, dict(reduction="max"))


def multi_margin_loss():
    def loss(x, target, p=1, margin=1.0, weight=None, reduction="mean"):
        x, label = np.atleast_2d(x), np.atleast_1d(target)
        losses = np.zeros(len(x), x.dtype)
        for i, j in np.ndindex(x.shape):
            missing = margin - x[i, label[i]] + x[i, j]
            if j != label[i] and missing > 0:
                scale = 1 if weight is None else weight[label[i]]
                losses[i] += scale * missing**p / x.shape[1]
        return reduced(losses.reshape(target.shape), reduction)

    for reduction, p, margin in product(REDUCTIONS, (1, 2), (1.0, 0.3)):
        kwargs = dict(p=p, margin=margin, reduction=reduction)
        yield Case(loss, [normal(7, 5), labels(5, 7)], kwargs)
        weight = constant(positive(5))
        yield Case(loss, [normal(7, 5), labels(5, 7)], dict(kwargs, weight=weight))
        yield Case(loss, [normal(5), labels(5)], kwargs)
        yield Case(loss, [normal(5), labels(5, 1)], kwargs)
    yield Case(loss, [normal(), labels(1)])
    yield Case(loss, [normal(3, 1), labels(1, 3)])
    for reduction in REDUCTIONS:
        why = "PyTorch's mean over no rows is what stood in memory"
        yield Edge(loss, [normal(0, 3), labels(3, 0)], dict(reduction=reduction), unlike_torch=why)
    scores, target = exactly([[0.0, 1.0, 0.5]]), exactly([1])  # the first is at the margin
    for p, slope in ((1, [[0, -1 / 3, 1 / 3]]), (2, [[0, -1 / 3, 1 / 3]])):
        yield Edge(loss, [scores, target], dict(NONE, p=p), gradient=written(slope))
    far = exactly([[1e4, -1e4, 0.0], [np.nan, 0.0, 0.5]])
    yield Edge(loss, [far, exactly([1, 2])], NONE)
    x, target = normal(4, 3), labels(3, 4)
    rule = "target must be in [0, C) = [0, 3), got "
    yield Invalid([x, exactly([0, 1, 3, 2])], ArgumentError, rule + "3 at index 2")
    yield Invalid([x, exactly([0, -1, 0, 0])], ArgumentError, rule + "-1 at index 1")
    rule = "target must have shape (4,), got (3,); x is (4, 3) float64 on cpu"
    yield Invalid([x, labels(3, 3)], ShapeError, rule)
    for wrong in ((2, 3, 4), (2, 0), (0,)):
        rule = f"x must have shape (N, C) or (C,) with C > 0, got {wrong}"
        yield Invalid([normal(*wrong), target], ShapeError, rule)
    for dtype in ("int32", "uint8", "float64"):
        rule = f"target must be int64, got {dtype}"
        yield Invalid([x, exactly(np.zeros(4, dtype))], DTypeError, rule)
    yield Invalid([x, 0], DTypeError, "target must be a gpunet.Tensor, got int")
    rule = "weight must have shape (C,) = (3,), got (2,)"
    yield Invalid([x, target], ShapeError, rule, dict(weight=positive(2)))
    yield Invalid([x, target, 3], ArgumentError, "p must be one of 1, 2, got 3")
    yield Invalid([x, target], ArgumentError, NO_SUCH_REDUCTION, dict(reduction="max"))


def listed(classes, *rows):
    """The labels of each row: distinct ones, then −1, then anything."""

    def make(rng):
        target = rng.integers(-1, classes, (*rows, classes))
        for i in np.ndindex(rows):
            count = rng.integers(0, classes + 1)
            target[i][:count] = rng.permutation(classes)[:count]
            target[i][count : count + 1] = -1
        return target

    return Draw(f"listed({classes}){rows}", make, False)


def multilabel_margin_loss():
    def loss(x, target, reduction="mean"):
        rows, targets = np.atleast_2d(x), np.atleast_2d(target)
        losses = np.zeros(len(rows), x.dtype)
        for n, row in enumerate(rows):
            named = [*targets[n], -1]
            named = named[: named.index(-1)]
            for i, j in product(named, range(len(row))):
                if j not in named and 1 - row[i] + row[j] > 0:
                    losses[n] += (1 - row[i] + row[j]) / len(row)
        return reduced(losses.reshape(x.shape[:-1]), reduction)

    for reduction in REDUCTIONS:
        kwargs = dict(reduction=reduction)
        for rows in ((), (1,), (7,)):
            for classes in (1, 3, 5):
                yield Case(loss, [normal(*rows, classes), listed(classes, *rows)], kwargs)
        yield Case(loss, [normal(3, 4), exactly(np.full((3, 4), -1))], kwargs)
        why = "PyTorch's mean and sum over no rows are what stood in memory"
        yield Edge(loss, [normal(0, 3), listed(3, 0)], kwargs, unlike_torch=why)
    yield Case(loss, [normal(), exactly(np.array(0))])
    yield Case(loss, [normal(2, 4), exactly([[1, 1, -1, 0], [2, 3, 3, -1]])])  # named twice
    scores, target = exactly([[0.0, 1.0, 0.5]]), exactly([[1, -1, 0]])  # 0 is at the margin
    slopes = [[0, -1 / 3, 1 / 3]]
    yield Edge(loss, [scores, target], NONE, gradient=written(slopes))
    far = exactly([[1e4, -1e4, 0.0], [np.nan, 0.0, 0.5]])
    yield Edge(loss, [far, exactly([[1, -1, 2], [1, -1, 0]])], NONE)
    x, target = normal(2, 3), listed(3, 2)
    rule = "target must be in [-1, C) = [-1, 3), got "
    wrong = exactly([[0, -1, 1], [0, -1, 3]])  # even where it is not read
    yield Invalid([x, wrong], ArgumentError, rule + "3 at index 5")
    yield Invalid([x, exactly(np.full((2, 3), -2))], ArgumentError, rule + "-2 at index 0")
    yield Invalid([x, listed(3, 1)], ShapeError, "target must have x's shape (2, 3), got (1, 3)")
    rule = "x must have shape (N, C) or (C,) with C > 0, got (2, 3, 4)"
    yield Invalid([normal(2, 3, 4), target], ShapeError, rule)
    rule = "target must be int64, got int32"
    yield Invalid([x, exactly(np.zeros((2, 3), "int32"))], DTypeError, rule)
    yield Invalid([x, 0], DTypeError, "target must be a gpunet.Tensor, got int")
    yield Invalid([x, target], ArgumentError, NO_SUCH_REDUCTION, dict(reduction="max"))
