"""Pooling: the elements of each window, picked out one by one."""

import itertools
import math

import numpy as np

from gpunet.errors import ArgumentError, DTypeError, ShapeError
from tests.cases.case import Case, Edge, Invalid, away_from_zero, exactly, labels, normal, positive

INF, NAN = math.inf, math.nan


def _each(value, axes):
    return tuple(value) if isinstance(value, tuple) else (value,) * axes


def _windows(x, axes, kernel, stride=None, padding=0, dilation=1, ceil_mode=False):
    """For each window: its place in the result, its elements, and how many the padding would add.

    Elements are positions along each of the last axes. Windows that stick out of the padding are
    cut off there.
    """
    sizes, along = x.shape[-axes:], []
    k, p, d = (_each(v, axes) for v in (kernel, padding, dilation))
    s = k if stride is None else _each(stride, axes)
    for i, n in enumerate(sizes):
        steps = (n + 2 * p[i] - d[i] * (k[i] - 1) - 1) / s[i]
        count = (math.ceil(steps) if ceil_mode else math.floor(steps)) + 1
        if ceil_mode and (count - 1) * s[i] >= n + p[i]:
            count -= 1
        firsts = [o * s[i] - p[i] for o in range(count)]
        reach = [[f + j * d[i] for j in range(k[i])] for f in firsts]
        along.append([[q for q in taps if q < n + p[i]] for taps in reach])
    for place in itertools.product(*(range(len(a)) for a in along)):
        taps = [a[o] for a, o in zip(along, place, strict=True)]
        padded = math.prod(len(t) for t in taps)
        yield (
            place,
            [[q for q in t if 0 <= q < n] for t, n in zip(taps, sizes, strict=True)],
            padded,
        )


def largest(x, found, sizes):
    """The largest elements of windows, and where they are in their planes; of ties the first."""
    places = list(found)
    counts = tuple(np.max([place for place, *_ in places], axis=0) + 1)
    lead = x.shape[: -len(sizes)]
    y, index = np.empty((*lead, *counts), x.dtype), np.empty((*lead, *counts), "int64")
    for place, elements, *_ in places:
        for sample in np.ndindex(lead):
            best = None
            for at in itertools.product(*elements):
                value = x[(*sample, *at)]
                if best is None or value > x[(*sample, *best)] or math.isnan(value):
                    best = at
            y[(*sample, *place)] = -INF if best is None else x[(*sample, *best)]
            index[(*sample, *place)] = -1 if best is None else np.ravel_multi_index(best, sizes)
    return y, index


def _max_pool(axes):
    def formula(
        x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False
    ):
        found = _windows(x, axes, kernel_size, stride, padding, dilation, ceil_mode)
        y, index = largest(x, found, x.shape[-axes:])
        return (y, index) if return_indices else y

    return formula


def _avg_pool(axes):
    def formula(
        x,
        kernel_size,
        stride=None,
        padding=0,
        ceil_mode=False,
        count_include_pad=True,
        divisor_override=None,
    ):
        found = list(_windows(x, axes, kernel_size, stride, padding, 1, ceil_mode))
        counts = tuple(np.max([place for place, *_ in found], axis=0) + 1)
        y = np.empty((*x.shape[:-axes], *counts), x.dtype)
        for place, elements, padded in found:
            there = x[(..., *np.ix_(*elements))]
            last = tuple(range(-axes, 0))
            inside = math.prod(map(len, elements))
            count = divisor_override or (padded if count_include_pad else inside)
            y[(..., *place)] = there.sum(last) / x.dtype.type(count)
        return y

    return formula


MOVES = [
    dict(kernel_size=2),
    dict(kernel_size=3, stride=2, padding=1),
    dict(kernel_size=3, stride=1, padding=1),
    dict(kernel_size=2, stride=3, ceil_mode=True),
    dict(kernel_size=3, stride=2, padding=1, ceil_mode=True),
]
SHAPES = {1: [(2, 3, 9), (3, 8)], 2: [(2, 2, 6, 7), (3, 5, 6)], 3: [(2, 1, 4, 5, 4), (2, 4, 3, 5)]}
OWN = {1: (3,), 2: (3, 2), 3: (1, 2, 3)}  # an axis with its own kernel


def _moves(axes, formula, **kwargs):
    for moves, shape in zip(MOVES, itertools.cycle(SHAPES[axes]), strict=False):
        yield Case(formula, [normal(*shape)], {**moves, **kwargs})
    yield Case(formula, [normal(*SHAPES[axes][0])], dict(kernel_size=OWN[axes], **kwargs))
    yield Case(formula, [normal(0, 2, *[4] * axes)], dict(kernel_size=2, **kwargs))


def _refusals(axes, first=()):
    letters = {1: "L", 2: "H, W", 3: "D, H, W"}[axes]
    x = normal(1, 1, *[4] * axes)
    rule = f"x must have shape (N, C, {letters}) or (C, {letters}), got (4,)"
    yield Invalid([normal(4), *first, 2], ShapeError, rule)
    empty = (2, 3, *[0] * axes)
    rule = f"x must have elements along its last axes, got {empty}"
    yield Invalid([normal(*empty), *first, 2], ShapeError, rule)
    rule = f"the window must fit into the padded x, 4 elements, got 5; x is {(1, 1, *[4] * axes)}"
    yield Invalid([x, *first, 5], ShapeError, rule)
    yield Invalid([x, *first, 0], ArgumentError, "kernel_size must be a whole number from 1")
    yield Invalid([x, *first, 2, 0], ArgumentError, "stride must be a whole number from 1")
    yield Invalid([x, *first, (2,) * 4], ArgumentError, "kernel_size must be a whole number from 1")
    yield Invalid([x, *first, 1.5], ArgumentError, "kernel_size must be a whole number from 1")


def _max_rows(axes):
    formula = _max_pool(axes)
    yield from _moves(axes, formula)
    shape = SHAPES[axes][0]
    for moves in (
        dict(kernel_size=2),
        dict(kernel_size=2, padding=1),
        dict(kernel_size=3, stride=1),
    ):
        indices = dict(**moves, return_indices=True)
        yield Case(formula, [normal(*shape)], indices)
    yield Case(formula, [normal(*shape)], dict(kernel_size=2, stride=1, dilation=2, padding=1))
    yield Case(
        formula, [normal(1, 1, *[13] * min(axes, 2), *[2] * (axes - 2))], dict(kernel_size=2)
    )
    ties = exactly(np.ones((1, 1, *[3] * axes)))
    first = np.zeros((1, 1, *[3] * axes))
    first[(0, 0, *[0] * axes)] = 1
    yield Edge(
        formula, [ties], dict(kernel_size=3, return_indices=True), gradient=lambda x, **_: first
    )
    special = np.arange(5.0**axes).reshape(1, 1, *[5] * axes)
    special[..., 1], special[..., 2], special[..., 4] = NAN, -INF, INF
    yield Edge(formula, [exactly(special)], dict(kernel_size=2, stride=1, return_indices=True))
    lowest = exactly(np.full((1, 1, *[3] * axes), -INF))
    yield Edge(formula, [lowest], dict(kernel_size=2, padding=1, return_indices=True))
    alone = exactly(np.full((1, 1, *[1] * axes), 3.0))
    missed = dict(kernel_size=2, stride=1, padding=2, dilation=3, return_indices=True)
    reason = "PyTorch writes outside of its arrays where a window misses x"
    zero = np.zeros((1, 1, *[1] * axes))
    yield Edge(formula, [alone], missed, gradient=lambda x, **_: zero, unlike_torch=reason)
    yield from _refusals(axes)
    x = normal(1, 1, *[4] * axes)
    rule = "padding must be at most half of the window, 1, got 2; x is"
    yield Invalid([x, 3], ShapeError, rule, dict(padding=2))
    yield Invalid([x, 2], ArgumentError, "dilation must be a whole number", dict(dilation=0))
    yield Invalid([labels(3, 1, 1, *[4] * axes), 2], DTypeError, "x must be floating, got int64")


def max_pool1d():
    yield from _max_rows(1)


def max_pool2d():
    yield from _max_rows(2)


def max_pool3d():
    yield from _max_rows(3)


def _avg_rows(axes):
    formula = _avg_pool(axes)
    yield from _moves(axes, formula)
    for ceil_mode in (False, True):
        moves = dict(kernel_size=3, stride=2, padding=1, ceil_mode=ceil_mode)
        yield Case(formula, [normal(*SHAPES[axes][1])], dict(**moves, count_include_pad=False))
    if axes > 1:
        for divisor in (3, -2):
            moves = dict(kernel_size=3, stride=2, padding=1, divisor_override=divisor)
            yield Case(formula, [normal(*SHAPES[axes][0])], moves)
        rule = "divisor_override must not be 0, got 0"
        moves = dict(divisor_override=0)
        yield Invalid([normal(1, 1, *[4] * axes), 2], ArgumentError, rule, moves)
    yield Edge(formula, [exactly(np.full((1, *[2] * axes), NAN))], dict(kernel_size=1))
    yield from _refusals(axes)
    rule = "padding must be at most half of the window, 1, got 2; x is"
    yield Invalid([normal(1, 1, *[4] * axes), 3], ShapeError, rule, dict(padding=2))


def avg_pool1d():
    yield from _avg_rows(1)


def avg_pool2d():
    yield from _avg_rows(2)


def avg_pool3d():
    yield from _avg_rows(3)


def _lp_rows(axes):
    mean = _avg_pool(axes)

    def formula(x, norm_type, kernel_size, stride=None, ceil_mode=False):
        count = math.prod(_each(kernel_size, axes))
        return (mean(x**norm_type, kernel_size, stride, 0, ceil_mode, False) * count) ** (
            1 / norm_type
        )

    shape = SHAPES[axes][0]
    yield Case(formula, [away_from_zero(*shape), 2, 2])
    yield Case(formula, [positive(*shape), 3.0, 3, 2])
    alone = "PyTorch's lp_pool1d fails with a tuple" * (axes == 1)
    yield Case(formula, [positive(*SHAPES[axes][1]), 1.5, OWN[axes]], unlike_torch=alone)
    yield Case(formula, [positive(*shape), 2, 2, 3], dict(ceil_mode=True))
    zeros = exactly(np.zeros((1, 1, *[2] * axes)))
    yield Edge(formula, [zeros, 2, 2], gradient=lambda x, *_: 0 * x)
    yield from _refusals(axes, (2,))
    x = normal(1, 1, *[4] * axes)
    for norm_type in (0, INF):
        rule = f"norm_type must be finite and not 0, got {norm_type}"
        yield Invalid([x, norm_type, 2], ArgumentError, rule)


def lp_pool1d():
    yield from _lp_rows(1)


def lp_pool2d():
    yield from _lp_rows(2)


def lp_pool3d():
    yield from _lp_rows(3)
