"""Losses of regression and of densities.

Each takes `reduction`: "mean" (default), "sum" or "none", as in PyTorch. Where PyTorch warns of two
shapes that differ, because they broadcast to a result that is rarely meant, gpunet raises.
Losses of classification are in `classification`, those with a margin in `margin` and `metric`.
"""

from __future__ import annotations

import math
from typing import Any

from gpunet.autograd.op import apply
from gpunet.autograd.tensor import Tensor
from gpunet.backend import Array, Backend
from gpunet.errors import ArgumentError
from gpunet.functional.arithmetic import div, mul
from gpunet.functional.check import describe, floating, is_tensor, one_of, shape_error
from gpunet.functional.criterion import (
    REDUCTIONS,
    Loss,
    check_reduction,
    positive_number,
    real_operands,
    reduced,
    repeat_together,
    same_shape,
)
from gpunet.functional.precision import in_single
from gpunet.functional.promotion import promoted
from gpunet.functional.reduction import sum

# --- regression


class _OfDifference(Loss):
    """A loss of d = x − target, whose slopes in the two are opposite."""

    def losses(self, be: Backend, *operands: Array) -> Array:
        self.saved = x, target = tuple([be.contiguous(x) for x in operands])
        return self.fwd(be, x, target, False)

    def total(self, be: Backend, *operands: Array) -> Array:
        self.saved = x, target = tuple([be.contiguous(x) for x in operands])
        self.count = x.size or math.nan
        return self.fwd(be, x, target, True)

    def gradient(self, be: Backend, g: Array, i: int) -> Array:
        return self.bwd(be, g if i == 0 else -g, *self.saved)

    def fwd(self, be: Backend, x: Array, target: Array, total: bool) -> Array:
        """The losses, or their sum."""
        raise NotImplementedError

    def bwd(self, be: Backend, g: Array, x: Array, target: Array) -> Array:
        """g times the slope of the loss in d."""
        raise NotImplementedError


class MSE(_OfDifference):
    def fwd(self, be: Backend, x: Array, target: Array, total: bool) -> Array:
        return be.difference.mse_fwd(x, target, total=total)

    def bwd(self, be: Backend, g: Array, x: Array, target: Array) -> Array:
        return be.difference.mse_bwd(g, x, target)


@in_single
def mse_loss(
    x: Tensor, target: Tensor, reduction: str = "mean", weight: Tensor | None = None
) -> Tensor:
    """(x − target)², the loss of regression.

    Half the sum of squares, ½ Σ (x − target)², which textbooks differentiate, is
    `0.5 * mse_loss(x, target, reduction="sum")`: its gradient is x − target.
    Shapes: x, target and weight the same, any; the result () or, with reduction="none", theirs.
    Dtypes: floating; target and weight any, they meet as in x − target.
    Args:
        weight: of each element; "mean" then divides by the sum of the weights.

    >>> import gpunet
    >>> y, t = gpunet.tensor([0.9, 0.3]), gpunet.tensor([1.0, 0.0])
    >>> 0.5 * gpunet.functional.mse_loss(y, t, reduction="sum")
    tensor(0.05, dtype=float32)
    """
    return _weighted("mse_loss", MSE, x, target, reduction, weight)


class L1(_OfDifference):
    def fwd(self, be: Backend, x: Array, target: Array, total: bool) -> Array:
        return be.difference.l1_fwd(x, target, total=total)

    def bwd(self, be: Backend, g: Array, x: Array, target: Array) -> Array:
        return be.difference.l1_bwd(g, x, target)


@in_single
def l1_loss(
    x: Tensor, target: Tensor, reduction: str = "mean", weight: Tensor | None = None
) -> Tensor:
    """|x − target|, which outliers move less than squares; its gradient at 0 is 0.

    Shapes: x, target and weight the same, any; the result () or, with reduction="none", theirs.
    Dtypes: floating; target and weight any, they meet as in x − target.
    Args:
        weight: of each element; "mean" then divides by the sum of the weights.
    """
    return _weighted("l1_loss", L1, x, target, reduction, weight)


class Huber(_OfDifference):
    """Divided by `divisor`, as `smooth_l1_loss` is."""

    def __init__(self, delta: float, reduction: str, divisor: float = 1.0):
        super().__init__(reduction)
        self.delta, self.divisor = delta, divisor

    def fwd(self, be: Backend, x: Array, target: Array, total: bool) -> Array:
        return be.difference.huber_fwd(x, target, self.delta, self.divisor, total=total)

    def bwd(self, be: Backend, g: Array, x: Array, target: Array) -> Array:
        return be.difference.huber_bwd(g / self.divisor, x, target, self.delta)


@in_single
def smooth_l1_loss(x: Tensor, target: Tensor, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """d² / (2 beta) where |d| < beta, else |d| − beta / 2; d = x − target.

    Shapes: x and target the same, any; the result () or, with reduction="none", theirs.
    Dtypes: floating; target any, they meet as in x − target.
    Args:
        beta: at least 0, where the parabola ends; with 0 it is `l1_loss`.
    Source: Girshick, arXiv:1504.08083, eq. 3 (there beta = 1).
    """
    operation = "smooth_l1_loss"
    check_reduction(operation, reduction)
    if not beta >= 0:
        raise ArgumentError(operation, f"beta must be at least 0, got {beta}")
    x, target = real_operands(operation, x, target)
    same_shape(operation, x, target=target)
    return apply(Huber(beta, reduction, beta) if beta else L1(reduction), x, target)


@in_single
def huber_loss(
    x: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """d² / 2 where |d| < delta, else delta · (|d| − delta / 2); d = x − target.

    Shapes: x, target and weight the same, any; the result () or, with reduction="none", theirs.
    Dtypes: floating; target and weight any, they meet as in x − target.
    Args:
        delta: above 0, where the parabola ends.
        weight: of each element; "mean" divides by the number of elements all the same.
    Source: Huber, Ann. Math. Statist. 35, 1964.
    """
    operation = "huber_loss"
    check_reduction(operation, reduction)
    positive_number(operation, "delta", delta)
    x, target = real_operands(operation, x, target)
    same_shape(operation, x, target=target)
    if weight is None:
        return apply(Huber(delta, reduction), x, target)
    same_shape(operation, x, weight=weight)
    return reduced(mul(apply(Huber(delta, "none"), x, target), weight), reduction)


def _weighted(
    operation: str, loss: type[Loss], x: Any, target: Any, reduction: str, weight: Any
) -> Tensor:
    """A loss whose mean is weighted, if there are weights."""
    check_reduction(operation, reduction)
    x, target = real_operands(operation, x, target)
    same_shape(operation, x, target=target)
    if weight is None:
        return apply(loss(reduction), x, target)
    same_shape(operation, x, weight=weight)
    losses = mul(apply(loss("none"), x, target), weight)
    if reduction == "none":
        return losses
    return sum(losses) if reduction == "sum" else div(sum(losses), sum(weight))


# --- densities


class KLDiv(Loss):
    """target · (log target − x), which is 0 where the target is 0."""

    def losses(self, be: Backend, x: Array, target: Array) -> Array:
        xp = be.xp
        self.saved = x, target
        log = xp.log(xp.where(xp.equal(target, 0), 1, target))
        return xp.subtract(xp.multiply(target, log), xp.multiply(target, x))

    def gradient(self, be: Backend, g: Array, i: int) -> Array:
        xp = be.xp
        x, target = self.saved
        if i == 0:
            return xp.multiply(target, -g)
        log = xp.log(xp.where(xp.equal(target, 0), 1, target))
        return xp.multiply(log + target / target - x, g)  # NaN where the target is 0


class KLDivLog(Loss):
    """e^target · (target − x)."""

    def losses(self, be: Backend, x: Array, target: Array) -> Array:
        p, difference = self.saved = be.xp.exp(target), be.xp.subtract(target, x)
        return be.xp.multiply(p, difference)

    def gradient(self, be: Backend, g: Array, i: int) -> Array:
        p, difference = self.saved
        return be.xp.multiply(p, -g) if i == 0 else be.xp.multiply(p * difference + p, g)


@in_single
def kl_div(x: Tensor, target: Tensor, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """target · (log target − x): how far the density e^x is from `target`.

    Shapes: x and target broadcast; the result () or, with reduction="none", their common shape.
    Dtypes: floating.
    Args:
        x: logarithms of probabilities. target: probabilities.
        reduction: "batchmean" is the divergence itself, the sum divided by the length of x's first
            axis; "mean" divides by the number of elements.
        log_target: the target holds logarithms, too.
    The gradient with respect to a target of 0 is NaN, as in PyTorch (its limit is −∞).
    Source: Kullback & Leibler, Ann. Math. Statist. 22, 1951.

    >>> import gpunet
    >>> p, q = gpunet.tensor([[0.5, 0.5]]), gpunet.tensor([[0.25, 0.75]])
    >>> print(f"{gpunet.functional.kl_div(q.log(), p, reduction='batchmean').item():.4f}")
    0.1438
    """
    one_of("kl_div", "reduction", reduction, (*REDUCTIONS, "batchmean"))
    floating("kl_div", "x", x)
    floating("kl_div", "target", target)
    x, target = promoted(x, target)
    repeat_together("kl_div", x=x, target=target)
    loss = KLDivLog if log_target else KLDiv
    if reduction != "batchmean":
        return apply(loss(reduction), x, target)
    total = apply(loss("sum"), x, target)
    return div(total, x.shape[0] or math.nan) if x.ndim else total


class PoissonNLL(Loss):
    def __init__(self, log_input: bool, full: bool, eps: float, reduction: str):
        super().__init__(reduction)
        self.log_input, self.full, self.eps = log_input, full, eps

    def losses(self, be: Backend, x: Array, target: Array) -> Array:
        xp = be.xp
        if self.log_input:
            rate, log_rate = xp.exp(x), x
        else:
            rate, log_rate = x, xp.log(x + self.eps)
        self.saved = rate, log_rate, target
        losses = xp.subtract(rate, xp.multiply(target, log_rate))
        if self.full:
            many = xp.maximum(target, 1)
            log_factorial = many * xp.log(many) - many + 0.5 * xp.log(many * (2 * math.pi))
            losses += xp.where(xp.greater(target, 1), log_factorial, 0)
        return losses

    def gradient(self, be: Backend, g: Array, i: int) -> Array:
        xp = be.xp
        rate, log_rate, target = self.saved
        if i == 0:
            slope = rate - target if self.log_input else 1 - target / (rate + self.eps)
        else:
            slope = xp.negative(log_rate)
            if self.full:
                many = xp.maximum(target, 1)
                slope = slope + xp.where(xp.greater(target, 1), xp.log(many) + 0.5 / many, 0)
        return xp.multiply(slope, g)


@in_single
def poisson_nll_loss(
    x: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> Tensor:
    """λ − target · log λ, λ = e^x: the loss of counts with a Poisson distribution of mean λ.

    Shapes: x and target broadcast; the result () or, with reduction="none", their common shape.
    Dtypes: floating; target any, they meet as in x − target.
    Args:
        log_input: x is log λ; if false it is λ, and the logarithm is that of x + eps.
        full: adds log target!, by Stirling's formula and where the target is above 1.
        eps: keeps the logarithm of 0 finite.
    Differs from PyTorch: with `full` a target of 0 has gradient 0, there NaN, and the logarithm of
    a whole target is taken in the dtype of the loss, there in float32.
    """
    check_reduction("poisson_nll_loss", reduction)
    x, target = real_operands("poisson_nll_loss", x, target)
    repeat_together("poisson_nll_loss", x=x, target=target)
    return apply(PoissonNLL(log_input, full, eps, reduction), x, target)


class GaussianNLL(Loss):
    def __init__(self, full: bool, eps: float, reduction: str):
        super().__init__(reduction)
        self.full, self.eps = full, eps

    def losses(self, be: Backend, x: Array, target: Array, var: Array) -> Array:
        xp = be.xp
        var, d = self.saved = xp.maximum(var, self.eps), xp.subtract(x, target)
        losses = 0.5 * (xp.log(var) + d * d / var)
        return losses + 0.5 * math.log(2 * math.pi) if self.full else losses

    def gradient(self, be: Backend, g: Array, i: int) -> Array:
        var, d = self.saved
        scaled = be.xp.divide(d, var)
        if i == 2:  # also where var was below eps: the bound is no part of the function
            return be.xp.multiply(0.5 / var - 0.5 * scaled * scaled, g)
        return be.xp.multiply(scaled, g if i == 0 else -g)


@in_single
def gaussian_nll_loss(
    x: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """½ (log var + (x − target)² / var): the loss of a normal distribution of mean x.

    Shapes: x and target broadcast; var x's shape, or without its last axis, or with length 1 on one
    axis; the result () or, with reduction="none", the common shape.
    Dtypes: floating; target any, they meet as in x − target.
    Args:
        var: variance, at least 0; a number is that of all.
        full: adds the constant ½ log 2π.
        eps: a smaller variance counts as this; its gradient passes all the same.
    Raises:
        ArgumentError: a variance is negative.
    Source: Nix & Weigend, ICNN 1994.
    """
    operation = "gaussian_nll_loss"
    check_reduction(operation, reduction)
    x, target = real_operands(operation, x, target)
    repeat_together(operation, x=x, target=target)
    if isinstance(var, Tensor):
        var = _aligned(operation, x, var)
    elif isinstance(var, float | int):
        var = Tensor(x.backend.full((), var, x.dtype), x.backend)
    else:
        is_tensor(operation, "var", var)
    if (var.array < 0).any():
        raise ArgumentError(operation, "var must be at least 0, got a negative one", describe(x=x))
    return apply(GaussianNLL(full, eps, reduction), *promoted(x, target, var))


def _aligned(operation: str, x: Tensor, var: Tensor) -> Tensor:
    """The variances with as many axes as x."""
    floating(operation, "var", var)
    if var.shape == x.shape:
        return var
    if var.shape == x.shape[:-1]:
        return var.reshape(*var.shape, 1)
    differing = [(n, m) for n, m in zip(x.shape, var.shape, strict=False) if n != m]
    if x.ndim != var.ndim or len(differing) != 1 or differing[0][1] != 1:
        rule = f"var must have x's shape {x.shape}, or lack its last axis or have length 1 on one"
        shape_error(operation, f"{rule}, got {var.shape}", x=x)
    return var
