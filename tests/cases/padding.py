"""Borders: where each position of the result comes from, one by one."""

import numpy as np

from gpunet.errors import ArgumentError, DTypeError, ShapeError
from tests.cases.case import Case, Edge, Invalid, exactly, labels, normal


def _position(p, n, before, behind, mode):
    """What stands at p, counted from the old beginning; None outside of x."""
    if mode == "constant":
        return p if 0 <= p < n else None
    if mode == "replicate":
        return min(max(p, 0), n - 1)
    if mode == "reflect":
        while not 0 <= p < n:
            p = -p if p < 0 else 2 * (n - 1) - p
        return p
    first, stop = max(0, -before), n + min(0, behind)
    while not first <= p < stop:
        p += (stop - first) * (1 if p < first else -1)
    return p


def _formula(x, pad, mode="constant", value=None):
    pairs = [(0, 0)] * (x.ndim - len(pad) // 2)
    pairs += [(pad[i], pad[i + 1]) for i in range(len(pad) - 2, -1, -2)]
    y = np.full([n + a + b for n, (a, b) in zip(x.shape, pairs, strict=True)], value or 0, x.dtype)
    for index in np.ndindex(y.shape):
        source = [
            _position(i - a, n, a, b, mode)
            for i, n, (a, b) in zip(index, x.shape, pairs, strict=True)
        ]
        if None not in source:
            y[index] = x[tuple(source)]
    return y


def pad():
    for numbers in [(1, 2), (0, 3), (-1, 2), (-2, -3), (1, 0, 2, 3), (-1, 1, 2, -2), (), (0, 0)]:
        yield Case(_formula, [normal(4, 5), numbers])
    yield Case(_formula, [normal(4, 5), (1, 2)], dict(value=2.5))
    yield Case(_formula, [normal(2, 3, 2), (1, 0, 0, 1, 2, 0), "constant", -1.0])
    yield Case(_formula, [normal(0, 3), (1, 1, 2, 1)])
    yield Case(_formula, [normal(), ()])
    yield Case(_formula, [labels(9, 4), (1, 1)], dict(value=2.5))
    yield Case(_formula, [exactly([True, False]), (1, 1)], dict(value=1))
    yield Edge(_formula, [normal(2), (1, 1)], dict(value=float("-inf")))
    for mode in ("reflect", "replicate", "circular"):
        for numbers in [(1, 2), (2, 0), (-1, 2), (0, -2), (2, -1), (4, 0), (-3, 1)]:
            if mode != "circular" or numbers != (-3, 1):
                yield Case(_formula, [normal(4, 5), numbers, mode])
        yield Case(_formula, [normal(2, 3, 4), (1, 2), mode])
        yield Case(_formula, [normal(2, 3, 4), (1, 2, 2, 1), mode])
        yield Case(_formula, [normal(1, 2, 3, 2), (1, 0, 1, 2, 0, 1), mode])
        yield Case(_formula, [normal(0, 2, 3), (1, 1), mode])
        yield Case(_formula, [labels(9, 2, 3), (1, 1), mode])
    yield Case(_formula, [normal(2, 3), (7, 5), "replicate"])
    yield Case(_formula, [normal(2, 3), (3, 3), "circular"])
    yield Case(_formula, [normal(2, 3), (1, 1), "reflect", 0.0])
    x = normal(2, 3)
    yield Invalid([x, (1,)], ShapeError, "pad must be pairs for at most 2 axes, got 1 numbers")
    yield Invalid([x, (1,) * 6], ShapeError, "pad must be pairs for at most 2 axes, got 6 numbers")
    for numbers in [(-2, -2), (-4, 2), (4, -5)]:
        rule = f"pad must leave a length of at least 0, got {numbers}; x is (2, 3)"
        yield Invalid([x, numbers], ShapeError, rule)
    yield Invalid([x, (1.0, 1)], DTypeError, "pad must be integers, got (1.0, 1)")
    rule = "mode must be one of 'constant', 'reflect', 'replicate', 'circular', got 'mirror'"
    yield Invalid([x, (1, 1), "mirror"], ArgumentError, rule)
    yield Invalid(
        [x, (1, 1), "reflect", 1.0], ArgumentError, "value must be None in mode 'reflect'"
    )
    rule = "pad must have 2 numbers for 2 or 3 axes, 4 for 3 or 4, 6 for 4 or 5, got "
    for inputs, numbers in [(x, (1, 1, 1, 1)), (normal(3), (1, 1)), (x, ())]:
        yield Invalid([inputs, numbers, "circular"], ShapeError, rule + str(len(numbers)))
    rule = "x must not be empty but for a first axis of samples"
    yield Invalid([normal(2, 0), (1, 1), "replicate"], ShapeError, rule)
    for mode, most, numbers in [
        ("reflect", 2, (3, 1)),
        ("circular", 3, (4, 1)),
        ("circular", 1, (2, -2)),
        ("replicate", -1, (-1, -2)),
    ]:
        rule = f"mode {mode!r} allows, {most}, got {numbers[0]} and {numbers[1]}; x is (2, 3)"
        yield Invalid([x, numbers, mode], ShapeError, rule)
    rule = "value must fit into uint8, got 300"
    yield Invalid([exactly(np.zeros(2, "uint8")), (1, 1), "constant", 300], ArgumentError, rule)
