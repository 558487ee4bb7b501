"""The forward and backward sums of CTC over all alignments. CUDA twins: kernels/ctc.cu.

The states of a sequence are its labels and the blanks before, between and after them. Pair j is
label j and the blank behind it; pair 0 has only the first blank, and its label is never reached.
What has come to pair j so far is one logarithm, `ended`, from which the blank j goes on, and the
label j + 1 if it is another class. So a state costs one `exp` and one `log1p`.

A thread takes a sequence from its first step to its last, so results do not depend on how many
threads there are.
"""

from __future__ import annotations

import math

import numpy as np

from gpunet.backend.base import Array
from gpunet.backend.cpu.half import half
from gpunet.backend.cpu.jit import T, kernel
from gpunet.backend.cpu.memory import cache
from gpunet.backend.cpu.reduction import row_sum
from gpunet.backend.cpu.scalar import exp, log1p
from gpunet.backend.cpu.share import share
from gpunet.backend.dtypes import HALVES, float32

COST = 8  # of a state with its `exp` and `log1p`, see `share`


@kernel(inline=True)
def _log_add(a, b):
    """log(e^a + e^b); either may be −∞, and NaN stays NaN."""
    high = a if a > b else b
    low = b if a > b else a
    return high if low == T(-math.inf) else high + log1p(exp(low - high))


@kernel(inline=True)
def _only(row, j, value):
    """log 0 everywhere but at j."""
    row[:] = T(-math.inf)
    row[j] = value


@kernel(inline=True)
def _prepare(path, change):
    """Whether each label is another class than the one before: from there it may be jumped to."""
    for j in range(1, path.size):
        change[j] = path[j] != path[j - 1]


@kernel(inline=True)
def _emissions(y, path, seen):
    for j in range(path.size):
        seen[j] = y[path[j]]


# The rows of the steps below are arrays of their own: a loop that reads one row of an array and
# writes another would not become vector code, which takes a fifth of the time.


@kernel(inline=True)
def _forward_step(blank, label, seen, change, ended):
    """α of a step in place of that of the step before."""
    for j in range(seen.size):
        ended[j] = _log_add(blank[j], label[j])
    for j in range(1, seen.size):
        ways = ended[j - 1] if change[j] else blank[j - 1]
        label[j] = seen[j] + _log_add(label[j], ways)
    for j in range(seen.size):
        blank[j] = ended[j] + seen[0]


@kernel
def _ctc_loss_fwd(x, classes, times, counts, alpha, loss, start, stop):
    width = classes.shape[1]
    blanks, labels, ends = np.empty(width, T), np.empty(width, T), np.empty(width, T)
    emissions, changes = np.empty(width, T), np.empty(width, np.bool_)
    for n in range(start, stop):
        path = classes[n, : counts[n] + 1]
        size = path.size
        blank, label, ended = blanks[:size], labels[:size], ends[:size]
        seen, change = emissions[:size], changes[:size]
        _prepare(path, change)
        # Before the first step all is at the first blank.
        _only(blank, 0, T(0.0))
        label[:] = T(-math.inf)
        for t in range(times[n]):
            _emissions(x[t, n], path, seen)
            _forward_step(blank, label, seen, change, ended)
            alpha[n, t, 0, :size] = blank
            alpha[n, t, 1, :size] = label
        loss[n] = -_log_add(blank[size - 1], label[size - 1])


@kernel(inline=True)
def _backward_step(blank, label, seen, change, next_blank, next_label):
    """β of a step in place of that of the next one, whose emissions were `seen`."""
    last = seen.size - 1
    for j in range(seen.size):
        next_blank[j] = blank[j] + seen[0]
    for j in range(seen.size):
        next_label[j] = label[j] + seen[j]
    for j in range(last):
        blank[j] = _log_add(next_blank[j], next_label[j + 1])
    for j in range(last):
        ways = blank[j] if change[j + 1] else next_blank[j]
        label[j] = _log_add(next_label[j], ways)
    blank[last] = next_blank[last]
    label[last] = _log_add(next_label[last], next_blank[last])


@kernel(inline=True)
def _shares(alpha, beta, loss, out):
    """What part of all alignments is in each state."""
    for j in range(beta.size):
        out[j] = exp(alpha[j] + beta[j] + loss)


@kernel
def _ctc_loss_bwd(gy, x, classes, times, counts, alpha, loss, gx, start, stop, zero_infinity):
    width = classes.shape[1]
    blanks, labels, emissions = np.empty(width, T), np.empty(width, T), np.empty(width, T)
    next_blanks, next_labels = np.empty(width, T), np.empty(width, T)
    changes = np.empty(width, np.bool_)
    for n in range(start, stop):
        steps = times[n]
        # What is impossible has no slope.
        slope = 0.0 if zero_infinity and loss[n] == T(math.inf) else T(math.nan)
        possible = abs(loss[n]) < T(math.inf)
        for t in range(x.shape[0]):
            gx[t, n, :] = 0.0 if possible or t >= steps else slope
        if not possible:
            continue
        path = classes[n, : counts[n] + 1]
        size = path.size
        blank, label, seen = blanks[:size], labels[:size], emissions[:size]
        next_blank, next_label, change = next_blanks[:size], next_labels[:size], changes[:size]
        _prepare(path, change)
        _only(blank, size - 1, T(0.0))
        _only(label, size - 1, T(0.0))
        for t in range(steps - 1, -1, -1):
            if t < steps - 1:
                _emissions(x[t + 1, n], path, seen)
                _backward_step(blank, label, seen, change, next_blank, next_label)
            g = gx[t, n]
            _shares(alpha[n, t, 0], blank, loss[n], next_blank)
            g[path[0]] = -gy[n] * row_sum(next_blank)
            _shares(alpha[n, t, 1], label, loss[n], next_label)
            for j in range(1, size):  # in this order, as a class may come several times
                g[path[j]] -= gy[n] * next_label[j]


def ctc_loss_fwd(x: Array, classes: Array, times: Array, counts: Array) -> tuple[Array, Array]:
    """Of each sequence, −log of the summed probability of all alignments, and log α.

    Shapes: x (T, N, C) C-contiguous, classes (N, 1 + S) of int64: the blank, then the labels; times
        and counts (N,) of int64: how many steps and labels of each sequence count.
    Returns: the losses (N,), ∞ where nothing fits, and α (N, T, 2, 1 + S): at each step the blanks,
        then the labels, of which number 0 is none. What lies beyond `times` and `counts`
        is undefined. Both are in float32 if x is a half.
    """
    if x.dtype.char in HALVES:
        x = x.astype(float32)
    (steps, batch, _), width = x.shape, classes.shape[1]
    alpha, loss = cache.empty((batch, steps, 2, width), x.dtype), np.empty(batch, x.dtype)
    arrays = x, classes, times, counts, alpha, loss
    share(_ctc_loss_fwd[x.dtype], arrays, batch, steps * 2 * width, x.dtype, cost=COST)
    return loss, alpha


@half
def ctc_loss_bwd(
    gy: Array,
    x: Array,
    classes: Array,
    times: Array,
    counts: Array,
    alpha: Array,
    loss: Array,
    zero_infinity: bool,
) -> Array:
    """Gradient of x from that of the losses (N,); loss and α are what `ctc_loss_fwd` returned.

    Where nothing fits it is NaN, or 0 if `zero_infinity`.
    """
    batch, steps, _, width = alpha.shape
    gx = cache.empty(x.shape, x.dtype)
    arrays = gy, x, classes, times, counts, alpha, loss, gx
    columns = steps * 2 * width
    share(_ctc_loss_bwd[x.dtype], arrays, batch, columns, x.dtype, zero_infinity, cost=2 * COST)
    return gx
