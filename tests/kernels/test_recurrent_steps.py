"""kernels/recurrent_steps.cu, executed: all steps in one launch against those of one step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.kernels import needs
from tests.kernels.dtypes import DTYPES, FLOAT32, Array, DType
from tests.kernels.test_recurrent import (
    ENDS,
    check,
    ends_of,
    every,
    gru,
    gru_back,
    launched,
    lstm,
    lstm_back,
    marked,
    sigmoid,
)

pytestmark = needs.compiler

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


def gru_over_steps(
    z: Array, w: Array, b: Array, h: Array, ends: Any, reverse: bool
) -> dict[str, Array]:
    """`gru` above, step after step; z (steps, batch, 3 units), w (3 units, units)."""
    units = h.shape[1]
    y, q, gates = np.empty((len(z), *h.shape), z.dtype), np.empty_like(z[..., :units]), z.copy()
    for t in range(len(z))[:: -1 if reverse else 1]:
        on = np.ones((len(h), 1), bool) if ends is None else (ends > t)[:, None]
        p = h @ w.T
        step = gru(z[t], p, b, h, on)
        q[t] = (p[:, 2 * units :] + b[3 * units :]) * on
        y[t], gates[t], h = step["y"], step["z"], step["h"]
    return dict(z=gates, h=h, y=y, q=q)


def gru_back_over_steps(
    gy: Array, w: Array, gates: Array, q: Array, y: Array, h_0: Array, gh: Array, ends: Any,
    reverse: bool,
) -> dict[str, Array]:  # fmt: skip
    steps, batch, units = y.shape
    gz, p = np.empty((steps, batch, 4 * units), y.dtype), np.zeros_like(gh)
    ends = np.full(batch, steps) if ends is None else ends
    for t in range(steps)[:: 1 if reverse else -1]:
        earlier = t + 1 if reverse else t - 1
        begins = np.full(batch, earlier < 0) | (earlier >= ends)
        before = np.where(begins[:, None], h_0, y[min(earlier, steps - 1)])
        step = gru_back(gy[t], p, gates[t], q[t], before, gh, (ends > t)[:, None])
        gz[t], gh, p = step["gz"], step["gh"], step["back"] @ w
    return dict(gz=gz, gh=gh + p)


def small(dtype: DType, seed: int, *shape: int) -> Array:
    return dtype.encode(np.random.default_rng(seed).normal(0.0, 0.5, shape))


# --- a block a sequence


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


# --- a whole grid

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
    shared = len(given["w"]) * block[0] * np.dtype(dtype.storage).itemsize
    rest = STEPS, batch, units, *block, *flags
    return launched(dtype, name, given, {}, *rest, launch=(grid, threads), shared=shared)


whole_grids = [
    pytest.mark.parametrize("at", WHOLE, ids=str),
    pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"]),
    *every[1:],
]


@marked(whole_grids)
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


def gru_given(dtype: DType, batch: int, units: int, name: str = "") -> dict[str, Any]:
    """What both kernels of the GRU read, and room for what they write."""
    shapes = dict(z=(STEPS, batch, 3 * units), w=(3 * units, units), bias=(4 * units,))
    shapes |= dict.fromkeys(("h", "h_0", "gh"), (batch, units))
    shapes |= dict.fromkeys(("gy", "q", "y"), (STEPS, batch, units))
    given = {name: small(dtype, seed, *shape) for seed, (name, shape) in enumerate(shapes.items())}
    given["gates"] = dtype.encode(sigmoid(dtype.decode(given["z"])))
    return given


GRU_FWD, GRU_BWD = ("z", "w", "bias", "h"), ("gy", "w", "gates", "q", "y", "h_0", "gh")


@marked(whole_grids)
def test_whole_grids_of_a_gru(dtype: DType, ends: bool, reverse: bool, at: tuple[int, ...]) -> None:
    size = batch, units = at[:2]
    lengths = None if not ends else np.resize(ENDS, batch)
    arrays = gru_given(dtype, *size)
    given = {name: arrays[name] for name in GRU_FWD} | dict(lengths=lengths)
    given |= {name: np.zeros((STEPS, *size), dtype.storage) for name in ("y", "q")}
    found = whole(dtype, "gru_fwd_persistent", at, units, given, reverse)
    inputs = [arrays[name] for name in GRU_FWD]
    check(dtype, found, lambda *x: gru_over_steps(*x, lengths, reverse), *inputs)

    given = {name: arrays[name] for name in GRU_BWD} | dict(lengths=lengths)
    given["gz"] = np.zeros((STEPS, batch, 4 * units), dtype.storage)
    found = whole(dtype, "gru_bwd_persistent", at, 3 * units, given, reverse)
    inputs = [arrays[name] for name in GRU_BWD]
    check(dtype, found, lambda *x: gru_back_over_steps(*x, lengths, reverse), *inputs)


def test_any_whole_grid_gives_the_same_bits() -> None:
    size = batch, units = 9, 12
    arrays = gru_given(FLOAT32, *size)
    results = []
    for at in ((*size, 4, 4, 64), (*size, 8, 12, 256)):
        given = {name: arrays[name] for name in GRU_FWD}
        given |= {name: np.zeros((STEPS, *size), np.float32) for name in ("y", "q")}
        forward = whole(FLOAT32, "gru_fwd_persistent", at, units, given, False)
        given = {name: arrays[name] for name in GRU_BWD}
        given["gz"] = np.zeros((STEPS, batch, 4 * units), np.float32)
        back = whole(FLOAT32, "gru_bwd_persistent", at, 3 * units, given, False)
        results.append([forward[name] for name in "zhyq"] + [back["gz"], back["gh"]])
    for one, other in zip(*results, strict=True):
        assert one.tobytes() == other.tobytes()


def test_null_stands_for_zeros() -> None:
    at = batch, units, *_ = 3, 5, 4, 4, 64
    arrays = gru_given(FLOAT32, batch, units)
    given = {name: arrays[name] for name in ("z", "w", "h")}
    given |= {name: np.zeros((STEPS, batch, units), np.float32) for name in ("y", "q")}
    nothing = dict(bias=np.zeros(4 * units, np.float32), lengths=np.full(batch, STEPS))
    name = "gru_fwd_persistent"
    one = whole(FLOAT32, name, at, units, dict(given), False)
    other = whole(FLOAT32, name, at, units, given | nothing, False)
    for key, array in one.items():
        assert array.tobytes() == other[key].tobytes()
    given = {name: arrays[name] for name in ("w", "gates", "q", "y", "gh")}
    given["gz"] = np.zeros((STEPS, batch, 4 * units), np.float32)
    nothing = dict(gy=np.zeros_like(arrays["gy"]), h_0=np.zeros_like(arrays["h_0"]))
    name = "gru_bwd_persistent"
    one = whole(FLOAT32, name, at, 3 * units, dict(given), False)
    other = whole(FLOAT32, name, at, 3 * units, given | nothing, False)
    for key, array in one.items():
        np.testing.assert_array_equal(array, other[key])
