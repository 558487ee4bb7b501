"""Losses, one target at a time."""

from itertools import product

import numpy as np

from gpunet.errors import ArgumentError, DTypeError, ShapeError
from tests.cases.case import (
    Case,
    Edge,
    Invalid,
    constant,
    exactly,
    labels,
    normal,
    positive,
    shares,
    unit,
)

REDUCTIONS = ("mean", "sum", "none")
NO_SUCH_REDUCTION = "reduction must be one of 'mean', 'sum', 'none', got 'max'"


def _reduced(losses, reduction, count=None):
    if reduction == "none":
        return losses
    count = losses.size if count is None else count
    return losses.sum() / count if reduction == "mean" else losses.sum()


def _cross_entropy(
    x, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0
):
    x = np.moveaxis(x, min(x.ndim - 1, 1), -1)
    classes = x.shape[-1]
    log_p = x - np.logaddexp.reduce(x, axis=-1, keepdims=True)
    weight = np.ones(classes, x.dtype) if weight is None else weight
    losses, count = np.zeros(x.shape[:-1], x.dtype), x.dtype.type(0)
    for i in np.ndindex(losses.shape):
        if target.dtype.kind == "f":
            wanted = np.moveaxis(target, min(target.ndim - 1, 1), -1)[i]
            count += 1
        elif target[i] == ignore_index:
            continue
        else:
            wanted = np.eye(classes, dtype=x.dtype)[target[i]]
            count += weight[target[i]]
        wanted = (1 - label_smoothing) * wanted + label_smoothing / classes
        losses[i] = -(weight * wanted * log_p[i]).sum()
    return _reduced(losses, reduction, count)


def cross_entropy():
    yield from _with_labels()
    yield from _with_probabilities()
    yield from _at_edges()
    yield from _refused()


def _with_labels():
    weights, ignored, smoothings = (None, constant(positive(5))), (-100, 2), (0.0, 0.1, 1.0)
    names = ("reduction", "weight", "ignore_index", "label_smoothing")
    for options in product(REDUCTIONS, weights, ignored, smoothings):
        kwargs = dict(zip(names, options, strict=True))
        yield Case(_cross_entropy, [normal(7, 5), labels(5, 7)], kwargs)
    for reduction in REDUCTIONS:
        kwargs = dict(reduction=reduction)
        for n, classes in ((1, 1), (3, 2), (31, 33), (33, 31)):
            yield Case(_cross_entropy, [normal(n, classes), labels(classes, n)], kwargs)
        yield Case(_cross_entropy, [normal(5), labels(5)], kwargs)
        yield Case(_cross_entropy, [normal(2, 5, 3, 2), labels(5, 2, 3, 2)], kwargs)
        yield Case(_cross_entropy, [normal(2, 3), exactly([-100, 1])], kwargs)
        weighted = [normal(2, 5, 3), labels(5, 2, 3), constant(positive(5))]
        yield Case(_cross_entropy, weighted, kwargs)
    yield Case(_cross_entropy, [normal(260, 127), labels(127, 260)])


def _with_probabilities():
    names = ("reduction", "weight", "label_smoothing")
    for options in product(REDUCTIONS, (None, positive(5)), (0.0, 0.1)):
        kwargs = dict(zip(names, options, strict=True))
        yield Case(_cross_entropy, [normal(7, 5), shares(1, 7, 5)], kwargs)
        yield Case(_cross_entropy, [normal(2, 5, 3), shares(1, 2, 5, 3)], kwargs)
    for reduction in REDUCTIONS:
        yield Case(_cross_entropy, [normal(5), shares(0, 5)], dict(reduction=reduction))


def _at_edges():
    for reduction in REDUCTIONS:  # nothing counts: the mean over it is NaN
        kwargs = dict(reduction=reduction)
        yield Edge(_cross_entropy, [normal(2, 3), exactly([-100, -100])], kwargs)
        yield Edge(_cross_entropy, [normal(0, 3), exactly(np.zeros(0, int))], kwargs)
    kwargs = dict(reduction="none")
    far, highest = exactly([[1e4, 0.0, -1e4], [0.0, -1e4, 1e4]]), np.eye(3)[[0, 2]]
    for target in ([0, 2], [2, 0]):
        slope = highest - np.eye(3)[target]
        inputs = [far, exactly(target)]
        yield Edge(_cross_entropy, inputs, kwargs, gradient=lambda *_, g=slope, **__: g)
    for width in (2, 33):  # a NaN shows in the loss of its row, wherever it stands, and in no other
        x = np.ones((width, width))
        np.fill_diagonal(x[1:], np.nan)
        yield Edge(_cross_entropy, [exactly(x), exactly(np.zeros(width, int))], kwargs)
        yield Edge(_cross_entropy, [exactly(x), exactly(np.full(width, width - 1))], kwargs)


def _refused():
    x, target = normal(4, 3), labels(3, 4)
    problem = "target must be in [0, C) = [0, 3), got "
    yield Invalid([x, exactly([0, 1, 3, 2])], ArgumentError, problem + "3 at index 2")
    yield Invalid(
        [x, exactly([0, -1, 0, 0])], ArgumentError, problem + "-1 at index 1; ignore_index"
    )
    problem = "target must have shape (4,) (class indices) or (4, 3) (probabilities), got (2,)"
    yield Invalid([x, exactly([0, 1])], ShapeError, problem + "; x is (4, 3) float64 on cpu")
    problem = "target must have x's shape (4, 3), got (4, 2)"
    yield Invalid([x, normal(4, 2)], ShapeError, problem)
    for dtype in ("int32", "bool"):
        problem = f"target must be int64 or floating, got {dtype}"
        yield Invalid([x, exactly(np.zeros(4, dtype))], DTypeError, problem)
    yield Invalid([x, [0, 1, 2, 0]], DTypeError, "target must be a gpunet.Tensor, got list")
    yield Invalid(
        [normal(), target], ShapeError, "x must have a class axis; x is () float64 on cpu"
    )
    problem = "weight must have shape (C,) = (3,), got (2,)"
    yield Invalid([x, target, normal(2)], ShapeError, problem)
    problem = "weight must be floating, got int64"
    yield Invalid([x, target, labels(2, 3)], DTypeError, problem)
    yield Invalid([x, target], ArgumentError, NO_SUCH_REDUCTION, dict(reduction="max"))
    for value in (-0.1, 1.5):
        problem = f"label_smoothing must be in [0, 1], got {value}"
        yield Invalid([x, target], ArgumentError, problem, dict(label_smoothing=value))


def _elementwise(loss, target):
    """The rows that the losses of each element share."""
    for reduction in REDUCTIONS:
        kwargs = dict(reduction=reduction)
        for shape in [(), (1,), (31,), (33,), (4, 3), (2, 3, 5), (130, 127)]:
            yield Case(loss, [normal(*shape), target(*shape)], kwargs)
        yield Edge(loss, [normal(0, 3), target(0, 3)], kwargs)  # the mean of nothing is NaN
        yield Edge(loss, [exactly([np.nan, 1.0]), target(2)], kwargs)
    rule = "target must have x's shape (3,), got (3, 1); x is (3,) float64 on cpu"
    yield Invalid([normal(3), target(3, 1)], ShapeError, rule)
    rule = "target must be floating, got int64"
    yield Invalid([normal(3), labels(2, 3)], DTypeError, rule)
    yield Invalid([normal(3), 0.0], DTypeError, "target must be a gpunet.Tensor, got float")
    yield Invalid([normal(3), target(3)], ArgumentError, NO_SUCH_REDUCTION, dict(reduction="max"))


def mse_loss():
    def loss(x, target, reduction="mean"):
        return _reduced((x - target) ** 2, reduction)

    yield from _elementwise(loss, normal)


def binary_cross_entropy_with_logits():
    def loss(x, target, weight=1, reduction="mean", pos_weight=1):
        if_true, if_false = np.logaddexp(0, -x), np.logaddexp(0, x)  # −log σ(x), −log (1 − σ(x))
        return _reduced(
            weight * (pos_weight * target * if_true + (1 - target) * if_false), reduction
        )

    yield from _elementwise(loss, unit)
    x, target = normal(4, 3), unit(4, 3)
    for reduction, shape in product(REDUCTIONS, [(), (3,), (4, 1), (4, 3)]):
        for option in ("weight", "pos_weight"):
            kwargs = {option: positive(*shape), "reduction": reduction}
            yield Case(loss, [x, target], kwargs)
    both = dict(weight=positive(3), pos_weight=positive(4, 1))
    yield Case(loss, [x, exactly(np.eye(4, 3))], both)
    far, targets = exactly([-1e30, -1e4, 1e4, 1e30] * 2), constant(exactly([0.0] * 4 + [1.0] * 4))
    slopes = [0, 0, 1, 1, -1, -1, 0, 0]
    kwargs = dict(reduction="none")
    yield Edge(loss, [far, targets], kwargs, gradient=lambda *_, **__: slopes)
    for option, wrong in product(("weight", "pos_weight"), ((2,), (2, 4, 3))):
        rule = f"{option} must broadcast to x's shape (4, 3), got {wrong}"
        yield Invalid([x, target], ShapeError, rule, {option: normal(*wrong)})
