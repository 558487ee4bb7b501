"""Oracles for functions along axes: a formula of one row, done for each row in turn."""

import math

import numpy as np


def axes_of(x, dim):
    """The axes that `dim` names, counted from the front; all of them if it is None or ()."""
    dims = range(x.ndim) if dim is None or dim == () else np.atleast_1d(dim).tolist()
    return [d % x.ndim for d in dims]


def each_row(formula, x, axes):
    """What `formula` says of each row along the axes: arrays that end with the shape of an answer.

    Without any row, the answer for one of ones tells the shape and dtype.
    """
    rest = [i for i in range(x.ndim) if i not in axes]
    shape = [x.shape[i] for i in rest]
    length = math.prod(x.shape[i] for i in axes)
    rows = x.transpose(*rest, *axes).reshape([*shape, length])
    answers = [formula(rows[i]) for i in np.ndindex(*shape)]
    example = answers[0] if answers else formula(np.ones(length, x.dtype))
    several = isinstance(example, tuple)
    parts = [[a[i] for a in answers] for i in range(len(example))] if several else [answers]
    examples = map(np.asarray, example if several else [example])
    return [
        np.array(part, e.dtype).reshape([*shape, *e.shape])
        for part, e in zip(parts, examples, strict=True)
    ]


def reduced(formula, x, dim=None, keepdim=False):
    """A formula of a row that answers with numbers, over the axes `dim`."""
    if not x.ndim:
        return _joined(y.reshape(()) for y in each_row(formula, x.reshape(1), [0]))
    axes = axes_of(x, dim)
    results = each_row(formula, x, axes)
    shape = [1 if i in axes else n for i, n in enumerate(x.shape)]
    return _joined(y.reshape(shape) if keepdim else y for y in results)


def mapped(formula, x, dim):
    """A formula of a row that answers with rows, along the axis `dim`."""
    if not x.ndim:
        return _joined(y.reshape(()) for y in each_row(formula, x.reshape(1), [0]))
    return _joined(np.moveaxis(y, -1, dim) for y in each_row(formula, x, [dim % x.ndim]))


def _joined(results):
    results = tuple(results)
    return results if len(results) > 1 else results[0]
