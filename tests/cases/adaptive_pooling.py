"""Adaptive pooling and unpooling: the elements of each window, picked out one by one."""

import itertools

import numpy as np

from gpunet.errors import ArgumentError, DTypeError, ShapeError
from tests.cases.case import Case, Edge, Invalid, exactly, normal
from tests.cases.pooling import largest

SHAPES = {1: (2, 3, 7), 2: (2, 3, 5, 4), 3: (1, 2, 3, 4, 5)}


def _windows(x, axes, output_size):
    given = output_size if isinstance(output_size, tuple) else (output_size,) * axes
    along = []
    for n, count in zip(x.shape[-axes:], given, strict=True):
        m = n if count is None else count
        along.append([range(i * n // m, -(-(i + 1) * n // m)) for i in range(m)])
    for place in itertools.product(*(range(len(a)) for a in along)):
        yield place, [a[o] for a, o in zip(along, place, strict=True)]


def _refusals(axes):
    x = normal(*SHAPES[axes])
    yield Invalid([normal(3), 2], ShapeError, "x must have shape (N, C, ")
    rule = "output_size must be a whole number from 0"
    yield Invalid([x, -1], ArgumentError, rule)
    yield Invalid([x, 1.5], ArgumentError, "output_size must be a whole number from 0")
    yield Invalid([x, (2,) * 4], ArgumentError, "output_size must be a number or ")
    empty = (2, 3, *[0] * axes)
    rule = f"x must have elements along its last axes, got {empty}"
    yield Invalid([normal(*empty), 1], ShapeError, rule)


def _sizes(axes):
    yield from (1, 3, 6, (2,) * axes)
    if axes > 1:
        yield (None, *range(2, axes + 1))


def _max_rows(axes):
    def formula(x, output_size, return_indices=False):
        y, index = largest(x, _windows(x, axes, output_size), x.shape[-axes:])
        return (y, index) if return_indices else y

    for size in _sizes(axes):
        yield Case(formula, [normal(*SHAPES[axes]), size])
        yield Case(formula, [normal(*SHAPES[axes][1:]), size], dict(return_indices=True))
    ones, first = np.ones((1, 1, *[3] * axes)), np.zeros((1, 1, *[3] * axes))
    first[(0, 0, *[0] * axes)] = 1
    indices = dict(return_indices=True)
    yield Edge(formula, [exactly(ones), 1], indices, gradient=lambda x, *_, **__: first)
    spoilt = ones.copy()
    spoilt[..., 1] = np.nan
    yield Edge(formula, [exactly(spoilt), 2], indices)
    yield from _refusals(axes)


def adaptive_max_pool1d():
    yield from _max_rows(1)


def adaptive_max_pool2d():
    yield from _max_rows(2)


def adaptive_max_pool3d():
    yield from _max_rows(3)


def _avg_rows(axes):
    def formula(x, output_size):
        found = list(_windows(x, axes, output_size))
        counts = tuple(np.max([place for place, _ in found], axis=0) + 1)
        y = np.empty((*x.shape[:-axes], *counts), x.dtype)
        for place, elements in found:
            y[(..., *place)] = x[(..., *np.ix_(*elements))].mean(tuple(range(-axes, 0)))
        return y

    for size in _sizes(axes):
        yield Case(formula, [normal(*SHAPES[axes]), size])
    yield Case(formula, [normal(*SHAPES[axes][1:]), 2])
    yield Case(formula, [normal(0, 2, *[3] * axes), 2])
    yield from _refusals(axes)


def adaptive_avg_pool1d():
    yield from _avg_rows(1)


def adaptive_avg_pool2d():
    yield from _avg_rows(2)


def adaptive_avg_pool3d():
    yield from _avg_rows(3)


def _unpool_rows(axes):
    def formula(x, indices, kernel_size, stride=None, padding=0, output_size=None):
        s = kernel_size if stride is None else stride
        sizes = [(n - 1) * s - 2 * padding + kernel_size for n in x.shape[-axes:]]
        sizes = sizes if output_size is None else list(output_size)[-axes:]
        lead = x.shape[:-axes]
        y = np.zeros((*lead, *sizes), x.dtype)
        for sample in np.ndindex(lead):
            y[sample].reshape(-1)[indices[sample].reshape(-1)] = x[sample].reshape(-1)
        return y

    def indices(shape, sizes, lead=(2, 3)):
        rng = np.random.default_rng(axes)
        planes = [rng.permutation(np.prod(sizes))[: np.prod(shape)] for _ in range(np.prod(lead))]
        return exactly(np.reshape(planes, (*lead, *shape)))

    shape = (3, 2, 2)[-axes:]
    usual, overlapping = tuple(2 * n for n in shape), tuple(n + 1 for n in shape)
    x = normal(2, 3, *shape)
    yield Case(formula, [x, indices(shape, usual), 2])
    yield Case(formula, [normal(3, *shape), indices(shape, usual, (3,)), 2])
    moves = dict(kernel_size=3, stride=2, padding=1)
    smaller = tuple(2 * n - 1 for n in shape)
    yield Case(formula, [x, indices(shape, smaller)], moves)
    yield Case(formula, [x, indices(shape, overlapping), 2, 1])
    larger = tuple(n + 1 for n in usual)
    for size in (larger, (2, 3, *larger)):
        yield Case(formula, [x, indices(shape, larger), 2], dict(output_size=size))
    rule = f"indices must have x's shape {(2, 3, *shape)}, got (3,)"
    yield Invalid([x, exactly([0, 1, 2]), 2], ShapeError, rule)
    rule = "indices must be int64 or int32, got float64"
    yield Invalid([x, normal(2, 3, *shape), 2], DTypeError, rule)
    far = exactly(np.full((2, 3, *shape), 10**6))
    rule = f"indices must be in [0, {np.prod(usual)}), got 1000000"
    yield Invalid([x, far, 2], ArgumentError, rule)
    rule = f"output_size must be {usual}, each within a stride of {(2,) * axes}, got"
    size = tuple(n + 2 for n in usual)
    yield Invalid([x, indices(shape, usual), 2], ShapeError, rule, dict(output_size=size))
    size = tuple(0 * n for n in shape)
    rule = "output_size must be "
    yield Invalid([x, indices(shape, usual), 2], ShapeError, rule, dict(output_size=size))


def max_unpool1d():
    yield from _unpool_rows(1)


def max_unpool2d():
    yield from _unpool_rows(2)


def max_unpool3d():
    yield from _unpool_rows(3)
