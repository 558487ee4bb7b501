"""Recurrent layers: one sequence after the other, one step after the other, as books have them."""

import numpy as np

from gpunet.errors import ArgumentError, DTypeError, ShapeError
from tests.cases.case import Case, Edge, Invalid, exactly, labels, normal


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _over_time(step, x, states, width, lengths, reverse):
    """`step(x[t], *states)` gives the next states, the first of which is the output."""
    if states[0].ndim == 3:
        y, *last = _over_time(step, x, [s[0] for s in states], width, lengths, reverse)
        return y, *[s[None] for s in last]
    count, batch, _ = x.shape
    y, last = np.zeros((count, batch, width), x.dtype), [np.array(s) for s in states]
    for n in range(batch):
        length = count if lengths is None else int(lengths[n])
        now = [s[n] for s in states]
        for t in reversed(range(length)) if reverse else range(length):
            now = step(x[t, n], *now)
            y[t, n] = now[0]
        for all_, one in zip(last, now, strict=True):
            all_[n] = one
    return y, *last


def _or_zeros(array, shape, dtype):
    return np.zeros(shape, dtype) if array is None else array


def _rnn(
    x, w, u, b=None, d=None, h_0=None, *, nonlinearity="tanh", lengths=None, reverse=False
):  # fmt: skip
    units, dtype = len(u), x.dtype
    b, d = (_or_zeros(v, units, dtype) for v in (b, d))

    def step(x, h):
        a = w @ x + b + u @ h + d
        return (np.tanh(a) if nonlinearity == "tanh" else np.maximum(a, 0),)

    states = [_or_zeros(h_0, (x.shape[1], units), dtype)]
    return _over_time(step, x, states, units, lengths, reverse)


def _lstm(
    x, w, u, b=None, d=None, h_0=None, c_0=None, p=None, *, lengths=None, reverse=False
):  # fmt: skip
    units, width, dtype = len(u) // 4, u.shape[1], x.dtype
    b, d = (_or_zeros(v, 4 * units, dtype) for v in (b, d))

    def step(x, h, c):
        i, f, g, o = np.split(w @ x + b + u @ h + d, 4)
        c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
        h = _sigmoid(o) * np.tanh(c)
        return (h if p is None else p @ h), c

    states = [_or_zeros(s, (x.shape[1], n), dtype) for s, n in ((h_0, width), (c_0, units))]
    return _over_time(step, x, states, width, lengths, reverse)


def _gru(
    x, w, u, b=None, d=None, h_0=None, *, lengths=None, reverse=False
):  # fmt: skip
    units, dtype = len(u) // 3, x.dtype
    b, d = (_or_zeros(v, 3 * units, dtype) for v in (b, d))

    def step(x, h):
        (ar, au, an), (hr, hu, hn) = np.split(w @ x + b, 3), np.split(u @ h + d, 3)
        r, u_ = _sigmoid(ar + hr), _sigmoid(au + hu)
        n = np.tanh(an + r * hn)
        return ((1 - u_) * n + u_ * h,)

    states = [_or_zeros(h_0, (x.shape[1], units), dtype)]
    return _over_time(step, x, states, units, lengths, reverse)


def _small(*shape):
    """Weights of the size that layers have: states are not saturated then."""
    draw = normal(*shape)
    return type(draw)(f"small{shape}".replace(" ", ""), lambda rng: draw.make(rng) / 2)


# T, N, I, H: one step; fewer rows than a tile and more; one and several strips and panels.
SIZES = [(1, 1, 2, 2), (3, 2, 2, 3), (4, 3, 5, 4), (2, 19, 3, 17), (5, 1, 3, 6)]
ENDS = (3, 1, 4)


def _rows(formula, gates, states, sizes=SIZES, **options):
    for t, n, i, h in sizes:
        inputs = [normal(t, n, i), _small(gates * h, i), _small(gates * h, h)]
        yield Case(formula, inputs, options)
        inputs += [normal(gates * h), normal(gates * h)]
        yield Case(formula, [*inputs, *[normal(n, h)] * states], dict(**options, reverse=n == 2))
    t, n, i, h = 4, 3, 2, 5
    inputs = [normal(t, n, i), _small(gates * h, i), _small(gates * h, h)]
    yield Case(formula, [*inputs, normal(gates * h), None], options)
    yield Case(formula, [*inputs, None, normal(gates * h)], options)
    full = [*inputs, normal(gates * h), normal(gates * h), *[normal(n, h)] * states]
    for reverse in (False, True):
        yield Case(formula, full, dict(**options, lengths=ENDS, reverse=reverse))
        yield Case(formula, inputs, dict(**options, lengths=(4, 4, 2), reverse=reverse))
    in_layer = [*full[:5], *[normal(1, n, h)] * states]
    yield Case(formula, in_layer, dict(**options, lengths=ENDS, reverse=True))
    yield Case(formula, [normal(2, 0, 3), _small(gates * 2, 3), _small(gates * 2, 2)], options)


def _refusals(gates, letter):
    x, w, u, b = normal(4, 3, 2), normal(gates * 5, 2), normal(gates * 5, 5), normal(gates * 5)
    context = "x is (4, 3, 2) float64 on cpu"
    for got in (0, -1, 5):
        rule = f"lengths must be in [1, T] = [1, 4], got {got}; {context}"
        yield Invalid([x, w, u], ArgumentError, rule, dict(lengths=(3, got, 4)))
    rule = f"lengths must be N = 3 whole numbers, got 2; {context}"
    yield Invalid([x, w, u], ShapeError, rule, dict(lengths=(3, 4)))
    rule = "lengths must be integers, got (1.5,)"
    yield Invalid([x, w, u], DTypeError, rule, dict(lengths=(1.5, 2, 3)))
    yield Invalid([x, w, u], ArgumentError, "lengths must be a list", dict(lengths=3))
    for shape in ((4, 2), (0, 3, 2)):
        rule = f"x must have shape (T, N, I) with T > 0, got {shape}"
        yield Invalid([normal(*shape), w, u], ShapeError, rule)
    rule = f"weight_ih must have shape ({gates * 5}, 2), got ({gates * 5}, 3); {context}"
    yield Invalid([x, normal(gates * 5, 3), u], ShapeError, rule)
    rule = f"weight_hh must have shape ({gates * 5}, 5), got ({gates * 5}, 4)"
    yield Invalid([x, w, normal(gates * 5, 4)], ShapeError, rule)
    many = "" if gates == 1 else gates
    rule = f"weight_hh must have shape ({many}H, {letter}), got (5,)"
    yield Invalid([x, w, normal(5)], ShapeError, rule)
    rule = f"bias_hh must have shape ({gates * 5},), got (4,)"
    yield Invalid([x, w, u, b, normal(4)], ShapeError, rule)
    rule = "h_0 must have shape (3, 5), got (4, 5)"
    yield Invalid([x, w, u, b, b, normal(4, 5)], ShapeError, rule)
    rule = "weight_hh must be floating, got int64"
    yield Invalid([x, w, labels(3, gates * 5, 5)], DTypeError, rule)


def rnn():
    yield from _rows(_rnn, 1, 1)
    # Few units: of many, one is so near the kink that rounding to float16 decides its slope.
    yield from _rows(_rnn, 1, 1, SIZES[:2], nonlinearity="relu")
    x, one = exactly([[[-1.0], [2.0], [np.nan]]]), exactly([[1.0]])
    yield Edge(_rnn, [x, one, one], dict(nonlinearity="relu"))
    yield from _refusals(1, "H")
    rule = "nonlinearity must be one of 'tanh', 'relu', got 'sigmoid'"
    inputs = [normal(4, 3, 2), normal(5, 2), normal(5, 5)]
    yield Invalid(inputs, ArgumentError, rule, dict(nonlinearity="sigmoid"))


def lstm():
    yield from _rows(_lstm, 4, 2)
    for t, n, i, h, p in [(3, 2, 2, 4, 3), (2, 11, 3, 18, 5), (4, 1, 2, 3, 2)]:
        weights = [_small(4 * h, i), _small(4 * h, p), normal(4 * h), normal(4 * h)]
        states = [normal(n, p), normal(n, h), _small(p, h)]
        ends = tuple(range(1, t + 1)) if n == t else (t,) + (1,) * (n - 1)
        for options in ({}, dict(reverse=True), dict(reverse=True, lengths=ends)):
            yield Case(_lstm, [normal(t, n, i), *weights, *states], options)
    saturated = [exactly([[[1e4]], [[-1e4]]]), exactly([[1.0], [1.0], [-1.0], [1.0]])]
    yield Edge(_lstm, [*saturated, exactly(np.zeros((4, 1)))])
    yield from _refusals(4, "P")
    inputs = [normal(4, 3, 2), normal(20, 2), normal(20, 5)]
    rule = "c_0 must have shape (3, 5), got (5,)"
    yield Invalid([*inputs, None, None, None, normal(5)], ShapeError, rule)
    rule = "c_0 must have shape (1, 3, 5), got (3, 5)"
    yield Invalid([*inputs, None, None, normal(1, 3, 5), normal(3, 5)], ShapeError, rule)
    rule = "h_0 must have shape (1, 3, 5), got (2, 3, 5)"
    yield Invalid([*inputs, None, None, normal(2, 3, 5)], ShapeError, rule)
    rule = "weight_hr must have shape (5, 5), got (5, 4)"
    yield Invalid([*inputs, *[None] * 4, normal(5, 4)], ShapeError, rule)


def gru():
    yield from _rows(_gru, 3, 1)
    saturated = [exactly([[[1e4]], [[-1e4]]]), exactly([[1.0], [-1.0], [1.0]])]
    yield Edge(_gru, [*saturated, exactly(np.zeros((3, 1)))])
    yield from _refusals(3, "H")
