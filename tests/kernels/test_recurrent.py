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


def marked(marks: list[Any]) -> Any:
    def mark_all(test: Any) -> Any:
        for mark in marks:
            test = mark(test)
        return test

    return mark_all


@marked(every)
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


@marked(every)
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


@marked(every)
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
