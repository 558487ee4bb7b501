"""Rows of a table, one after the other."""

import numpy as np

from gpunet.errors import ArgumentError, DTypeError, ShapeError
from tests.cases.case import Case, Edge, Invalid, exactly, labels, normal


def embedding():
    def formula(x, weight, **_):
        y = np.zeros((*x.shape, weight.shape[1]), weight.dtype)
        for place, row in np.ndenumerate(x):
            y[place] = weight[row]
        return y

    for index in [labels(7, 4), labels(7, 3, 5), labels(7, 40), exactly(3), labels(7, 2, 0)]:
        yield Case(formula, [index, normal(7, 5)])
    yield Case(formula, [labels(3, 300), normal(3, 33)])
    yield Case(formula, [labels(100, 9), normal(100, 1)])
    yield Case(formula, [exactly(np.array([1, 1], "int32")), normal(2, 3)])
    yield Case(formula, [labels(7, 4), normal(7, 0)])
    yield Case(formula, [exactly(np.zeros(0, int)), normal(0, 3)])
    yield Case(formula, [labels(4, 3), labels(9, 4, 2)])
    yield from _options(formula)
    x, weight = exactly([0, 1]), normal(3, 2)
    for got in (3, -1):
        rule = f"x must be in [0, num_embeddings) = [0, 3), got {got}"
        yield Invalid([exactly([0, got]), weight], ArgumentError, rule)
    yield Invalid([exactly([0, 3]), labels(9, 3, 2)], ArgumentError, "x must be in [0, 3), got 3")
    yield Invalid([exactly([0.0]), weight], DTypeError, "x must be int64 or int32, got float64")
    yield Invalid([exactly([True]), weight], DTypeError, "x must be int64 or int32, got bool")
    rule = "weight must have shape (num_embeddings, C), got (3,)"
    yield Invalid([x, normal(3)], ShapeError, rule)
    rule = "padding_idx must be in [-3, 3), got "
    for padding in (3, -4):
        yield Invalid([x, weight], ArgumentError, rule + str(padding), dict(padding_idx=padding))
    rule = "weight must be floating, got int64"
    yield Invalid([x, labels(9, 3, 2)], DTypeError, rule, dict(max_norm=1.0))


def _options(formula):
    """Options that change the gradient or the table itself: what differences cannot tell."""
    x = exactly([[2, 0, 2], [1, 2, 0]])
    count = np.array([2.0, 1.0, 3.0, 0.0])[:, None]
    for padding in (0, 2, -2):
        share = count * (np.arange(4) != padding % 4)[:, None]
        yield Edge(
            formula,
            [x, normal(4, 3)],
            dict(padding_idx=padding),
            gradient=lambda x, weight, share=share, **_: share + 0 * weight,
        )
    yield Edge(
        formula,
        [x, normal(4, 3)],
        dict(scale_grad_by_freq=True),
        gradient=lambda x, weight, **_: np.minimum(count, 1) + 0 * weight,
    )


def one_hot():
    def formula(x, num_classes=-1):
        n = x.max() + 1 if num_classes == -1 else num_classes
        return np.eye(n, dtype=int)[x]

    for x in (labels(5, 7), labels(3, 2, 4), exactly(2)):
        yield Case(formula, [x])
        yield Case(formula, [x, 6])
    yield Case(formula, [exactly(np.zeros((2, 0), int)), 3])
    rule = "x must be in [0, 2), got 3; x is (1,) int64 on cpu"
    yield Invalid([exactly([3]), 2], ArgumentError, rule)
    yield Invalid([exactly([-1])], ArgumentError, "x must be in [0, 0), got -1")
    yield Invalid([normal(2)], DTypeError, "x must be int64, got float64")
    rule = "num_classes must be given for no classes, got -1"
    yield Invalid([exactly(np.zeros(0, int))], ArgumentError, rule)
    for n in (0, -2):
        rule = f"num_classes must be at least 1, or -1, got {n}"
        yield Invalid([exactly([0]), n], ArgumentError, rule)
