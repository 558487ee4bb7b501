"""Elementwise arithmetic: Python's operators on NumPy arrays; gradients are what is in doubt."""

import operator

import numpy as np

from gpunet.errors import ArgumentError, DTypeError, ShapeError
from tests.cases import case
from tests.cases.case import (
    Case,
    Edge,
    Invalid,
    away_from_zero,
    constant,
    exactly,
    normal,
)
from tests.cases.grid import pairs, pointwise

BOOLS = exactly([True, False])
BYTES = exactly(np.array([3, 200], "uint8"))
WHOLE = [exactly([[-7], [7]]), exactly([-3, -2, 2, 3])]


def _scaled(sign):
    def formula(x, y, alpha=1):
        return x + sign * y * alpha

    yield from pairs(formula)
    for alpha in (2, -0.5, 0):
        yield Case(formula, [normal(2, 3), normal(3)], dict(alpha=alpha))
        yield Case(formula, [normal(31), 1.5], dict(alpha=alpha))
    yield Case(formula, [*WHOLE], dict(alpha=3))
    message = "alpha must be whole for integers, got 0.5"
    yield Invalid([*WHOLE], ArgumentError, message, dict(alpha=0.5))
    message = "alpha must be a gpunet.Tensor or a number, got str"
    yield Invalid([normal(3), normal(3)], DTypeError, message, dict(alpha="2"))


def add():
    yield from _scaled(1)
    yield Case(operator.or_, [BOOLS, BOOLS])
    yield Case(lambda x, y: np.array([47, 244], "uint8"), [BYTES, 300])  # integers wrap around


def sub():
    yield from _scaled(-1)
    yield Case(lambda x, y, alpha: np.array([253, 56], "uint8"), [BYTES, BYTES], dict(alpha=2))
    yield Invalid([BOOLS, BOOLS], DTypeError, "x or other must be numeric, got bool")


def mul():
    yield from pairs(operator.mul)
    yield Case(operator.and_, [BOOLS, BOOLS])
    yield Case(lambda x, y: np.array([253, 56], "uint8"), [BYTES, -1])
    yield Edge(
        operator.mul,
        [exactly([0.0, np.inf]), exactly([np.inf, 0.0])],
        gradient=lambda x, y: ([np.inf, 0], [0, np.inf]),
    )


def _toward_zero(x):
    return np.where(x < 0, np.ceil(x), np.floor(x)).astype(x.dtype)


def _quotient(x, y, rounding_mode=None):
    if rounding_mode == "floor":
        return x // y
    if rounding_mode == "trunc":
        q = np.asarray(_toward_zero(x / y))
        return q if "f" in (np.result_type(x).kind, np.result_type(y).kind) else q.astype(int)
    return x / y


def div():
    yield from pairs(_quotient, y=away_from_zero)
    yield Edge(
        _quotient,
        [exactly([1.0, -1.0, 0.0, 1.0]), exactly([0.0, 0.0, 0.0, np.inf])],
        gradient=lambda x, y: ([np.inf] * 3 + [0], [-np.inf, np.inf, np.nan, 0]),
    )
    for mode in ("trunc", "floor"):
        kwargs = dict(rounding_mode=mode)
        for x, y in ((normal(31), away_from_zero(31)), (normal(2, 3), away_from_zero(3))):
            yield Case(_quotient, [constant(x), constant(y)], kwargs)
            zeros = lambda x, y, **_: (np.zeros_like(x), np.zeros_like(y))  # noqa: E731
            yield Edge(_quotient, [x, y], kwargs, gradient=zeros)
        yield Case(_quotient, [*WHOLE], kwargs)
        yield Case(_quotient, [constant(normal(31)), 0.7], kwargs)
        yield Edge(_quotient, [exactly([1.0, -1.0]), 0], kwargs)
        message = "other must not hold 0 among integers, got a 0"
        yield Invalid([exactly([1, 2]), exactly([1, 0])], ArgumentError, message, kwargs)
    message = "rounding_mode must be one of None, 'trunc', 'floor', got 'up'"
    yield Invalid([normal(3), normal(3)], ArgumentError, message, dict(rounding_mode="up"))


def _whole_results(formula):
    yield Case(formula, [*WHOLE])
    yield Case(formula, [exactly([-7, 7]), 3])
    message = "other must not hold 0 among integers, got a 0"
    yield Invalid([exactly([1, 2]), exactly([1, 0])], ArgumentError, message)
    yield Invalid([exactly([1, 2]), 0], ArgumentError, message)
    yield Invalid([BOOLS, BOOLS], DTypeError, "x or other must be numeric, got bool")


def floor_divide():
    formula = operator.floordiv
    yield from pairs(formula, _constant_normal, _constant_divisor)
    yield from _whole_results(formula)
    yield Edge(
        formula,
        [normal(31), away_from_zero(31)],
        gradient=lambda x, y: (np.zeros_like(x), np.zeros_like(y)),
        unlike_torch="it has no gradient there, although its div(rounding_mode='floor') has",
    )


def _constant_normal(*shape):
    return constant(normal(*shape))


def _constant_divisor(*shape):
    return constant(away_from_zero(*shape))


def remainder():
    none = "it has no gradient by the divisor of a number"
    yield from pairs(operator.mod, y=case.positive, first=none)
    yield from _whole_results(operator.mod)
    yield Edge(
        operator.mod,
        [exactly([5.0, -5.0, 3.0]), exactly([np.inf, 3.0, -2.0])],
        gradient=lambda x, y: (np.ones(3), [0, 2, 2]),
    )


def _c_remainder(x, y):
    return x - y * _quotient(x, y, "trunc")


def fmod():
    yield from pairs(_c_remainder, y=case.positive, first="it wants a tensor first")
    yield from _whole_results(_c_remainder)
    yield Edge(
        np.fmod,
        [exactly([5.0, -5.0, 3.0, 1.0]), exactly([np.inf, 3.0, -2.0, np.nan])],
        gradient=lambda x, y: (np.ones(4), [0, 1, 1, np.nan]),
    )


def neg():
    yield from pointwise(lambda x: 0 - x)
    yield Invalid([BOOLS], DTypeError, "x must be numeric, got bool; x is (2,) bool on cpu")


def positive():
    for shape in ((), (31,), (2, 3)):
        yield Case(lambda x: x, [constant(normal(*shape))])
    yield Case(lambda x: x, [exactly([1, 2])])
    yield Invalid([BOOLS], DTypeError, "x must be numeric, got bool; x is (2,) bool on cpu")


def abs_():
    def formula(x):
        return np.where(x < 0, -x, x)

    yield from pointwise(formula, away_from_zero, integers=(-3, 0, 2))
    far = exactly([-np.inf, -0.0, 0.0, np.nan])
    yield Edge(formula, [far], gradient=lambda x: [-1, 0, 0, 0])
    yield Invalid([BOOLS], DTypeError, "x must be numeric, got bool; x is (2,) bool on cpu")


def lerp():
    def formula(x, end, weight):
        return (1 - weight) * x + weight * end

    for weight in (normal(31), normal(1), 0.25, 1, -2.0):
        yield Case(formula, [normal(31), normal(31), weight])
    yield Case(formula, [normal(2, 1), normal(3), normal(2, 3)])
    yield Case(formula, [normal(), normal(), normal()])
    yield Case(formula, [normal(0, 3), normal(3), 0.5])
    # At weight 1 the end, to the last bit.
    yield Case(lambda x, end, weight: end + 0 * x, [exactly([2e3]), exactly([0.1]), 1])
    yield Invalid(
        [normal(2), normal(2), "1"], DTypeError, "weight must be a gpunet.Tensor or a num"
    )
    yield Invalid([normal(2), exactly([1, 2]), 0.5], DTypeError, "end must be floating, got int64")


def _three(formula, third=normal):
    for value in (1, -2, 0.5, 0):
        yield Case(formula, [normal(31), normal(31), third(31)], dict(value=value))
    yield Case(formula, [normal(2, 1), normal(3), third(2, 3)])
    yield Case(formula, [normal(), normal(), third()])
    yield Case(formula, [normal(0, 3), normal(3), third(1)])
    yield Case(formula, [normal(3), exactly([1, 2, 3]), third(3)])
    rule = "shapes must broadcast, got (2,) and (3,) and (2,)"
    yield Invalid([normal(2), normal(3), third(2)], ShapeError, rule)
    yield Invalid([normal(2), 1.0, third(2)], DTypeError, "tensor1 must be a gpunet.Tensor, got f")


def addcmul():
    def formula(x, first, second, value=1):
        return x + value * first * second

    yield from _three(formula)
    yield Case(formula, [exactly([1, 2]), exactly([3, 4]), exactly([5, 6])], dict(value=2))
    message = "value must be whole for integers, got 0.5"
    whole = [exactly([1, 2])] * 3
    yield Invalid(whole, ArgumentError, message, dict(value=0.5))


def addcdiv():
    def formula(x, first, second, value=1):
        return x + value * first / second

    yield from _three(formula, away_from_zero)
    message = "tensor1 or tensor2 must be floating, got int64; x is (2,) int64 on cpu"
    yield Invalid([exactly([1, 2])] * 3, DTypeError, message)
