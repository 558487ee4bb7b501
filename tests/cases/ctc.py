"""CTC: every path there is, one by one."""

import itertools

import numpy as np

from gpunet.errors import ArgumentError, DTypeError, ShapeError
from tests.cases.case import Case, Edge, Invalid, constant, exactly, labels, normal

GRADIENT = "its gradient in log_probs is not the derivative"


def _read(path, blank):
    """The labels that a path stands for: repeats removed, then blanks."""
    return [c for c, _ in itertools.groupby(path) if c != blank]


def ctc_loss():
    def formula(x, targets, times, counts, blank=0, reduction="mean", zero_infinity=False):
        batch = x if x.ndim == 3 else x[:, None]
        times, counts = np.atleast_1d(times), np.atleast_1d(counts)
        row, losses = list(np.ravel(targets)), []
        for i in range(batch.shape[1]):
            width = targets.shape[-1] if x.ndim == 2 or targets.ndim == 2 else counts[i]
            wanted, row = row[: counts[i]], row[width:]
            paths = itertools.product(range(batch.shape[2]), repeat=times[i])
            sums = [
                sum((batch[t, i, c] for t, c in enumerate(path)), x.dtype.type(0))
                for path in paths
                if _read(path, blank) == wanted
            ]
            losses.append(-np.logaddexp.reduce(sums) if sums else x.dtype.type(np.inf))
        losses = np.array(losses, x.dtype)
        if zero_infinity:
            losses[np.isinf(losses)] = 0
        if reduction == "mean":
            return (losses / np.maximum(counts, 1).astype(x.dtype)).mean(dtype=x.dtype)
        if reduction == "sum":
            return losses.sum()
        return losses if x.ndim == 3 else losses[0]

    padded = exactly(np.array([[1, 2, 2], [2, 2, 9], [1, 9, 9]]))
    row = exactly(np.array([1, 2, 2, 2, 2, 1]))
    batch, times, counts = normal(5, 3, 3), (5, 3, 4), (3, 2, 1)
    for reduction in ("mean", "sum", "none"):
        for targets in (padded, row):
            arguments = [targets, times, counts], dict(reduction=reduction)
            yield Case(formula, [batch, *arguments[0]], arguments[1], unlike_torch=GRADIENT)
            yield Case(formula, [constant(batch), *arguments[0]], arguments[1])
    lengths = exactly(np.array(times)), exactly(np.array(counts))
    yield Case(formula, [batch, padded, *lengths], unlike_torch=GRADIENT)
    yield Case(formula, [constant(batch), padded, *lengths])
    other = [padded, times, (0, 2, 1)]
    yield Case(formula, [batch, *other], dict(reduction="none"), unlike_torch=GRADIENT)
    last = [exactly(np.array([[0, 1], [1, 1]])), (4, 3), (2, 2)]
    yield Case(formula, [normal(4, 2, 3), *last], dict(blank=2), unlike_torch=GRADIENT)
    yield Case(formula, [constant(normal(4, 2, 3)), *last], dict(blank=2))
    alone = [exactly(np.array([1, 2])), (4,), (2,)]
    yield Case(formula, [normal(4, 3), *alone], unlike_torch=GRADIENT)
    yield Case(formula, [constant(normal(4, 3)), *alone], dict(reduction="none"))
    tight = [exactly(np.array([[1, 1, 1], [1, 2, 1]])), (3, 3), (3, 3)]  # the first needs blanks
    none = dict(reduction="none")
    yield Edge(formula, [constant(normal(3, 2, 3)), *tight], none)
    nan = np.full((3, 1, 3), np.nan)
    yield Edge(
        formula,
        [normal(3, 1, 3), exactly(np.array([[1, 1, 1]])), (3,), (3,)],
        none,
        gradient=lambda *_, **__: nan,
    )
    yield Edge(
        formula,
        [normal(3, 1, 3), exactly(np.array([[1, 1, 1]])), (3,), (3,)],
        dict(reduction="none", zero_infinity=True),
        gradient=lambda *_, **__: np.zeros((3, 1, 3)),
    )
    nothing = [exactly(np.array([[1], [1]])), (0, 0), (0, 1)]
    yield Edge(formula, [constant(normal(3, 2, 3)), *nothing], none)
    far = np.array([[0.0, -1e4, -1e4], [-1e4, 0.0, -1e4], [0.0, -1e4, -1e4]])[:, None]
    yield Edge(
        formula,
        [exactly(far), exactly(np.array([[1]])), (3,), (1,)],
        gradient=lambda x, *_: -np.exp(x),
        unlike_torch=GRADIENT,
    )

    x = normal(4, 2, 3)
    two = exactly(np.array([[1, 2], [2, 1]]))
    given = [x, two, (4, 4), (2, 2)]
    yield Invalid(
        [normal(4), two, (4, 4), (2, 2)], ShapeError, "log_probs must have shape (T, N, C)"
    )
    rule = "targets must be integers, got float64"
    yield Invalid([x, normal(2, 2), (4, 4), (2, 2)], DTypeError, rule)
    yield Invalid(
        [labels(3, 4, 2, 3), two, (4, 4), (2, 2)], DTypeError, "log_probs must be floating"
    )
    yield Invalid(given, ArgumentError, "blank must be in [0, C) = [0, 3), got 3", dict(blank=3))
    rule = "input_lengths must be at least 0 and at most T = 4, got 5"
    yield Invalid([x, two, (5, 4), (2, 2)], ArgumentError, rule)
    rule = "input_lengths must be N = 2 numbers, got 1"
    yield Invalid([x, two, (4,), (2, 2)], ShapeError, rule)
    rule = "input_lengths must be integers, got float64"
    yield Invalid([x, two, normal(2), (2, 2)], DTypeError, rule)
    rule = "target_lengths must be at most S = 2, got 3"
    yield Invalid([x, two, (4, 4), (3, 2)], ArgumentError, rule)
    rule = "target_lengths must be at least 0, got -1"
    yield Invalid([x, two, (4, 4), (-1, 2)], ArgumentError, rule)
    rule = "targets must have shape (N, S) = (2, S) or (Σ target_lengths,) = (4,), got (3,)"
    yield Invalid([x, labels(3, 3), (4, 4), (2, 2)], ShapeError, rule)
    rule = "targets must be in [0, C) = [0, 3), got 7"
    yield Invalid([x, exactly(np.array([[1, 7], [1, 1]])), (4, 4), (2, 2)], ArgumentError, rule)
