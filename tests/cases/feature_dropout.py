"""Dropout of channels, and the one that keeps moments: masks from the oracle of dropout's."""

import numpy as np

from gpunet.errors import ArgumentError, ShapeError
from tests.cases.case import SEED, Case, Invalid, normal
from tests.cases.dropout import OTHERS, mask

ALPHA = 1.6732632423543772  # of SELU: Klambauer et al., appendix
LAMBDA = 1.0507009873554805


def _kept(x, p, leading):
    """Which channels stay, the last of so many leading axes."""
    shape = x.shape[:leading]
    kept = mask(int(np.prod(shape)), p, SEED, call=1)
    return kept.reshape((*shape, *[1] * (x.ndim - leading)))


def _channels(leading):
    def formula(x, p=0.5, training=True, inplace=False):
        if not training or p == 0:
            return x
        return np.where(_kept(x, p, leading(x)), x / (1 - p), 0) if p < 1 else 0 * x

    return formula


def _channel_rows(formula, shapes):
    for shape in shapes:
        yield Case(formula, [normal(*shape)], unlike_torch=OTHERS)
    for p in (0.0, 0.25, 1.0):
        kwargs = dict(p=p)
        yield Case(formula, [normal(*shapes[0])], kwargs, unlike_torch=OTHERS * (0 < p < 1))
    yield Case(formula, [normal(*shapes[0])], dict(training=False))
    yield Invalid([normal(*shapes[0]), 1.5], ArgumentError, "p must be in [0, 1], got 1.5")


def dropout1d():
    formula = _channels(lambda x: x.ndim - 1)
    yield from _channel_rows(formula, [(3, 4, 5), (7, 3), (0, 2, 3)])
    yield Invalid([normal(3)], ShapeError, "x must have 2 or 3 axes, got shape (3,)")


def dropout2d():
    yield from _channel_rows(_channels(lambda x: 2), [(3, 4, 2, 3), (4, 5, 3)])
    yield Invalid([normal(2, 3)], ShapeError, "x must have 3 or 4 axes, got shape (2, 3)")


def dropout3d():
    formula = _channels(lambda x: x.ndim - 3)
    yield from _channel_rows(formula, [(3, 4, 2, 3, 1), (7, 2, 1, 2)])
    yield Invalid([normal(2, 3)], ShapeError, "x must have 4 or 5 axes, got shape (2, 3)")


def _keeping_moments(leading):
    def formula(x, p=0.5, training=False, inplace=False):
        if not training or p == 0:
            return x
        if p == 1:
            return 0 * x
        lowest = -LAMBDA * ALPHA
        scale = (1 - p + lowest**2 * p * (1 - p)) ** -0.5
        y = np.where(_kept(x, p, leading(x)), x, x.dtype.type(lowest))
        return x.dtype.type(scale) * y - x.dtype.type(scale * p * lowest)

    return formula


def _moment_rows(formula):
    for p in (0.0, 0.25, 0.5, 1.0):
        kwargs = dict(p=p, training=True)
        yield Case(formula, [normal(4, 5, 3)], kwargs, unlike_torch=OTHERS * (0 < p < 1))
    yield Case(formula, [normal(4, 5)])
    yield Invalid([normal(4, 5), -0.5], ArgumentError, "p must be in [0, 1], got -0.5")


def alpha_dropout():
    formula = _keeping_moments(lambda x: x.ndim)
    yield from _moment_rows(formula)
    yield Case(formula, [normal()], dict(training=True), unlike_torch=OTHERS)


def feature_alpha_dropout():
    yield from _moment_rows(_keeping_moments(lambda x: 2))
    rule = "x must have shape (N, C, ...), got (3,)"
    yield Invalid([normal(3)], ShapeError, rule, dict(training=True))
