"""Losses of distances."""

from itertools import product

import numpy as np

from gpunet.errors import ArgumentError, DTypeError, ShapeError
from tests.cases.case import Case, Edge, Invalid, exactly, labels, normal
from tests.cases.criterion import (
    NO_SUCH_REDUCTION,
    REDUCTIONS,
    at_each_shape,
    broadcasting,
    not_a_number,
    reduced,
    signs,
    written,
)

NONE = dict(reduction="none")


# --- pairs


def hinge_embedding_loss():
    def loss(x, target, margin=1.0, reduction="mean"):
        near, far = np.maximum(margin - x, 0), x
        return reduced(np.where(target == 1, 0, near) + np.where(target == -1, 0, far), reduction)

    yield from at_each_shape(loss, normal, signs)
    yield from not_a_number(loss, signs)
    yield from broadcasting(loss, normal, signs)
    for reduction, margin in product(REDUCTIONS, (0.3, -0.2)):
        yield Case(loss, [normal(4, 3), signs(4, 3)], dict(margin=margin, reduction=reduction))
    yield Case(loss, [normal(5), exactly([1, -1, -1, 1, 0])])  # whole; of another value: both
    x, target = exactly([1.0, 1.0, 0.5, 2.0, 0.5]), exactly([1, -1, -1, -1, 0])
    yield Edge(loss, [x, target], NONE, gradient=written([1, -1, -1, 0, 0]))


def cosine_embedding_loss():
    def loss(input1, input2, target, margin=0.0, reduction="mean"):
        input1, input2 = np.broadcast_arrays(input1, input2)
        lengths = np.sqrt((input1**2).sum(-1) + 1e-12), np.sqrt((input2**2).sum(-1) + 1e-12)
        cosine = (input1 * input2).sum(-1) / lengths[0].astype(input1.dtype)
        cosine = cosine / lengths[1].astype(input1.dtype)
        unlike = np.where(target == -1, np.maximum(cosine - margin, 0), 0)
        return reduced(np.where(target == 1, 1 - cosine, unlike), reduction)

    for reduction, margin in product(REDUCTIONS, (0.0, 0.5, -0.5)):
        kwargs = dict(margin=margin, reduction=reduction)
        yield Case(loss, [normal(7, 5), normal(7, 5), signs(7)], kwargs)
        yield Case(loss, [normal(5), normal(5), signs()], kwargs)
        yield Case(loss, [normal(3, 4), normal(1, 4), labels(2, 3)], kwargs)
        yield Case(loss, [normal(3, 4), normal(3, 4), signs(1)], kwargs)
        yield Edge(loss, [normal(0, 3), normal(0, 3), signs(0)], kwargs)
    yield Case(loss, [normal(2, 1500), normal(2, 1500), exactly([1, 1])])
    yield Edge(loss, [normal(2, 0), normal(2, 0), exactly([1, -1])], NONE)
    x1, x2 = exactly([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0]]), exactly([[0.0, 2.0]] * 3)
    target = exactly([-1, 1, 0])  # at the margin of 0 the slope is that inside
    both = np.sqrt((1 + 1e-12) * (4 + 1e-12))  # lengths
    by_x1, by_x2 = np.array([[0, 2], [0, -2], [0, 0]]), np.array([[1, 0], [-1, 0], [0, 0]])
    yield Edge(loss, [x1, x2, target], NONE, gradient=written(by_x1 / both, by_x2 / both))
    x, target = normal(4, 3), signs(4)
    rule = "inputs and target must be (N, D) and (N,), or (D,) and (), got target "
    for shape in ((), (4, 3)):
        yield Invalid([x, x, signs(*shape)], ShapeError, f"{rule}{shape}; input1 is (4, 3)")
    yield Invalid([normal(3), x, target], ShapeError, rule)
    rule = "input2 must have vectors of length 3, got 2"
    yield Invalid([x, normal(4, 2), target], ShapeError, rule)
    rule = "the shapes of input1, input2, target must broadcast"
    yield Invalid([x, x, signs(3)], ShapeError, rule)
    yield Invalid([x, labels(3, 4, 3), target], DTypeError, "input2 must be floating, got int64")
    yield Invalid([x, x, 1], DTypeError, "target must be a gpunet.Tensor, got int")
    yield Invalid([x, x, target], ArgumentError, NO_SUCH_REDUCTION, dict(reduction="max"))


# --- triplets


def _hinge(near, far, swapped, margin, reduction):
    far = far if swapped is None else np.minimum(far, swapped)
    return reduced(np.maximum(margin + near - far, 0), reduction)


def _norm(x, y, p=2.0, eps=1e-6):
    d = np.abs(np.atleast_1d(x - y + x.dtype.type(eps)))
    if p == 0:
        return (d > 0).sum(-1).astype(x.dtype)
    if np.isinf(p):
        return d.max(-1) if p > 0 else d.min(-1)
    return (d**p).sum(-1) ** (1 / p)


def _triplets(loss):
    """The rows of both."""
    for reduction, swap in product(REDUCTIONS, (False, True)):
        kwargs = dict(swap=swap, margin=2.0, reduction=reduction)
        for shape in ((), (3,), (7, 5), (2, 3, 4)):
            yield Case(loss, [normal(*shape), normal(*shape), normal(*shape)], kwargs)
        yield Case(loss, [normal(4, 3), normal(1, 3), normal(4, 1)], kwargs)
        yield Edge(loss, [normal(0, 3), normal(0, 3), normal(0, 3)], kwargs)
    x = normal(4, 3)
    for margin in (0.0, -1.0):
        rule = f"margin must be above 0, got {margin}"
        yield Invalid([x, x, x], ArgumentError, rule, dict(margin=margin))
    rule = "anchor and positive and negative must have the same number of axes"
    yield Invalid([x, normal(3), x], ShapeError, rule)
    rule = "the shapes of anchor, positive, negative must broadcast"
    yield Invalid([x, x, normal(3, 3)], ShapeError, rule)
    yield Invalid([x, x, labels(3, 4, 3)], DTypeError, "negative must be floating, got int64")
    yield Invalid([x, x, 1.0], DTypeError, "negative must be a gpunet.Tensor, got float")
    yield Invalid([x, x, x], ArgumentError, NO_SUCH_REDUCTION, dict(reduction="max"))


def triplet_margin_loss():
    def loss(anchor, positive, negative, margin=1.0, p=2.0, eps=1e-6, swap=False, reduction="mean"):
        near, far = _norm(anchor, positive, p, eps), _norm(anchor, negative, p, eps)
        swapped = _norm(positive, negative, p, eps) if swap else None
        return _hinge(near, far, swapped, margin, reduction)

    yield from _triplets(loss)
    for p, swap in product((0, 0.5, 1, 1.5, 2.0, 3.0, np.inf, -np.inf, -1.0), (False, True)):
        kwargs = dict(p=p, margin=3.0, swap=swap)
        yield Case(loss, [normal(7, 5), normal(7, 5), normal(7, 5)], kwargs)
    here, there = exactly([[1.0, 2.0, 0.0]]), exactly([[0.0, 1.0, 1.0]])
    away = np.array([[1, 1, -1]])  # from there; the anchor is the positive, where slopes are 0
    for p, share in ((0.5, 3), (1, 1), (2, 3**-0.5), (3, 9 ** (-1 / 3)), (np.inf, 1 / 3)):
        slopes = -away * share, 0 * away, away * share
        kwargs = dict(p=p, eps=0.0, margin=10.0, reduction="none")
        yield Edge(loss, [here, here, there], kwargs, gradient=written(*slopes))
    numbers = exactly([[0.0]]), exactly([[1.0]]), exactly([[2.0]])
    slopes = [[0]], [[1]], [[-1]]  # at the margin, as inside
    yield Edge(loss, numbers, dict(NONE, eps=0.0), gradient=written(*slopes))
    numbers = exactly([[0.0]]), exactly([[0.0]]), exactly([[2.0]])
    slopes = [[0.5]], [[0.5]], [[-1]]  # of equal distances each gets half
    kwargs = dict(NONE, eps=0.0, margin=5.0, swap=True)
    yield Edge(loss, numbers, kwargs, gradient=written(*slopes))
    x = normal(2, 0)
    yield Case(loss, [x, x, x])
    rule = "anchor must have vectors with elements for p = inf"
    yield Invalid([x, x, x], ShapeError, rule, dict(p=np.inf))


def triplet_margin_with_distance_loss():
    def loss(
        anchor,
        positive,
        negative,
        distance_function=_norm,
        margin=1.0,
        swap=False,
        reduction="mean",
    ):
        near, far = distance_function(anchor, positive), distance_function(anchor, negative)
        swapped = distance_function(positive, negative) if swap else None
        return _hinge(near, far, swapped, margin, reduction)

    def squared(x, y):
        return (x - y) * (x - y)

    yield from _triplets(loss)
    for swap in (False, True):
        kwargs = dict(distance_function=squared, swap=swap)
        yield Case(loss, [normal(4, 3), normal(4, 3), normal(4, 3)], kwargs)
