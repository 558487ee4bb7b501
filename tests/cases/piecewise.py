"""Activation functions made of straight lines; every kink with the gradient it has in PyTorch."""

import numpy as np

from gpunet.errors import ArgumentError, DTypeError
from tests.cases.activation import INFINITE, _pointwise
from tests.cases.case import Case, Edge, Invalid, constant, exactly, labels, normal

BETWEEN = exactly([-2.9, -2.5, -1.2, -0.7, -0.3, 0.2, 0.6, 0.8, 1.3, 2.5, 2.9])  # no kink here


def step():
    def formula(x):
        return np.where(x > 0, 1, 0).astype(x.dtype)

    for shape in [(), (1,), (31,), (33,), (2, 3, 5), (0,), (130, 127)]:
        yield Case(formula, [constant(normal(*shape))])  # no gradient is asked for: it is 0
        yield Edge(formula, [normal(*shape)], gradient=np.zeros_like)
    yield Edge(formula, [exactly([-0.0, 0.0, 1e-30])], gradient=np.zeros_like)
    yield Edge(formula, [exactly([-np.inf, np.inf, np.nan])], gradient=np.zeros_like)
    yield Invalid([labels(9, 3)], DTypeError, "x must be floating, got int64")


def threshold():
    def formula(x, threshold, value):
        return np.where(x <= threshold, np.array(value, x.dtype), x)

    yield from _pointwise(formula, (0, 1), 0.05, -7.0)
    yield Case(formula, [BETWEEN], dict(threshold=1.0, value=20.0))
    kink = exactly([0.9, 1.0, 1.1])
    yield Edge(formula, [kink, 1.0, 2.0], gradient=lambda *_: [0, 0, 1])
    yield Edge(formula, [INFINITE, 1.0, 2.0], gradient=lambda *_: [0, 1])


def hardtanh():
    def formula(x, min_val=-1.0, max_val=1.0):
        return np.clip(x, min_val, max_val)

    yield from _pointwise(formula, slopes=(0, 0))
    yield Case(formula, [BETWEEN], dict(min_val=-1.5, max_val=0.5))
    kinks = exactly([-1.0, -0.5, 0.0, 1.0])
    yield Edge(formula, [kinks], gradient=lambda x: [0, 1, 1, 0])
    yield Edge(formula, [kinks, 0.0, 0.0], gradient=lambda *_: [0, 0, 0, 0])
    yield Edge(formula, [INFINITE], gradient=lambda x: [0, 0])
    rule = "min_val must be at most max_val, got 1.0 and -1.0"
    yield Invalid([normal(3), 1.0, -1.0], ArgumentError, rule)


def relu6():
    def formula(x):
        return np.clip(x, 0, 6)

    yield from _pointwise(formula, slopes=(0, 0))
    yield Edge(formula, [exactly([-0.0, 0.0, 0.1, 6.0])], gradient=lambda x: [0, 0, 1, 0])
    yield Edge(formula, [INFINITE], gradient=lambda x: [0, 0])


def hardsigmoid():
    def formula(x):
        return np.clip(x + 3, 0, 6) / 6

    yield from _pointwise(formula, slopes=(0, 0))
    yield Case(formula, [BETWEEN])
    short = "its gradient is float32's 1/6, whatever the dtype"
    yield Edge(
        formula,
        [exactly([-3.0, 0.0, 3.0])],
        gradient=lambda x: [0, 1 / 6, 0],
        unlike_torch=short,
    )
    yield Edge(formula, [INFINITE], gradient=lambda x: [0, 0])


def hardswish():
    def formula(x):
        return x * (np.clip(x + 3, 0, 6) / 6)

    yield from _pointwise(formula, slopes=(0, 1), unlike="it multiplies by 6 first, beyond float32")
    yield Case(formula, [BETWEEN])
    yield Edge(formula, [exactly([-3.0, 0.0, 3.0])], gradient=lambda x: [0, 1 / 2, 1])


def softshrink():
    def formula(x, lambd=0.5):
        return np.sign(x) * np.maximum(np.abs(x) - lambd, 0)

    yield from _pointwise(formula, slopes=(1, 1))
    for lambd in (0.0, 1.0):
        yield Case(formula, [BETWEEN], dict(lambd=lambd))
    kinks = exactly([-0.6, -0.5, 0.0, 0.5, 0.6])
    yield Edge(formula, [kinks], gradient=lambda x: [1, 0, 0, 0, 1])
    yield Edge(formula, [exactly([-0.0, 0.0]), 0.0], gradient=lambda x, lambd: [0, 0])
    yield Edge(formula, [INFINITE], gradient=lambda x: [1, 1])
    rule = "lambd must be at least 0, got -0.5"
    yield Invalid([normal(3), -0.5], ArgumentError, rule)


def hardshrink():
    def formula(x, lambd=0.5):
        return np.where(np.abs(x) <= lambd, 0, x).astype(x.dtype)

    yield from _pointwise(formula, slopes=(1, 1))
    for lambd in (0.0, 1.0, -1.0):
        yield Case(formula, [BETWEEN], dict(lambd=lambd))
    kinks = exactly([-0.6, -0.5, 0.0, 0.5, 0.6])
    yield Edge(formula, [kinks], gradient=lambda x: [1, 0, 0, 0, 1])
    yield Edge(formula, [exactly([-0.0, 0.0]), 0.0], gradient=lambda x, lambd: [0, 0])
    yield Edge(formula, [INFINITE], gradient=lambda x: [1, 1])
