"""Losses of regression and of densities."""

import math
from itertools import product

import numpy as np

from gpunet.errors import ArgumentError, DTypeError, ShapeError
from tests.cases.case import Case, Edge, Invalid, exactly, labels, normal, positive, unit
from tests.cases.criterion import (
    NO_SUCH_REDUCTION,
    REDUCTIONS,
    at_each_shape,
    broadcasting,
    not_a_number,
    of_one_shape,
    reduced,
    written,
)

NONE = dict(reduction="none")
FAR = exactly([1e4, -1e4, 1e4, np.inf, 0.0])  # beside these targets
TARGETS = exactly([0.0, 0.0, -1e4, 0.0, 0.0])


def _weighted(losses, reduction, weight):
    if weight is None:
        return reduced(losses, reduction)
    return reduced(weight * losses, reduction, np.sum(weight))


def _regression(loss):
    yield from at_each_shape(loss, normal, normal)
    yield from not_a_number(loss, normal)
    yield from of_one_shape(normal)
    for whole in (labels(4, 2, 3), exactly(np.arange(6, dtype="uint8").reshape(2, 3))):
        yield Case(loss, [normal(2, 3), whole])
    yield Edge(loss, [FAR, TARGETS], NONE)


def _weights(loss):
    for reduction in REDUCTIONS:
        kwargs = dict(reduction=reduction, weight=positive(4, 3))
        yield Case(loss, [normal(4, 3), normal(4, 3)], kwargs)
    rule = "weight must have x's shape (4, 3), got (3,)"
    yield Invalid([normal(4, 3), normal(4, 3)], ShapeError, rule, dict(weight=positive(3)))


def mse_loss():
    def loss(x, target, reduction="mean", weight=None):
        return _weighted((x - target) ** 2, reduction, weight)

    yield from _regression(loss)
    yield from _weights(loss)


def l1_loss():
    def loss(x, target, reduction="mean", weight=None):
        return _weighted(np.abs(x - target), reduction, weight)

    yield from _regression(loss)
    yield from _weights(loss)

    x, slopes = exactly([2.0, 3.0, 1.0, np.nan]), np.array([0, 1, -1, 0])
    yield Edge(loss, [x, exactly([2.0] * 4)], NONE, gradient=written(slopes, -slopes))


def smooth_l1_loss():
    def loss(x, target, reduction="mean", beta=1.0):
        d = np.abs(x - target)
        if beta == 0:
            return reduced(d, reduction)
        return reduced(np.where(d < beta, d * d / (2 * beta), d - beta / 2), reduction)

    yield from _regression(loss)
    for reduction, beta in product(REDUCTIONS, (0, 0.3, 2.5)):
        yield Case(loss, [normal(4, 3), normal(4, 3)], dict(reduction=reduction, beta=beta))
    x, zeros = exactly([0.0, 0.5, -0.5, 0.25, np.nan]), exactly([0.0] * 5)
    for beta, slopes in ((0.5, [0, 1, -1, 0.5, np.nan]), (0, [0, 1, -1, 1, 0])):
        gradient = written(slopes, np.negative(slopes))
        yield Edge(loss, [x, zeros], dict(NONE, beta=beta), gradient=gradient)
    rule = "beta must be at least 0, got -1"
    yield Invalid([normal(3), normal(3)], ArgumentError, rule, dict(beta=-1))


def huber_loss():
    def loss(x, target, reduction="mean", delta=1.0, weight=1.0):
        d = np.abs(x - target)
        losses = np.where(d < delta, d * d / 2, delta * (d - delta / 2))
        return reduced(weight * losses, reduction)

    yield from at_each_shape(loss, normal, normal)
    yield from not_a_number(loss, normal)
    yield from of_one_shape(normal)
    for reduction, delta in product(REDUCTIONS, (0.3, 2.5)):
        kwargs = dict(reduction=reduction, delta=delta)
        yield Case(loss, [normal(4, 3), normal(4, 3)], kwargs)
        yield Case(loss, [normal(4, 3), normal(4, 3)], dict(kwargs, weight=positive(4, 3)))
    yield Edge(loss, [FAR, TARGETS], NONE)
    x, zeros = exactly([0.0, 0.5, -0.5, 0.25, np.nan]), exactly([0.0] * 5)
    slopes = np.array([0, 0.5, -0.5, 0.25, np.nan])
    yield Edge(loss, [x, zeros], dict(NONE, delta=0.5), gradient=written(slopes, -slopes))
    for delta in (0.0, -1.0, np.nan):
        rule = f"delta must be above 0, got {delta}"
        yield Invalid([normal(3), normal(3)], ArgumentError, rule, dict(delta=delta))
    rule = "weight must have x's shape (4, 3), got (3,)"
    yield Invalid([normal(4, 3), normal(4, 3)], ShapeError, rule, dict(weight=positive(3)))


def kl_div():
    def loss(x, target, reduction="mean", log_target=False):
        if log_target:
            losses = np.exp(target) * (target - x)
        else:
            losses = target * np.log(np.where(target == 0, 1, target)) - target * x
        if reduction == "batchmean":
            return losses.sum() / (len(x) if x.ndim else 1)
        return reduced(losses, reduction)

    yield from at_each_shape(loss, normal, positive)
    yield from not_a_number(loss, positive)
    yield from broadcasting(loss, normal, positive)
    for shape in ((), (4, 3), (2, 3, 5)):
        kwargs = dict(reduction="batchmean")
        yield Case(loss, [normal(*shape), positive(*shape)], kwargs)
        yield Case(loss, [normal(*shape), normal(*shape)], dict(kwargs, log_target=True))
    for reduction in ("batchmean", *REDUCTIONS):
        kwargs = dict(reduction=reduction, log_target=True)
        yield Edge(loss, [normal(0, 3), normal(0, 3)], kwargs)
        yield Case(loss, [normal(4, 3), normal(4, 3)], kwargs)
    x, target = exactly([0.0, -1.0, -1e4, 0.0]), exactly([0.0, 0.5, 1.0, 1.0])
    by_target = [np.nan, math.log(0.5) + 2, 1e4 + 1, 1]
    yield Edge(loss, [x, target], NONE, gradient=written([0, -0.5, -1, -1], by_target))
    yield Invalid([normal(3), labels(2, 3)], DTypeError, "target must be floating, got int64")
    rule = "reduction must be one of 'mean', 'sum', 'none', 'batchmean', got 'max'"
    yield Invalid([normal(3), unit(3)], ArgumentError, rule, dict(reduction="max"))


def poisson_nll_loss():
    def loss(x, target, log_input=True, full=False, eps=1e-8, reduction="mean"):
        rate, log_rate = (np.exp(x), x) if log_input else (x, np.log(x + x.dtype.type(eps)))
        losses = rate - target * log_rate
        if full:
            t = np.maximum(target, 1).astype(x.dtype)
            stirling = t * np.log(t) - t + np.log(2 * np.pi * t).astype(x.dtype) / 2
            losses = losses + np.where(target > 1, stirling, 0)
        return reduced(losses, reduction)

    yield from at_each_shape(loss, normal, positive)
    yield from not_a_number(loss, positive)
    yield from broadcasting(loss, normal, positive)
    for reduction, log_input, full in product(REDUCTIONS, (True, False), (True, False)):
        kwargs = dict(log_input=log_input, full=full, reduction=reduction)
        yield Case(loss, [positive(4, 3), positive(4, 3)], kwargs)
        yield Case(loss, [positive(2, 3), positive(3)], dict(kwargs, eps=0.1))
    yield Case(loss, [normal(4, 3), labels(5, 4, 3)])
    why = "PyTorch takes the logarithm of whole numbers in float32"
    yield Case(loss, [normal(4, 3), labels(5, 4, 3)], dict(full=True), unlike_torch=why)
    x, target = exactly([0.0, 1.0, -1e4, 0.5]), exactly([0.0, 1.0, 1.0, 2.0])
    slopes = np.exp([0.0, 1.0, -1e4, 0.5]) - [0, 1, 1, 2]
    kwargs = dict(NONE, full=True)
    by_target = [0, -1, 1e4, -0.5 + math.log(2) + 0.25]
    yield Edge(
        loss,
        [x, target],
        kwargs,
        gradient=written(slopes, by_target),
        unlike_torch="PyTorch's gradient by a target of 0 is NaN",
    )
    yield Edge(loss, [exactly([0.0, 0.0]), exactly([0.0, 1.0])], dict(NONE, log_input=False))


def gaussian_nll_loss():
    def loss(x, target, var, full=False, eps=1e-6, reduction="mean"):
        var = np.asarray(var, x.dtype)
        if var.shape == x.shape[:-1] != x.shape:
            var = var[..., None]
        var = np.maximum(var, x.dtype.type(eps))
        losses = (np.log(var) + (x - target) ** 2 / var) / 2
        if full:
            losses = losses + x.dtype.type(math.log(2 * math.pi) / 2)
        return reduced(losses, reduction)

    for reduction, full in product(REDUCTIONS, (False, True)):
        kwargs = dict(full=full, reduction=reduction)
        for shape in ((), (1,), (31,), (2, 3, 5)):
            yield Case(loss, [normal(*shape), normal(*shape), positive(*shape)], kwargs)
        for shape in ((4,), (4, 1), (1, 3)):
            yield Case(loss, [normal(4, 3), normal(4, 3), positive(*shape)], kwargs)
        yield Case(loss, [normal(4, 3), normal(4, 3), 0.7], kwargs)
        yield Edge(loss, [normal(0, 3), normal(0, 3), positive(0)], kwargs)
    yield Case(loss, [normal(4, 3), normal(3), positive(4, 3)])
    yield Case(loss, [normal(3), normal(4, 3), positive(1)])
    yield Case(loss, [normal(4, 3), labels(3, 4, 3), positive(4, 3)])
    yield Case(loss, [normal(), normal(), positive()])
    x, target, var = exactly([1.0, 2.0, 3.0]), exactly([0.0, 1.0, 3.0]), exactly([2.0, 0.0, 0.25])
    kwargs = dict(NONE, eps=0.5)  # where it counts instead of the variance, the slope is its own
    by_x, by_var = np.array([0.5, 2.0, 0.0]), [(1 / 2 - 1 / 4) / 2, (2 - 4) / 2, 2 / 2]
    yield Edge(loss, [x, target, var], kwargs, gradient=written(by_x, -by_x, by_var))
    yield Edge(loss, [x, target, exactly([np.nan, 1.0, 1.0])], NONE)
    rule = "var must be at least 0, got a negative one"
    yield Invalid([normal(3), normal(3), exactly([1.0, -1.0, 1.0])], ArgumentError, rule)
    yield Invalid([normal(3), normal(3), -1.0], ArgumentError, rule)
    for shape in ((3,), (1, 1), (2, 2), ()):
        rule = "var must have x's shape (2, 3), or lack its last axis or have length 1 on one"
        inputs = [normal(2, 3), normal(2, 3), positive(*shape)]
        yield Invalid(inputs, ShapeError, f"{rule}, got {shape}")
    yield Invalid([normal(3), normal(3), labels(2, 3)], DTypeError, "var must be floating")
    rule = "var must be a gpunet.Tensor, got str"
    yield Invalid([normal(3), normal(3), "1"], DTypeError, rule)
    rule = "the shapes of x, target must broadcast, got (3,) and (2,)"
    yield Invalid([normal(3), normal(2), 1.0], ShapeError, rule)
    inputs = [normal(3), normal(3), 1.0]
    yield Invalid(inputs, ArgumentError, NO_SUCH_REDUCTION, dict(reduction="max"))
    yield Invalid([labels(3, 3), normal(3), 1.0], DTypeError, "x must be floating, got int64")
