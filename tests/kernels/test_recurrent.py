"""kernels/recurrent.cu, executed: one step of each cell against the formulas, forward and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.kernels import needs
from tests.kernels.close import assert_close
from tests.kernels.dtypes import DTYPES, FLOAT32, Array, DType
from tests.kernels.host import build
from tests.kernels.host.device import Device, everywhere

pytestmark = needs.compiler

LAUNCHES = ((1, 32), (3, 64), (2, 256))  # blocks, threads
SIZES = ((1, 1), (3, 5), (2, 33), (7, 40))  # batch, units
PARTS = {"rnn": 1, "lstm": 4, "gru": 3}
ENDS = np.array([2, 1, 3, 1, 1, 2, 3])
T = 1  # the step that is tried: sequences of length 1 have ended


def numbers(dtype: DType, seed: int, *shape: int) -> Array:
    return dtype.encode(np.random.default_rng(seed).normal(0.0, 1.0, shape))


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def parts(x: Array, count: int) -> list[Array]:
    return np.split(x, count, axis=-1)


def going(batch: int, ends: bool) -> Array:
    return np.full((batch, 1), True) if not ends else (ENDS[:batch] > T)[:, None]


# --- the formulas; `on` says which sequences have the step


def rnn(z: Array, p: Array, b: Array, h: Array, on: Array, relu: bool) -> dict[str, Array]:
    a = z + p + b
    new = np.maximum(a, 0) if relu else np.tanh(a)
    return dict(h=np.where(on, new, h), y=new * on)


def lstm(z: Array, p: Array, b: Array, h: Array, c: Array, on: Array) -> dict[str, Array]:
    i, f, g, o = parts(z + p + b, 4)
    i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
    new = np.where(on, f * c + i * g, c)
    out = o * np.tanh(new)
    gates = np.where(on, np.concatenate([i, f, g, o], -1), z)
    return dict(z=gates, h=np.where(on, out, h), c=new, y=out * on, cells=new)


def gru(z: Array, p: Array, b: Array, h: Array, on: Array) -> dict[str, Array]:
    (zr, zu, zn), (pr, pu, pn), (br, bu, bn, bq) = parts(z, 3), parts(p, 3), np.split(b, 4)
    r, u, q = sigmoid(zr + pr + br), sigmoid(zu + pu + bu), pn + bq
    n = np.tanh(zn + bn + r * q)
    new = (1 - u) * n + u * h
    gates = np.where(on, np.concatenate([r, u, n], -1), z)
    return dict(z=gates, h=np.where(on, new, h), y=new * on)


def rnn_back(gy: Array, p: Array, y: Array, gh: Array, on: Array, relu: bool) -> dict[str, Array]:
    slope = (y > 0) if relu else 1 - y * y
    return dict(gz=(gy + p + gh) * slope * on, gh=(gh + p) * ~on)


def lstm_back(
    gy: Array, p: Array, gates: Array, cells: Array, before: Array, gh: Array, gc: Array, on: Array
) -> dict[str, Array]:
    i, f, g, o = parts(gates, 4)
    total, tc = gy + p + gh, np.tanh(cells)
    new = gc + total * o * (1 - tc * tc)
    slopes = g * i * (1 - i), before * f * (1 - f), i * (1 - g * g)
    gz = np.concatenate([*(new * s for s in slopes), total * tc * o * (1 - o)], -1)
    return dict(gz=gz * on, gh=(gh + p) * ~on, gc=np.where(on, new * f, gc))


def gru_back(
    gy: Array, p: Array, gates: Array, q: Array, before: Array, gh: Array, on: Array
) -> dict[str, Array]:
    r, u, n = parts(gates, 3)
    total = gy + p + gh
    gn, gu = total * (1 - u) * (1 - n * n), total * (before - n) * u * (1 - u)
    gr, gq = gn * q * r * (1 - r), gn * r
    gz, back = (np.concatenate(g, -1) * on for g in ([gr, gu, gn, gq], [gr, gu, gq]))
    return dict(gz=gz, back=back, gh=np.where(on, total * u, gh + p))


# --- launches


def put(device: Device, x: Array | None) -> Any:
    return None if x is None else device.array(x)


def launched(
    dtype: DType, name: str, given: dict[str, Any], out: dict[str, int], *rest: Any,
    launch: tuple[Any, int] = (2, 64), shared: int = 0,
) -> dict[str, Array]:  # fmt: skip
    """The arrays that a kernel wrote, in `dtype`.

    Args:
        given: arrays by parameter; what is summed up over time is widened to the accumulator.
        out: columns of the arrays that are only written, of as many rows as there are sequences.
        rest: the numbers.
    """
    kernel = build.load("recurrent", dtype)[name]
    pointers = [p for p in kernel.parameters if p.pointer]
    whole = [x for x in rest if not isinstance(x, bool)]
    batch = whole[-2]

    def program(device: Device) -> Any:
        arrays: dict[str, Any] = {}
        for p in pointers:
            x = given.get(p.name)
            if p.type == "acc_t":
                x = dtype.decode(x).astype(dtype.accumulator)
            made = device.empty((batch, out[p.name]), dtype.storage) if p.name in out else None
            arrays[p.name] = put(device, x) if made is None else made
        device.launch(kernel, *launch, *arrays.values(), *rest, shared=shared)
        written = [(p, arrays[p.name]) for p in pointers if p.written]
        return tuple(dtype.encode(x) if p.type == "acc_t" else x for p, x in written)

    names = [p.name for p in pointers if p.written]
    return dict(zip(names, everywhere(program), strict=True))


def check(dtype: DType, found: dict[str, Array], formula: Any, *inputs: Array) -> None:
    """Every array that a formula names is what it says."""
    for key in formula(*map(dtype.decode, inputs)):
        assert_close(found[key], lambda *x, key=key: formula(*x)[key], dtype, *inputs)


def ends_of(batch: int, ends: bool) -> Any:
    return ENDS[:batch].copy() if ends else None


every = [
    pytest.mark.parametrize("size", SIZES, ids=str),
    pytest.mark.parametrize("ends", [False, True], ids=["all", "ends"]),
    pytest.mark.parametrize("dtype", DTYPES, ids=str),
]


def everything(test: Any) -> Any:
    for mark in every:
        test = mark(test)
    return test


@everything
@pytest.mark.parametrize("relu", [False, True], ids=["tanh", "relu"])
def test_rnn(relu: bool, dtype: DType, ends: bool, size: tuple[int, int]) -> None:
    batch, units = size
    z, p, h, gy, gh = (numbers(dtype, seed, *size) for seed in range(5))
    b, on = numbers(dtype, 5, units), going(batch, ends)
    given = dict(z=z, product=p, bias=b, h=h, lengths=ends_of(batch, ends))
    found = launched(dtype, "rnn_fwd", given, dict(y=units), T, *size, relu)
    check(dtype, found, lambda z, p, b, h: rnn(z, p, b, h, on, relu), z, p, b, h)
    y = dtype.encode(np.tanh(dtype.decode(h)))
    given = dict(gy=gy, product=p, y=y, gh=gh, lengths=ends_of(batch, ends))
    found = launched(dtype, "rnn_bwd", given, dict(gz=units), T, *size, relu)
    check(dtype, found, lambda *x: rnn_back(*x, on, relu), gy, p, y, gh)


@everything
def test_lstm(dtype: DType, ends: bool, size: tuple[int, int]) -> None:
    batch, units = size
    z, p = (numbers(dtype, seed, batch, 4 * units) for seed in (0, 1))
    h, c, gy, gp, gh, gc = (numbers(dtype, seed, *size) for seed in range(2, 8))
    b, on = numbers(dtype, 8, 4 * units), going(batch, ends)
    given = dict(z=z, product=p, bias=b, h=h, c=c, lengths=ends_of(batch, ends))
    found = launched(dtype, "lstm_fwd", given, dict(y=units, cells=units), T, *size)
    check(dtype, found, lambda *x: lstm(*x, on), z, p, b, h, c)
    gates = dtype.encode(sigmoid(dtype.decode(z)))
    given = dict(gy=gy, product=gp, gates=gates, cells=c, before=h, gh=gh, gc=gc)
    given["lengths"] = ends_of(batch, ends)
    found = launched(dtype, "lstm_bwd", given, dict(gz=4 * units), T, *size)
    check(dtype, found, lambda *x: lstm_back(*x, on), gy, gp, gates, c, h, gh, gc)


@everything
def test_gru(dtype: DType, ends: bool, size: tuple[int, int]) -> None:
    batch, units = size
    z, p = (numbers(dtype, seed, batch, 3 * units) for seed in (0, 1))
    h, q, gy, gp, gh, h_0 = (numbers(dtype, seed, *size) for seed in range(2, 8))
    b, on = numbers(dtype, 8, 4 * units), going(batch, ends)
    given = dict(z=z, product=p, bias=b, h=h, lengths=ends_of(batch, ends))
    found = launched(dtype, "gru_fwd", given, dict(y=units, q=units), T, *size)
    check(dtype, found, lambda *x: gru(*x, on), z, p, b, h)
    inner = (dtype.decode(p)[:, 2 * units :] + dtype.decode(b)[3 * units :])[on[:, 0]]
    half = dtype.epsilon * max(1, np.abs(inner).max(initial=0))
    assert np.abs(dtype.decode(found["q"])[on[:, 0]] - inner).max(initial=0) <= half
    gates = dtype.encode(sigmoid(dtype.decode(z)))
    given = dict(gy=gy, product=gp, gates=gates, q=q, before=h, h_0=h_0, gh=gh)
    given["lengths"] = ends_of(batch, ends)
    out = dict(gz=4 * units, back=3 * units)
    # The step before is 0, which all sequences have, or 2, before which some of them begin.
    for earlier in (0, 2):
        found = launched(dtype, "gru_bwd", given, out, T, earlier, *size)
        begins = ~(going(batch, ends) & (ENDS[:batch, None] > earlier) | np.array(not ends))
        first = begins if earlier == 2 else np.zeros_like(begins)

        def formula(
            gy: Array, p: Array, gates: Array, q: Array, h: Array, h_0: Array, gh: Array,
            first: Array = first,
        ) -> dict[str, Array]:  # fmt: skip
            return gru_back(gy, p, gates, q, np.where(first, h_0, h), gh, on)

        check(dtype, found, formula, gy, gp, gates, q, h, h_0, gh)


# --- all steps in one launch

STEPS = 3
SEQUENCES = ((1, 1), (3, 5), (5, 40))  # batch, units


def over_steps(
    z: Array, w: Array, b: Array, h: Array, c: Array, ends: Any, reverse: bool
) -> dict[str, Array]:
    """`lstm` above, step after step; z (steps, batch, 4 units), w (units, 4 units)."""
    y, gates, cells = np.empty((len(z), *h.shape), z.dtype), z.copy(), []
    order = range(len(z))[:: -1 if reverse else 1]
    for t in order:
        on = np.ones((len(h), 1), bool) if ends is None else (ends > t)[:, None]
        step = lstm(z[t], h @ w, b, h, c, on)
        y[t], gates[t], h, c = step["y"], step["z"], step["h"], step["c"]
        cells.append(c)
    return dict(z=gates, h=h, c=c, y=y, cells=np.stack(cells[:: -1 if reverse else 1]))


def back_over_steps(
    gy: Array, w: Array, gates: Array, cells: Array, c_0: Array, gh: Array, gc: Array, ends: Any,
    reverse: bool,
) -> dict[str, Array]:  # fmt: skip
    gz, p = np.empty_like(gates), np.zeros_like(gh)
    for t in range(len(gates))[:: 1 if reverse else -1]:
        on = np.ones((len(gh), 1), bool) if ends is None else (ends > t)[:, None]
        earlier = t + 1 if reverse else t - 1
        before = cells[earlier] if 0 <= earlier < len(gates) else c_0
        step = lstm_back(gy[t], p, gates[t], cells[t], before, gh, gc, on)
        gz[t], gh, gc = step["gz"], step["gh"], step["gc"]
        p = gz[t] @ w
    return dict(gz=gz, gh=gh + p, gc=gc)


def small(dtype: DType, seed: int, *shape: int) -> Array:
    return dtype.encode(np.random.default_rng(seed).normal(0.0, 0.5, shape))


@pytest.mark.parametrize("size", SEQUENCES, ids=str)
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("ends", [False, True], ids=["all", "ends"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_sequences(dtype: DType, ends: bool, reverse: bool, size: tuple[int, int]) -> None:
    batch, units = size
    lengths, launch = ends_of(batch, ends), (2, 32)
    z, b = small(dtype, 0, STEPS, batch, 4 * units), small(dtype, 1, 4 * units)
    w, h, c = small(dtype, 2, units, 4 * units), small(dtype, 3, *size), small(dtype, 4, *size)
    given = dict(z=z, w=w, bias=b, h=h, c=c, lengths=lengths)
    given |= {name: np.zeros((STEPS, *size), dtype.storage) for name in ("y", "cells")}
    name, rest = "lstm_fwd_sequence", (STEPS, *size, reverse, True)
    found = launched(dtype, name, given, {}, *rest, launch=launch)
    check(dtype, found, lambda *x: over_steps(*x, lengths, reverse), z, w, b, h, c)

    gates = dtype.encode(sigmoid(dtype.decode(z)))
    gy, cells = (small(dtype, seed, STEPS, *size) for seed in (5, 6))
    w, gh, gc = small(dtype, 7, 4 * units, units), small(dtype, 8, *size), small(dtype, 9, *size)
    given = dict(gy=gy, w=w, gates=gates, cells=cells, c_0=c, gh=gh, gc=gc, lengths=lengths)
    given["gz"] = np.zeros_like(z)
    rest = STEPS, *size, reverse
    found = launched(dtype, "lstm_bwd_sequence", given, {}, *rest, launch=launch)
    inputs = gy, w, gates, cells, c, gh, gc
    check(dtype, found, lambda *x: back_over_steps(*x, lengths, reverse), *inputs)


@pytest.mark.parametrize("launch", [(1, 32), (2, 64), (3, 256)], ids=str)
def test_any_launch_of_sequences_gives_the_same_bits(launch: tuple[int, int]) -> None:
    size = batch, units = 3, 40
    z, w = small(FLOAT32, 0, STEPS, batch, 4 * units), small(FLOAT32, 1, units, 4 * units)
    h = small(FLOAT32, 2, *size)
    given = dict(z=z, w=w, h=h, c=h, y=np.zeros((STEPS, *size), np.float32))
    given["cells"] = np.zeros((STEPS, *size), np.float32)
    arguments = FLOAT32, "lstm_fwd_sequence", given, {}, STEPS, *size, False, True
    one, other = launched(*arguments, launch=launch), launched(*arguments, launch=(4, 128))
    for key, array in one.items():
        assert array.tobytes() == other[key].tobytes()


# --- all steps in one launch of a whole grid

WHOLE = (  # batch, units; width and height of a block; threads
    (1, 1, 4, 4, 32),
    (3, 5, 4, 4, 64),
    (6, 9, 8, 4, 32),
    (9, 7, 4, 12, 256),
    (5, 20, 8, 8, 96),
)


def whole(dtype: DType, name: str, at: Any, width: int, given: dict[str, Any], *flags: bool) -> Any:
    """`launched`, on the grid that covers everything; `width` elements of a sequence move."""
    batch, units, *block, threads = at
    grid = -(-units // block[0]), -(-batch // block[1])
    panels = grid[1] * block[1] // 4
    given["moving"] = np.zeros((2, panels, width, 4), dtype.storage)
    given["barrier"] = np.zeros(grid[1], np.uint64)
    shared = 4 * units * block[0] * np.dtype(dtype.storage).itemsize
    rest = STEPS, batch, units, *block, *flags
    return launched(dtype, name, given, {}, *rest, launch=(grid, threads), shared=shared)


@pytest.mark.parametrize("at", WHOLE, ids=str)
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("ends", [False, True], ids=["all", "ends"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_whole_grids(dtype: DType, ends: bool, reverse: bool, at: tuple[int, ...]) -> None:
    size = batch, units = at[:2]
    lengths = None if not ends else np.resize(ENDS, batch)
    z, b = small(dtype, 0, STEPS, batch, 4 * units), small(dtype, 1, 4 * units)
    w, h, c = small(dtype, 2, 4 * units, units), small(dtype, 3, *size), small(dtype, 4, *size)
    given = dict(z=z, w=w, bias=b, h=h, c=c, lengths=lengths)
    given |= {name: np.zeros((STEPS, *size), dtype.storage) for name in ("y", "cells")}
    found = whole(dtype, "lstm_fwd_persistent", at, units, given, reverse, True)
    check(dtype, found, lambda z, w, *x: over_steps(z, w.T, *x, lengths, reverse), z, w, b, h, c)

    gates = dtype.encode(sigmoid(dtype.decode(z)))
    gy, cells = (small(dtype, seed, STEPS, *size) for seed in (5, 6))
    gh, gc = small(dtype, 8, *size), small(dtype, 9, *size)
    given = dict(gy=gy, w=w, gates=gates, cells=cells, c_0=c, gh=gh, gc=gc, lengths=lengths)
    given["gz"] = np.zeros_like(z)
    found = whole(dtype, "lstm_bwd_persistent", at, 4 * units, given, reverse)
    inputs = gy, w, gates, cells, c, gh, gc
    check(dtype, found, lambda *x: back_over_steps(*x, lengths, reverse), *inputs)


# --- launches and nulls


@pytest.mark.parametrize("launch", LAUNCHES, ids=str)
def test_any_launch_gives_the_same_bits(launch: tuple[int, int]) -> None:
    size = batch, units = 7, 40
    z, p = (numbers(FLOAT32, seed, batch, 4 * units) for seed in (0, 1))
    given = dict(z=z, product=p, h=z[:, :units].copy(), c=p[:, :units].copy())
    arguments = FLOAT32, "lstm_fwd", given, dict(y=units, cells=units), T, *size
    one, other = launched(*arguments, launch=launch), launched(*arguments)
    for key, array in one.items():
        assert array.tobytes() == other[key].tobytes()


def test_null_stands_for_zeros() -> None:
    size = batch, units = 3, 5
    z, h = numbers(FLOAT32, 0, batch, 4 * units), numbers(FLOAT32, 1, *size)
    nothing = dict(product=np.zeros_like(z), bias=np.zeros(4 * units, np.float32))
    state, out = dict(z=z, h=h, c=h), dict(y=units, cells=units)
    one = launched(FLOAT32, "lstm_fwd", state, out, T, *size)
    other = launched(FLOAT32, "lstm_fwd", {**state, **nothing}, out, T, *size)
    for key, array in one.items():
        assert array.tobytes() == other[key].tobytes()
    state = dict(gates=z, cells=h, gh=h, gc=h)
    nothing = {name: np.zeros_like(h) for name in ("gy", "product", "before")}
    one = launched(FLOAT32, "lstm_bwd", state, dict(gz=4 * units), T, *size)
    other = launched(FLOAT32, "lstm_bwd", {**state, **nothing}, dict(gz=4 * units), T, *size)
    for key, array in one.items():
        np.testing.assert_array_equal(array, other[key])
