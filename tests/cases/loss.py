"""Losses, one target at a time."""

import itertools

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


def _reduced(losses, reduction, count=None):
    if reduction == "none":
        return losses
    return (
        losses.sum() / (losses.size if count is None else count)
        if reduction == "mean"
        else losses.sum()
    )


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
    oracle = _cross_entropy
    options = itertools.product(
        REDUCTIONS, (None, constant(positive(5))), (-100, 2), (0.0, 0.1, 1.0)
    )
    for reduction, weight, ignored, smoothing in options:
        kwargs = dict(
            weight=weight, ignore_index=ignored, reduction=reduction, label_smoothing=smoothing
        )
        yield Case(oracle, [normal(7, 5), labels(5, 7)], kwargs)
    for reduction, weight, smoothing in itertools.product(
        REDUCTIONS, (None, positive(5)), (0.0, 0.1)
    ):
        kwargs = dict(weight=weight, reduction=reduction, label_smoothing=smoothing)
        yield Case(oracle, [normal(7, 5), shares(1, 7, 5)], kwargs)
        yield Case(oracle, [normal(2, 5, 3), shares(1, 2, 5, 3)], kwargs)
    for reduction in REDUCTIONS:
        kwargs = dict(reduction=reduction)
        for n, classes in ((1, 1), (3, 2), (31, 33), (33, 31)):
            yield Case(oracle, [normal(n, classes), labels(classes, n)], kwargs)
        yield Case(oracle, [normal(5), labels(5)], kwargs)
        yield Case(oracle, [normal(5), shares(0, 5)], kwargs)
        yield Case(
            oracle, [normal(2, 5, 3), labels(5, 2, 3)], dict(weight=constant(positive(5)), **kwargs)
        )
        yield Case(oracle, [normal(2, 5, 3, 2), labels(5, 2, 3, 2)], kwargs)
        yield Case(oracle, [normal(2, 3), exactly([-100, 1])], kwargs)
        # Nothing counts: the mean over it is NaN.
        yield Edge(oracle, [normal(2, 3), exactly([-100, -100])], kwargs)
        yield Edge(oracle, [normal(0, 3), exactly(np.zeros(0, int))], kwargs)
    yield Case(oracle, [normal(260, 127), labels(127, 260)])

    far, first = (
        exactly([[1e4, 0.0, -1e4], [0.0, -1e4, 1e4]]),
        exactly([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
    )
    for target in ([0, 2], [2, 0]):
        gradient = first.make(None) - np.eye(3)[target]
        yield Edge(
            oracle, [far, exactly(target)], dict(reduction="none"), lambda *_, g=gradient, **__: g
        )
    yield Edge(
        oracle, [exactly([[np.nan, 0.0], [1.0, 2.0]]), exactly([0, 1])], dict(reduction="none")
    )

    x, target = normal(4, 3), labels(3, 4)
    yield Invalid(
        [x, exactly([0, 1, 3, 2])],
        {},
        ArgumentError,
        r"target must be in \[0, C\) = \[0, 3\), got 3 at index 2",
    )
    yield Invalid(
        [x, exactly([0, -1, 0, 0])], {}, ArgumentError, "got -1 at index 1; ignore_index is -100"
    )
    yield Invalid(
        [x, exactly([0, 1])],
        {},
        ShapeError,
        r"target must have shape \(4,\).*got \(2,\); x is \(4, 3\)",
    )
    yield Invalid(
        [x, normal(4, 2)], {}, ShapeError, r"target must have x's shape \(4, 3\), got \(4, 2\)"
    )
    yield Invalid(
        [x, exactly(np.zeros(4, "int32"))],
        {},
        DTypeError,
        "target must be int64 or floating, got int32",
    )
    yield Invalid(
        [x, exactly(np.zeros(4, bool))],
        {},
        DTypeError,
        "target must be int64 or floating, got bool",
    )
    yield Invalid([x, [0, 1, 2, 0]], {}, DTypeError, "target must be a gpunet.Tensor, got list")
    yield Invalid(
        [labels(3, 4, 3), target], {}, DTypeError, "x must be float32 or float64, got int64"
    )
    yield Invalid([normal(), target], {}, ShapeError, r"x must have a class axis; x is \(\)")
    yield Invalid(
        [x, target, normal(2)],
        {},
        ShapeError,
        r"weight must have shape \(C,\) = \(3,\), got \(2,\)",
    )
    yield Invalid(
        [x, target, labels(2, 3)], {}, DTypeError, "weight must be float32 or float64, got int64"
    )
    message = "reduction must be one of 'mean', 'sum', 'none', got 'max'"
    yield Invalid([x, target], dict(reduction="max"), ArgumentError, message)
    for value in (-0.1, 1.5):
        message = rf"label_smoothing must be in \[0, 1\], got {value}"
        yield Invalid([x, target], dict(label_smoothing=value), ArgumentError, message)


def _elementwise(loss, target):
    """The rows that mse_loss and binary_cross_entropy_with_logits share."""
    for reduction in REDUCTIONS:
        for shape in [(), (1,), (31,), (33,), (4, 3), (2, 3, 5), (130, 127)]:
            yield Case(loss, [normal(*shape), target(*shape)], dict(reduction=reduction))
        yield Edge(
            loss, [normal(0, 3), target(0, 3)], dict(reduction=reduction)
        )  # the mean of nothing is NaN
        yield Edge(loss, [exactly([np.nan, 1.0]), target(2)], dict(reduction=reduction))
    rule = r"target must have x's shape \(3,\), got \(3, 1\)"
    yield Invalid([normal(3), normal(3, 1)], {}, ShapeError, rule)
    yield Invalid(
        [normal(3), labels(2, 3)], {}, DTypeError, "target must be float32 or float64, got int64"
    )
    yield Invalid(
        [normal(3), exactly(np.zeros(3, "int32"))],
        {},
        DTypeError,
        "target must be float32 or float64",
    )
    message = "reduction must be one of 'mean', 'sum', 'none', got 'max'"
    yield Invalid([normal(3), unit(3)], dict(reduction="max"), ArgumentError, message)


def mse_loss():
    yield from _elementwise(
        lambda x, target, reduction="mean": _reduced((x - target) ** 2, reduction), normal
    )


def binary_cross_entropy_with_logits():
    def loss(x, target, weight=None, reduction="mean", pos_weight=None):
        positive, negative = np.logaddexp(0, -x), np.logaddexp(0, x)  # −log σ(x), −log(1 − σ(x))
        losses = (1 if pos_weight is None else pos_weight) * target * positive + (
            1 - target
        ) * negative
        return _reduced(losses if weight is None else losses * weight, reduction)

    yield from _elementwise(loss, unit)
    for reduction, shape in itertools.product(REDUCTIONS, [(), (3,), (4, 1), (4, 3)]):
        for option in ("weight", "pos_weight"):
            yield Case(
                loss, [normal(4, 3), unit(4, 3)], {option: positive(*shape), "reduction": reduction}
            )
    both = dict(weight=positive(3), pos_weight=positive(4, 1))
    yield Case(loss, [normal(4, 3), exactly(np.eye(4, 3))], both)
    far, target = exactly([-1e30, -1e4, 1e4, 1e30] * 2), exactly([0.0] * 4 + [1.0] * 4)
    gradient = [0, 0, 1, 1, -1, -1, 0, 0]
    yield Edge(loss, [far, constant(target)], dict(reduction="none"), lambda *_, **__: gradient)
    for option in ("weight", "pos_weight"):
        rule = rf"{option} must broadcast to x's shape \(3,\), got "
        yield Invalid([normal(3), unit(3)], {option: normal(2)}, ShapeError, rule + r"\(2,\)")
        yield Invalid([normal(3), unit(3)], {option: normal(2, 3)}, ShapeError, rule + r"\(2, 3\)")
