"""kernels/pooling.cu, executed: against loops over windows, and the CPU twins."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from gpunet.backend import windows
from gpunet.backend.cpu import pooling as twin
from gpunet.backend.windows import Windows
from tests.kernels import needs
from tests.kernels.close import assert_close
from tests.kernels.dtypes import DTYPES, FLOAT16, FLOAT32, FLOAT64, Array, DType
from tests.kernels.host import build
from tests.kernels.host.device import Device, everywhere

pytestmark = needs.compiler

PLANES = 3
LAUNCHES = ((1, 32), (3, 64), (2, 256))  # blocks, threads
AXES = {
    "slide": (Windows(1, 1, 1), Windows(5, 3, 3, 2, 1), Windows(4, 2, 2, 2)),
    "overlap": (Windows(3, 2, 2), Windows(4, 4, 3, 1, 1), Windows(5, 3, 3)),
    "dilated": (Windows(1, 1, 1), Windows(1, 1, 1), Windows(9, 5, 3, 1, 0, 2)),
    "adaptive": (Windows(2, 3), Windows(5, 2), Windows(3, 3)),
    "sticks out": (Windows(1, 1, 1), Windows(1, 1, 1), Windows(4, 3, 3, 2, 1)),
}
PLAIN = [name for name in AXES if name != "dilated"]  # those that a mean has
APART = {
    "tiles": (Windows(1, 1, 1), Windows(4, 2, 2, 2), Windows(6, 2, 3, 3)),
    "a rest": (Windows(5, 2, 2, 2), Windows(1, 1, 1), Windows(7, 3, 2, 2)),
    "gaps": (Windows(1, 1, 1), Windows(6, 2, 2, 4), Windows(8, 3, 1, 3)),
    "padding": (Windows(1, 1, 1), Windows(4, 3, 2, 2, 1), Windows(6, 3, 3, 3, 1)),
    "adaptive, apart": (Windows(1, 1, 1), Windows(6, 3), Windows(4, 4)),
}


def sizes(axes: Any) -> tuple[int, ...]:
    return tuple(w.size for w in axes)


def outputs(axes: Any) -> tuple[int, ...]:
    return tuple(w.outputs for w in axes)


def elements(axes: Any) -> Any:
    """Each window's place in the result, and its elements' places in a plane."""
    table, starts = windows.inside(axes), np.cumsum([0, *outputs(axes)])
    for place in np.ndindex(*outputs(axes)):
        along = [table[:, s + o] for s, o in zip(starts, place, strict=False)]
        ranges = [range(*r, w.dilation) for r, w in zip(along, axes, strict=True)]
        yield place, list(itertools.product(*ranges))


def pool(name: str, dtype: DType, axes: Any, *arrays: Array, launch: Any = (3, 64)) -> Any:
    """Runs a kernel; `arrays` are its inputs in order."""
    backward, maximum = "bwd" in name, name.startswith("max")
    shape = sizes(axes) if backward else outputs(axes)
    tables = [windows.covering(axes) if backward else windows.inside(axes)]
    if name.endswith("apart"):
        tables = [windows.own(axes)] + [windows.inside(axes)] * (not maximum)
    if not maximum:
        tables.append(windows.lengths(axes, False))

    def program(device: Device) -> Any:
        out = device.empty((PLANES, *shape), dtype.storage)
        given: list[Any] = [device.array(x) for x in arrays]
        written: list[Any] = [out]
        if maximum and not backward:
            written.append(device.empty((PLANES, *shape), np.int64))
        there = [device.array(table.astype("int64")) for table in tables]
        rest: list[int] = [w.dilation for w in axes] if maximum and not backward else []
        if not maximum:
            rest = [0]
        kernel = build.load("pooling", dtype)[name]
        numbers = [PLANES, *sizes(axes), *outputs(axes), *rest]
        device.launch(kernel, *launch, *given, *written, *there, *numbers)
        return tuple(written) if len(written) > 1 else out

    return everywhere(program)


def example(dtype: DType, *shape: int) -> Array:
    return dtype.encode(np.random.default_rng(1).normal(0, 3, (PLANES, *shape)))


def largest(dtype: DType, x: Array, axes: Any) -> tuple[Array, Array]:
    values = dtype.decode(x)
    index = np.empty((PLANES, *outputs(axes)), np.int64)
    y = np.empty(index.shape)
    for place, at in elements(axes):
        for p in range(PLANES):
            best = max(at, key=lambda e: values[(p, *e)])  # the first of ties
            y[(p, *place)] = values[(p, *best)]
            index[(p, *place)] = np.ravel_multi_index(best, sizes(axes))
    return y, index


@pytest.mark.parametrize("launch", LAUNCHES, ids=str)
@pytest.mark.parametrize("name", AXES)
def test_the_largest_of_each_window(name: str, launch: tuple[int, int]) -> None:
    x = np.round(example(FLOAT32, *sizes(AXES[name])))  # with ties
    y, index = pool("max_pool_fwd", FLOAT32, AXES[name], x, launch=launch)
    expected = largest(FLOAT32, x, AXES[name])
    np.testing.assert_array_equal(y, expected[0])
    np.testing.assert_array_equal(index, expected[1])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_largest_in_every_dtype(dtype: DType) -> None:
    x = example(dtype, *sizes(AXES["slide"]))
    y, index = pool("max_pool_fwd", dtype, AXES["slide"], x)
    expected = largest(dtype, x, AXES["slide"])
    np.testing.assert_array_equal(dtype.decode(y), expected[0])
    np.testing.assert_array_equal(index, expected[1])


def test_nan_and_nothing() -> None:
    axes = (Windows(1, 1, 1), Windows(1, 1, 1), Windows(3, 2, 2))
    x = np.array([[1, np.nan, np.nan], [np.nan, 1, -np.inf], [-np.inf, -np.inf, -np.inf]], "f4")
    y, index = pool("max_pool_fwd", FLOAT32, axes, x.reshape(3, 1, 1, 3))
    nan, low = np.nan, -np.inf
    np.testing.assert_array_equal(y.reshape(3, 2), [[nan, nan], [nan, 1], [low, low]])
    np.testing.assert_array_equal(index.reshape(3, 2), [[1, 2], [0, 1], [0, 1]])
    missed = (Windows(1, 1, 1), Windows(1, 1, 1), Windows(1, 2, 2, 1, 2, 3))
    y, index = pool("max_pool_fwd", FLOAT32, missed, np.ones((3, 1, 1, 1), "f4"))
    assert (y == -np.inf).all()
    assert (index == -1).all()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", AXES)
def test_gradients_go_where_the_largest_are(name: str, dtype: DType) -> None:
    axes = AXES[name]
    x = np.round(example(FLOAT32, *sizes(axes)))
    _, index = largest(FLOAT32, x, axes)
    gy = example(dtype, *outputs(axes))

    def scattered(gy: Array) -> Array:
        gx = np.zeros((PLANES, int(np.prod(sizes(axes)))), gy.dtype)
        for p in range(PLANES):
            np.add.at(gx[p], index[p].reshape(-1), gy[p].reshape(-1))
        return gx.reshape(PLANES, *sizes(axes))

    assert_close(pool("max_pool_bwd", dtype, axes, gy, index), scattered, dtype, gy)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", PLAIN)
def test_means_and_their_gradients(name: str, dtype: DType) -> None:
    axes = AXES[name]

    def means(x: Array) -> Array:
        y = np.empty((PLANES, *outputs(axes)), x.dtype)
        for place, at in elements(axes):
            y[(slice(None), *place)] = sum(x[(slice(None), *e)] for e in at) / x.dtype.type(len(at))
        return y

    def spread(gy: Array) -> Array:
        gx = np.zeros((PLANES, *sizes(axes)), gy.dtype)
        for place, at in elements(axes):
            for e in at:
                gx[(slice(None), *e)] += gy[(slice(None), *place)] / gy.dtype.type(len(at))
        return gx

    x, gy = example(dtype, *sizes(axes)), example(dtype, *outputs(axes))
    assert_close(pool("avg_pool_fwd", dtype, axes, x), means, dtype, x)
    assert_close(pool("avg_pool_bwd", dtype, axes, gy), spread, dtype, gy)


@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=str)
@pytest.mark.parametrize("name", AXES)
def test_equals_the_cpu_twins(name: str, dtype: DType) -> None:
    axes = AXES[name]
    x, gy = example(dtype, *sizes(axes)), example(dtype, *outputs(axes))
    y, index = twin.max_pool_fwd(x, axes)
    here = pool("max_pool_fwd", dtype, axes, x)
    np.testing.assert_array_equal(here[0], y)
    np.testing.assert_array_equal(here[1], index)
    pairs = [(pool("max_pool_bwd", dtype, axes, gy, here[1]), twin.max_pool_bwd(gy, index, axes))]
    if name in PLAIN:
        how = axes, False, 0
        pairs.append((pool("avg_pool_fwd", dtype, axes, x), twin.avg_pool_fwd(x, *how)))
        pairs.append((pool("avg_pool_bwd", dtype, axes, gy), twin.avg_pool_bwd(gy, *how)))
    for got, expected in pairs:
        assert np.abs(got - expected).max() <= 16 * dtype.epsilon * np.abs(expected).max()


@pytest.mark.parametrize("launch", LAUNCHES, ids=str)
@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT16], ids=str)
@pytest.mark.parametrize("name", APART)
def test_windows_apart_are_those_that_may_overlap(
    name: str, dtype: DType, launch: tuple[int, int]
) -> None:
    axes = APART[name]
    assert windows.apart(axes)
    x, gy = example(dtype, *sizes(axes)), example(dtype, *outputs(axes))
    _, index = largest(dtype, x, axes)
    for kernel, arrays in {"max_pool_bwd": (gy, index), "avg_pool_bwd": (gy,)}.items():
        apart = pool(f"{kernel}_apart", dtype, axes, *arrays, launch=launch)
        np.testing.assert_array_equal(apart, pool(kernel, dtype, axes, *arrays))


def test_which_windows_are_apart() -> None:
    overlapping = {name: axes for name, axes in AXES.items() if not windows.apart(axes)}
    assert list(overlapping) == ["slide", "overlap", "dilated", "adaptive", "sticks out"]


def test_half_is_summed_in_float() -> None:
    # 4096 ones: a sum in half precision would stop at 2048, where one more no longer counts.
    axes = (Windows(1, 1, 1), Windows(1, 1, 1), Windows(4096, 1))
    y = pool("avg_pool_fwd", FLOAT16, axes, np.ones((PLANES, 1, 1, 4096), np.float16))
    assert (y == 1).all()
