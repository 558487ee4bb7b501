"""kernels/normalization.cu, executed: against the formulas and the CPU twins."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gpunet.backend.cpu import normalization as twin
from tests.kernels import needs
from tests.kernels.close import assert_close
from tests.kernels.dtypes import DTYPES, FLOAT16, FLOAT32, FLOAT64, Array, DType
from tests.kernels.host import build
from tests.kernels.host.device import Device, everywhere

pytestmark = needs.compiler

EPS = 1e-2
LAUNCHES = ((1, 32), (3, 64), (2, 256))  # blocks, threads
# Samples, channels, size; each thread has pieces of 16 bytes and of an element, a few and many.
BLOCKS = ((4, 3, 5), (7, 2, 1), (2, 3, 104), (1, 1, 70), (40, 2, 3), (3, 2, 1000))
CHUNKS = [0, 1, 3]  # of a channel, in two launches; 0 is one launch
# Rows, columns, channels, spread: of layers, of groups of channels, of single channels. Rows of a
# warp, which have pieces of 16 bytes, and rows of a block.
LAYERS = ((3, 5, 5, 1), (2, 300, 300, 1), (9, 8, 8, 1), (3, 512, 512, 1), (2, 1000, 1000, 1),
          (2, 1032, 1032, 1), (1, 2, 2, 1))  # fmt: skip
GROUPS = ((6, 10, 4, 5), (6, 2, 4, 1), (6, 7, 3, 7), (4, 48, 8, 12), (4, 16, 2, 16))
ROWS = (*LAYERS, *GROUPS)


def numbers(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).normal(1.0, 2.0, shape)


def parameters(dtype: DType, channels: int, given: bool) -> list[Array | None]:
    if not given:
        return [None, None]
    return [dtype.encode(numbers(seed, channels)) for seed in (8, 9)]


def put(device: Device, *arrays: Array | None) -> list[Any]:
    return [None if x is None else device.array(x) for x in arrays]


# --- channels


def normalised(x: Array, axes: Any, centred: bool = True) -> tuple[Array, Array]:
    """x̂ and the reciprocal of its deviation."""
    if centred:
        x = x - x.mean(axes, keepdims=True)
    rstd = 1 / np.sqrt((x**2).mean(axes, keepdims=True) + x.dtype.type(EPS))
    return x * rstd, rstd


def backwards(g: Array, x: Array, axes: Any, centred: bool = True) -> Array:
    """The gradient of x where that of x̂ is g."""
    x, rstd = normalised(x, axes, centred)
    mean = g.mean(axes, keepdims=True) if centred else g.dtype.type(0)
    return rstd * (g - mean - x * (g * x).mean(axes, keepdims=True))


def of_channels(p: Array) -> Array:
    return p[None, :, None]


def batch_norm(
    dtype: DType, x: Array, weight: Any, bias: Any, relu: bool = False, launch: Any = (2, 64),
    chunks: int = 0, given: Any = (),
) -> Any:  # fmt: skip
    channels, kernels = x.shape[1], build.load("normalization", dtype)
    (blocks, threads), how = launch, (*x.shape, EPS, bool(given), relu)

    def program(device: Device) -> Any:
        statistics = put(device, *given) or [
            device.empty(channels, dtype.accumulator) for _ in range(2)
        ]
        y = device.empty(x.shape, dtype.storage)
        there, *parameters = put(device, x, weight, bias)
        if not chunks:
            kernel = kernels["batch_norm_fwd"]
            device.launch(kernel, *launch, there, *parameters, *statistics, y, *how)
            return y, *statistics
        grid, partial = ((blocks, chunks), threads), None
        if not given:
            partial = device.empty((channels, chunks, 3), dtype.accumulator)
            device.launch(kernels["batch_norm_fwd_partial"], *grid, there, partial, *x.shape)
        finish = kernels["batch_norm_fwd_finish"]
        device.launch(finish, *grid, there, *parameters, partial, *statistics, y, *how)
        return y, *statistics

    return everywhere(program)


def batch_norm_bwd(
    dtype: DType, gy: Array, x: Array, weight: Any, bias: Any, statistics: Any, given: bool,
    relu: bool, launch: Any = (2, 64), in_place: bool = False, chunks: int = 0,
) -> Any:  # fmt: skip
    channels, kernels = x.shape[1], build.load("normalization", dtype)
    blocks, threads = launch

    def program(device: Device) -> Any:
        gw, gb = (device.empty(channels, dtype.storage) for _ in range(2))
        upstream, *rest = put(device, gy, x, weight, bias, *statistics)
        gx = upstream if in_place else device.empty(x.shape, dtype.storage)
        arrays, results, how = (upstream, *rest), (gx, gw, gb), (*x.shape, EPS, given, relu)
        if not chunks:
            device.launch(kernels["batch_norm_bwd"], *launch, *arrays, *results, *how)
            return results
        grid = (blocks, chunks), threads
        partial = device.empty((channels, chunks, 2), dtype.accumulator)
        first, finish = (kernels[f"batch_norm_bwd_{name}"] for name in ("partial", "finish"))
        device.launch(first, *grid, *arrays, partial, *x.shape, EPS, relu)
        device.launch(finish, *grid, *arrays, partial, *results, *how)
        return results

    return everywhere(program)


@pytest.mark.parametrize("shape", BLOCKS, ids=str)
@pytest.mark.parametrize("affine", [True, False], ids=["affine", "plain"])
@pytest.mark.parametrize("chunks", CHUNKS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_channels(dtype: DType, chunks: int, affine: bool, shape: tuple[int, int, int]) -> None:
    x, gy = dtype.encode(numbers(1, *shape)), dtype.encode(numbers(2, *shape))
    weight, bias = parameters(dtype, shape[1], affine)
    y, mean, var = batch_norm(dtype, x, weight, bias, chunks=chunks)

    def forward(x: Array, *p: Array) -> Array:
        y = normalised(x, (0, 2))[0]
        return y * of_channels(p[0]) + of_channels(p[1]) if p else y

    given = [p for p in (weight, bias) if p is not None]
    assert_close(y, forward, dtype, x, *given)
    values = dtype.decode(x)
    np.testing.assert_allclose(mean, values.mean((0, 2)), atol=1e-5)
    np.testing.assert_allclose(var, values.var((0, 2)), rtol=1e-5, atol=1e-6)
    statistics = mean, var
    gradients = batch_norm_bwd(dtype, gy, x, weight, bias, statistics, False, False, chunks=chunks)
    oracles: Any = (
        lambda g, x, *p: backwards(g * of_channels(p[0]) if p else g, x, (0, 2)),
        lambda g, x, *p: (g * normalised(x, (0, 2))[0]).sum((0, 2)),
        lambda g, x, *p: g.sum((0, 2)),
    )
    for got, oracle in zip(gradients, oracles, strict=True):
        assert_close(got, oracle, dtype, gy, x, *given)


@pytest.mark.parametrize("launch", LAUNCHES, ids=str)
@pytest.mark.parametrize("given", [True, False], ids=["given", "own"])
@pytest.mark.parametrize("relu", [True, False], ids=["relu", "plain"])
@pytest.mark.parametrize("chunks", CHUNKS)
def test_channels_equal_the_cpu_twins(
    chunks: int, relu: bool, given: bool, launch: tuple[int, int]
) -> None:
    shape = (5, 3, 40)
    x, gy = (numbers(seed, *shape).astype("float64") for seed in (1, 2))
    weight, bias = parameters(FLOAT64, 3, True)
    y, mean, var = batch_norm(FLOAT64, x, weight, bias, relu, launch, chunks)
    theirs = np.empty(3), np.empty(3)
    expected = twin.batch_norm_fwd(x, weight, bias, *theirs, EPS, False, relu)
    pairs = [(y, expected), (mean, theirs[0]), (var, theirs[1])]
    statistics = (mean + 0.1, var + 0.1) if given else (mean, var)
    if given:
        y, *same = batch_norm(FLOAT64, x, weight, bias, relu, launch, chunks, statistics)
        pairs += [(y, twin.batch_norm_fwd(x, weight, bias, *statistics, EPS, True, relu))]
        assert all((a == b).all() for a, b in zip(same, statistics, strict=True))
    ours = batch_norm_bwd(
        FLOAT64, gy, x, weight, bias, statistics, given, relu, launch, chunks=chunks
    )
    twins = twin.batch_norm_bwd(gy, x, weight, bias, *statistics, EPS, given, relu)
    for got, wanted in [*pairs, *zip(ours, twins, strict=True)]:
        assert np.abs(got - wanted).max() <= 200 * FLOAT64.epsilon * np.abs(wanted).max()


@pytest.mark.parametrize("chunks", CHUNKS)
def test_large_means_do_no_harm(chunks: int) -> None:
    x = (1e4 + np.random.default_rng(0).normal(0, 1, (30, 2, 40))).astype(np.float32)
    _, mean, var = batch_norm(FLOAT32, x, None, None, chunks=chunks)
    wide = x.astype(np.float64)
    np.testing.assert_allclose(mean, wide.mean((0, 2)), rtol=2 * FLOAT32.epsilon)
    # A mean of 10^4 is rounded to multiples of 2^-10 at each step, and so is what is squared.
    np.testing.assert_allclose(var, wide.var((0, 2)), atol=2.0**-10)


@pytest.mark.parametrize("chunks", CHUNKS)
def test_nan_stays_in_its_channel(chunks: int) -> None:
    x = numbers(1, 4, 3, 5).astype(np.float32)
    x[2, 1, 3] = np.nan
    y = batch_norm(FLOAT32, x, None, None, relu=True, chunks=chunks)[0]
    assert np.isnan(y[:, 1]).all()
    assert not np.isnan(y[:, [0, 2]]).any()


@pytest.mark.parametrize("chunks", CHUNKS)
def test_the_gradient_of_channels_may_take_the_place_of_another(chunks: int) -> None:
    x, gy = (numbers(seed, 4, 3, 52).astype(np.float32) for seed in (1, 2))
    weight, bias = parameters(FLOAT32, 3, True)
    _, mean, var = batch_norm(FLOAT32, x, weight, bias)
    arguments = FLOAT32, gy, x, weight, bias, (mean, var), False, True
    apart, same = (
        batch_norm_bwd(*arguments, in_place=in_place, chunks=chunks) for in_place in (False, True)
    )
    assert all((a == b).all() for a, b in zip(apart, same, strict=True))


@pytest.mark.parametrize("size", [0, 1, 33, 100])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_running_statistics_move_towards_what_was_found(dtype: DType, size: int) -> None:
    kept, found = dtype.encode(numbers(1, size)), numbers(2, size).astype(dtype.accumulator)

    def program(device: Device) -> Array:
        moved = device.array(kept)
        kernel = build.load("normalization", dtype)["running_stats"]
        device.launch(kernel, 2, 32, moved, device.array(found), size, 0.1, 1.25)
        return moved

    def oracle(before: Array) -> Array:
        return before * 9 / 10 + found.astype(before.dtype) / 8

    assert_close(everywhere(program), oracle, dtype, kept)


# --- rows


def row_norm(
    dtype: DType, x: Array, weight: Any, bias: Any, layout: Any, centred: bool,
    launch: Any = (2, 64),
) -> Any:  # fmt: skip
    rows, _, channels, spread = layout

    def program(device: Device) -> Any:
        mean, var = (device.empty(rows, dtype.accumulator) for _ in range(2))
        y = device.empty(x.shape, dtype.storage)
        arrays = *put(device, x, weight, bias), mean, var, y
        kernel = build.load("normalization", dtype)["row_norm_fwd"]
        device.launch(kernel, *launch, *arrays, *x.shape, channels, spread, EPS, centred)
        return y, mean, var

    return everywhere(program)


def row_norm_bwd(
    dtype: DType, gy: Array, x: Array, weight: Any, statistics: Any, layout: Any, centred: bool,
    launch: Any = (2, 64), chunks: int = 2,
) -> Any:  # fmt: skip
    _, columns, channels, spread = layout
    width = channels * spread

    def program(device: Device) -> Any:
        upstream, there, w, mean, var = put(device, gy, x, weight, *statistics)
        gx = device.empty(x.shape, dtype.storage)
        kernels = build.load("normalization", dtype)
        arrays = upstream, there, w, mean, var, gx
        sizes = *x.shape, channels, spread, EPS, centred
        device.launch(kernels["row_norm_bwd"], *launch, *arrays, *sizes)
        partial = device.empty((chunks, 2, width), dtype.accumulator)
        finish = kernels["row_norm_bwd_finish"], (-(-width // 32), chunks), 64
        arrays = upstream, there, mean, var, partial
        device.launch(*finish, *arrays, x.size // width, width, columns, EPS)
        return gx, partial

    gx, partial = everywhere(program)
    return gx, *partial.reshape(chunks, 2, channels, spread).sum((0, 3))


def spread_out(p: Array, layout: Any) -> Array:
    """The parameter of each element."""
    rows, columns, channels, spread = layout
    return np.tile(np.repeat(p, spread), rows * columns // (channels * spread)).reshape(rows, -1)


@pytest.mark.parametrize("layout", ROWS, ids=str)
@pytest.mark.parametrize("centred", [True, False], ids=["centred", "rms"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_rows(dtype: DType, centred: bool, layout: Any) -> None:
    rows, columns, channels, _ = layout
    x, gy = (dtype.encode(numbers(seed, rows, columns)) for seed in (1, 2))
    weight, bias = parameters(dtype, channels, True)
    y, mean, var = row_norm(dtype, x, weight, bias, layout, centred)

    def forward(x: Array, w: Array, b: Array) -> Array:
        return normalised(x, 1, centred)[0] * spread_out(w, layout) + spread_out(b, layout)

    def gradient(g: Array, x: Array, w: Array) -> Array:
        return backwards(g * spread_out(w, layout), x, 1, centred)

    assert_close(y, forward, dtype, x, weight, bias)
    gx, gw, gb = row_norm_bwd(dtype, gy, x, weight, (mean, var), layout, centred)
    assert_close(gx, gradient, dtype, gy, x, weight)
    wide, g = dtype.decode(x), dtype.decode(gy)
    products = (g * normalised(wide, 1, centred)[0]).reshape(-1, channels, layout[3]).sum((0, 2))
    totals = g.reshape(-1, channels, layout[3]).sum((0, 2))
    eps = np.finfo(dtype.accumulator).eps
    for got, wanted in ((gw, products), (gb, totals)):
        assert np.abs(got - wanted).max() <= 200 * eps * max(1.0, np.abs(wanted).max())


@pytest.mark.parametrize("launch", LAUNCHES, ids=str)
@pytest.mark.parametrize("layout", ROWS, ids=str)
def test_rows_equal_the_cpu_twins(layout: Any, launch: tuple[int, int]) -> None:
    rows, columns, channels, spread = layout
    x, gy = numbers(1, rows, columns), numbers(2, rows, columns)
    weight, bias = parameters(FLOAT64, channels, True)
    y, mean, var = row_norm(FLOAT64, x, weight, bias, layout, True, launch)
    theirs = np.empty(rows), np.empty(rows)
    expected = twin.row_norm_fwd(x, weight, bias, *theirs, channels, spread, EPS, True)
    pairs = [(y, expected), (mean, theirs[0]), (var, theirs[1])]
    ours = row_norm_bwd(FLOAT64, gy, x, weight, (mean, var), layout, True, launch)
    how = channels, spread, EPS, True, True
    twins = twin.row_norm_bwd(gy, x, weight, mean, var, *how)
    for got, wanted in [*pairs, *zip(ours, twins, strict=True)]:
        scale = max(1.0, np.abs(wanted).max())
        assert np.abs(got - wanted).max() <= 200 * FLOAT64.epsilon * scale


def test_chunks_share_the_samples_whatever_their_number() -> None:
    layout = (8, 4, 4, 1)
    x, gy = (numbers(seed, 8, 4).astype(np.float32) for seed in (1, 2))
    _, mean, var = row_norm(FLOAT32, x, None, None, layout, True)
    found = [
        row_norm_bwd(FLOAT32, gy, x, None, (mean, var), layout, True, chunks=chunks)
        for chunks in (1, 3, 8, 11)
    ]
    for _, gw, gb in found[1:]:
        np.testing.assert_allclose(gw, found[0][1], atol=1e-5)
        np.testing.assert_allclose(gb, found[0][2], atol=1e-5)


def test_half_types_are_summed_in_float() -> None:
    # The squares of 300 overflow float16, and 4000 of them even more so.
    x = np.random.default_rng(0).normal(0, 300, (2, 4000)).astype(np.float16)
    y, _, var = row_norm(FLOAT16, x, None, None, (2, 4000, 4000, 1), True)
    wide = x.astype(np.float64)
    np.testing.assert_allclose(var, wide.var(1), rtol=1e-5)
    exact = (wide - wide.mean(1, keepdims=True)) / wide.std(1, keepdims=True)
    assert np.abs(y - exact).max() <= FLOAT16.epsilon * np.abs(exact).max()
