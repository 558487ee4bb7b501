"""Losses of classification."""

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
    shares,
    unit,
)
from tests.cases.criterion import (
    NO_SUCH_REDUCTION,
    REDUCTIONS,
    at_each_shape,
    not_a_number,
    of_one_shape,
    reduced,
    signs,
    written,
)

NONE = dict(reduction="none")


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
    return reduced(losses, reduction, count)


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
    small = exactly(np.array([4, 0, 255, 2], "uint8"))
    yield Case(_cross_entropy, [normal(4, 5), small], dict(ignore_index=255))


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
        yield Edge(_cross_entropy, inputs, kwargs, gradient=written(slope))
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
    rule = "ignore_index must be negative where targets are probabilities, got 1"
    yield Invalid([x, shares(1, 4, 3)], ArgumentError, rule, dict(ignore_index=1))
    problem = "target must have shape (4,) (class indices) or (4, 3) (probabilities), got (2,)"
    yield Invalid([x, exactly([0, 1])], ShapeError, problem + "; x is (4, 3) float64 on cpu")
    problem = "target must have x's shape (4, 3), got (4, 2)"
    yield Invalid([x, normal(4, 2)], ShapeError, problem)
    for dtype in ("int32", "bool"):
        problem = f"target must be int64 or uint8 or floating, got {dtype}"
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


def nll_loss():
    def loss(x, target, weight=None, ignore_index=-100, reduction="mean"):
        x = np.moveaxis(x, min(x.ndim - 1, 1), -1)
        weight = np.ones(x.shape[-1], x.dtype) if weight is None else weight
        losses, count = np.zeros(target.shape, x.dtype), x.dtype.type(0)
        for i in np.ndindex(target.shape):
            if target[i] != ignore_index:
                losses[i] = -weight[target[i]] * x[i][target[i]]
                count += weight[target[i]]
        return reduced(losses, reduction, count)

    for reduction, weighted, ignored in product(REDUCTIONS, (True, False), (-100, 2)):
        weight = constant(positive(5)) if weighted else None
        kwargs = dict(weight=weight, ignore_index=ignored, reduction=reduction)
        for shape in ((7, 5), (2, 5, 3), (2, 5, 3, 2, 2)):
            yield Case(loss, [normal(*shape), labels(5, shape[0], *shape[2:])], kwargs)
    for reduction in REDUCTIONS:
        kwargs = dict(reduction=reduction)
        yield Case(loss, [normal(5), labels(5)], kwargs)
        yield Case(loss, [normal(1, 1), labels(1, 1)], kwargs)
        yield Case(loss, [normal(3, 4), exactly(np.array([3, 0, 1], "uint8"))], kwargs)
        yield Edge(loss, [normal(0, 3), labels(3, 0)], kwargs)
        yield Edge(loss, [normal(2, 3, 0), labels(3, 2, 0)], kwargs)
        yield Edge(loss, [normal(2, 3), exactly([-100, -100])], kwargs)
    x, target = exactly([[np.nan, 0.0], [-np.inf, 0.0], [0.5, np.nan]]), exactly([-100, 0, 0])
    slopes = [[0, 0], [-1, 0], [-1, 0]]  # what is ignored or not the target's may be anything
    yield Edge(loss, [x, target], NONE, gradient=written(slopes))
    x, target = normal(4, 3), labels(3, 4)
    rule = "target must be in [0, C) = [0, 3), got "
    yield Invalid([x, exactly([0, 1, 3, 2])], ArgumentError, rule + "3 at index 2")
    yield Invalid([x, exactly([0, -1, 0, 0])], ArgumentError, rule + "-1 at index 1; ignore_index")
    rule = "target must have shape (4,), got (2,); x is (4, 3) float64 on cpu"
    yield Invalid([x, exactly([0, 1])], ShapeError, rule)
    for dtype in ("int32", "bool", "float64"):
        rule = f"target must be int64 or uint8, got {dtype}"
        yield Invalid([x, exactly(np.zeros(4, dtype))], DTypeError, rule)
    yield Invalid([x, [0, 1, 2, 0]], DTypeError, "target must be a gpunet.Tensor, got list")
    yield Invalid([normal(), target], ShapeError, "x must have a class axis; x is () float64")
    nobody = exactly([-100, -100])
    yield Invalid([normal(2, 0), nobody], ShapeError, "x must have at least one class")
    rule = "weight must have shape (C,) = (3,), got (2,)"
    yield Invalid([x, target, normal(2)], ShapeError, rule)
    yield Invalid([x, target], ArgumentError, NO_SUCH_REDUCTION, dict(reduction="max"))


# --- one of two, any of several


def inner(*shape):
    """Probabilities away from 0 and 1."""
    text = f"inner({','.join(map(str, shape))})"
    return Draw(text, lambda rng: rng.uniform(0.1, 0.9, shape))


def _weights(loss, x, target, names):
    """Weights that broadcast to x, and some that do not."""
    for reduction, shape in product(REDUCTIONS, [(), (3,), (4, 1), (4, 3)]):
        for name in names:
            kwargs = {name: constant(positive(*shape)), "reduction": reduction}
            yield Case(loss, [x(4, 3), target(4, 3)], kwargs)
    for name, wrong in product(names, ((2,), (2, 4, 3))):
        rule = f"{name} must broadcast to x's shape (4, 3), got {wrong}"
        yield Invalid([x(4, 3), target(4, 3)], ShapeError, rule, {name: constant(normal(*wrong))})


def binary_cross_entropy():
    def loss(x, target, weight=1, reduction="mean"):
        if_true, if_false = np.maximum(np.log(x), -100), np.maximum(np.log1p(-x), -100)
        return reduced(-weight * (target * if_true + (1 - target) * if_false), reduction)

    yield from at_each_shape(loss, inner, inner)
    yield from of_one_shape(unit)
    yield from _weights(loss, inner, inner, ("weight",))
    yield Invalid([unit(3), labels(2, 3)], DTypeError, "target must be floating, got int64")
    x, target = exactly([0.0, 1.0, 0.0, 1.0, 0.5]), exactly([0.0, 1.0, 1.0, 0.0, 0.5])
    steep = 1 / float(np.float32(1e-12))
    slopes = np.array([0, 0, -steep, steep, 0]), np.array([np.inf, -np.inf, np.inf, -np.inf, 0])
    yield Edge(loss, [x, target], NONE, gradient=written(*slopes))
    yield Edge(loss, [exactly([1e-30, 1e-7, 2.0**-24]), exactly([1.0, 0.0, 0.5])], NONE)
    for wrong in (-0.5, 1.5, np.nan, np.inf):
        rule = f"must be in [0, 1], got values from {wrong} to {wrong}"
        inside, outside = exactly([0.5]), exactly([wrong])
        yield Invalid([outside, inside], ArgumentError, f"x {rule}")
        yield Invalid([inside, outside], ArgumentError, f"target {rule}")


def _with_logits(x, target, weight=1, pos_weight=1):
    if_true, if_false = np.logaddexp(0, -x), np.logaddexp(0, x)  # −log σ(x), −log (1 − σ(x))
    return weight * (pos_weight * target * if_true + (1 - target) * if_false)


FAR = exactly([-1e30, -1e4, 1e4, 1e30] * 2)  # scores, beside these targets, and the slopes then
CERTAIN = constant(exactly([0.0] * 4 + [1.0] * 4))
SLOPES = np.array([0, 0, 1, 1, -1, -1, 0, 0])


def binary_cross_entropy_with_logits():
    def loss(x, target, weight=1, reduction="mean", pos_weight=1):
        return reduced(_with_logits(x, target, weight, pos_weight), reduction)

    yield from at_each_shape(loss, normal, unit)
    yield from not_a_number(loss, unit)
    yield from of_one_shape(unit)
    yield from _weights(loss, normal, unit, ("weight", "pos_weight"))
    yield Invalid([normal(3), labels(2, 3)], DTypeError, "target must be floating, got int64")
    both = dict(weight=constant(positive(3)), pos_weight=constant(positive(4, 1)))
    yield Case(loss, [normal(4, 3), exactly(np.eye(4, 3))], both)
    yield Edge(loss, [FAR, CERTAIN], NONE, gradient=written(SLOPES))


def soft_margin_loss():
    def loss(x, target, reduction="mean"):
        return reduced(np.logaddexp(0, -target * x), reduction)

    yield from at_each_shape(loss, normal, signs)
    yield from not_a_number(loss, signs)
    for reduction, shape in product(REDUCTIONS, [(3,), (4, 1), ()]):
        yield Case(loss, [normal(4, 3), signs(*shape)], dict(reduction=reduction))
    yield Case(loss, [normal(2, 3), exactly(np.array([[1, -1, 1], [-1, -1, 0]]))])
    far, labelled = exactly([-1e4, -1e4, 1e4, 1e4]), constant(exactly([-1.0, 1.0, -1.0, 1.0]))
    yield Edge(
        loss,
        [far, labelled],
        NONE,
        gradient=written(np.array([0, -1, 1, 0])),
        unlike_torch="PyTorch's exponential overflows",
    )
    rule = "target must broadcast to x's shape (3,), got (2, 3)"
    yield Invalid([normal(3), signs(2, 3)], ShapeError, rule)


def multilabel_soft_margin_loss():
    def loss(x, target, weight=1, reduction="mean"):
        return reduced(_with_logits(x, target, weight).sum(-1) / x.shape[-1], reduction)

    for reduction in REDUCTIONS:
        kwargs = dict(reduction=reduction)
        for shape in ((1,), (31,), (4, 3), (2, 3, 5)):
            yield Case(loss, [normal(*shape), unit(*shape)], kwargs)
            yield Case(loss, [normal(*shape), unit(*shape), positive(shape[-1])], kwargs)
        yield Case(loss, [normal(4, 3), unit(3), positive(4, 1)], kwargs)
        yield Case(loss, [normal(4, 3), labels(2, 4, 3)], kwargs)
        yield Edge(loss, [normal(0, 3), unit(0, 3)], kwargs)
        yield Edge(loss, [normal(2, 0), unit(2, 0)], kwargs)
    far = exactly([[-1e30], [-1e4], [1e4], [1e30]] * 2)
    certain = constant(exactly([[0.0]] * 4 + [[1.0]] * 4))
    yield Edge(loss, [far, certain], NONE, gradient=written(SLOPES[:, None]))
    lowest, infinite = exactly([[-np.inf, 1.0]]), "its loss is infinite"
    unknown = lambda x, target: np.full((), np.nan, x.dtype)  # noqa: E731
    yield Edge(unknown, [lowest, constant(exactly([[1.0, 0.0]]))], unlike_torch=infinite)
    yield Invalid(
        [normal(), unit()], ShapeError, "x must have a class axis; x is () float64 on cpu"
    )
    for option in ("target", "weight"):
        inputs = {"target": unit(3), option: unit(2, 3)}
        rule = f"{option} must broadcast to x's shape (3,), got (2, 3)"
        yield Invalid([normal(3)], ShapeError, rule, inputs)
    yield Invalid([labels(2, 3), unit(3)], DTypeError, "x must be floating, got int64")
    yield Invalid([normal(3), 1.0], DTypeError, "target must be a gpunet.Tensor, got float")
    yield Invalid([normal(3), unit(3)], ArgumentError, NO_SUCH_REDUCTION, dict(reduction="max"))
