"""kernels/conv*.cu, executed: against sums over windows and the CPU twins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pytest

from gpunet.backend.cpu import conv as twin
from tests.kernels import needs
from tests.kernels.close import assert_close
from tests.kernels.dtypes import DTYPES, FLOAT32, FLOAT64, Array, DType
from tests.kernels.host import build
from tests.kernels.host.device import Device, everywhere

pytestmark = needs.compiler
Three = tuple[int, int, int]


@dataclass(frozen=True)
class Setting:
    """A convolution: samples, channels in a group, filters in a group, and how filters move."""

    samples: int
    inputs: int
    filters: int
    size: Three
    kernel: Three
    stride: Three = (1, 1, 1)
    padding: Three = (0, 0, 0)
    dilation: Three = (1, 1, 1)
    groups: int = 1

    @property
    def out(self) -> Three:
        axes = zip(self.size, self.padding, self.dilation, self.kernel, self.stride, strict=True)
        shape: Any = tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, p, d, k, s in axes)
        return shape

    @property
    def moves(self) -> Any:
        return self.stride, tuple((p, p) for p in self.padding), self.dilation

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        channels, filters = self.inputs * self.groups, self.filters * self.groups
        return {
            "x": (self.samples, channels, *self.size),
            "w": (filters, self.inputs, *self.kernel),
            "y": (self.samples, filters, *self.out),
            "columns": (self.samples, channels * int(np.prod(self.kernel)), int(np.prod(self.out))),
        }

    def words(self) -> Array:
        """struct Geometry."""
        numbers = [self.samples, self.groups, self.inputs, self.filters]
        for three in (self.size, self.out, self.kernel, self.stride, self.padding, self.dilation):
            numbers += three
        return np.array(numbers, np.int64)

    def array(self, name: str, seed: int = 0) -> Array:
        return np.random.default_rng(seed).standard_normal(self.shapes[name])


SETTINGS = [
    Setting(2, 3, 5, (1, 6, 7), (1, 3, 3), padding=(0, 1, 1)),
    Setting(1, 2, 70, (1, 9, 9), (1, 3, 2), stride=(1, 2, 2)),
    Setting(2, 2, 3, (4, 5, 6), (2, 3, 2), (2, 1, 3), (1, 0, 2), (1, 2, 1)),
    Setting(2, 2, 3, (1, 5, 8), (1, 2, 3), (1, 3, 2), (0, 2, 1), (1, 2, 3), groups=2),
    Setting(3, 1, 1, (1, 1, 17), (1, 1, 4), (1, 1, 5), groups=4),
    Setting(2, 20, 3, (1, 3, 3), (1, 1, 1), (1, 2, 2)),
    Setting(1, 1, 1, (1, 1, 1), (1, 1, 1)),
    Setting(0, 2, 3, (1, 4, 4), (1, 2, 2)),
]

# --- the sums, tap by tap


def meets(at: Setting, tap: Three) -> tuple[slice, ...]:
    """What a tap meets in a padded volume, for all output positions."""
    axes = zip(tap, at.dilation, at.stride, at.out, strict=True)
    return (..., *[slice(k * d, k * d + s * (n - 1) + 1, s) for k, d, s, n in axes])  # type: ignore[return-value]


def padded(at: Setting, x: Array) -> Array:
    return np.pad(x, [(0, 0), (0, 0), *[(p, p) for p in at.padding]])


def cropped(at: Setting, x: Array) -> Array:
    return x[(..., *[slice(p, p + n) for p, n in zip(at.padding, at.size, strict=True)])]


def by_group(at: Setting, x: Array, axis: int) -> Array:
    in_group = x.shape[axis] // at.groups
    return x.reshape(*x.shape[:axis], at.groups, in_group, *x.shape[axis + 1 :])


def forward(at: Setting) -> Callable[..., Array]:
    def formula(x: Array, w: Array, bias: Array) -> Array:
        x, w = by_group(at, padded(at, x), 1), by_group(at, w, 0)
        y = 0
        for tap in product(*map(range, at.kernel)):
            y = y + np.einsum("ngczyx,gfc->ngfzyx", x[meets(at, tap)], w[(..., *tap)])
        return y.reshape(at.shapes["y"]) + bias[:, None, None, None]

    return formula


def backward_x(at: Setting) -> Callable[..., Array]:
    def formula(gy: Array, w: Array, bias: Array) -> Array:
        gy, w = by_group(at, gy, 1), by_group(at, w, 0)
        gx = by_group(at, padded(at, np.zeros(at.shapes["x"], gy.dtype)), 1)
        for tap in product(*map(range, at.kernel)):
            gx[meets(at, tap)] += np.einsum("ngfzyx,gfc->ngczyx", gy, w[(..., *tap)])
        shape = (at.samples, at.groups * at.inputs, *gx.shape[3:])
        return cropped(at, gx.reshape(shape)) + bias[:, None, None, None]

    return formula


def backward_w(at: Setting) -> Callable[..., Array]:
    def formula(x: Array, gy: Array) -> Array:
        x, gy = by_group(at, padded(at, x), 1), by_group(at, gy, 1)
        gw = np.zeros((at.groups, at.filters, at.inputs, *at.kernel), x.dtype)
        for tap in product(*map(range, at.kernel)):
            gw[(..., *tap)] = np.einsum("ngczyx,ngfzyx->gfc", x[meets(at, tap)], gy)
        return gw.reshape(at.shapes["w"])

    return formula


def columns_of(at: Setting) -> Callable[..., Array]:
    def formula(x: Array) -> Array:
        x = padded(at, x)
        seen = [x[meets(at, tap)] for tap in product(*map(range, at.kernel))]
        return np.stack(seen, 2).reshape(at.shapes["columns"])

    return formula


def image_of(at: Setting) -> Callable[..., Array]:
    def formula(columns: Array) -> Array:
        x = padded(at, np.zeros(at.shapes["x"], columns.dtype))
        taps = list(product(*map(range, at.kernel)))
        columns = columns.reshape(*x.shape[:2], len(taps), *at.out)
        for i, tap in enumerate(taps):
            x[meets(at, tap)] += columns[:, :, i]
        return cropped(at, x)

    return formula


# --- launches


def run(
    name: str, dtype: DType, at: Setting, result: str, arrays: list[Array | None], grid: Any = 2
) -> Array:
    def program(device: Device) -> Array:
        out = device.empty(at.shapes[result], dtype.storage)
        given = [None if x is None else device.array(x) for x in arrays]
        kernel = build.load("conv", dtype)[name]
        device.launch(kernel, grid, 256, *given, out, device.array(at.words()))
        return out

    return everywhere(program)


def weight_gradient(dtype: DType, at: Setting, x: Array, gy: Array, chunks: int = 2) -> Array:
    def program(device: Device) -> Array:
        gw = device.empty(at.shapes["w"], dtype.storage)
        partial = device.empty((chunks, *gw.shape), dtype.accumulator)
        kernels, words = build.load("conv", dtype), device.array(at.words())
        given = device.array(x), device.array(gy)
        device.launch(kernels["conv_bwd_w"], (1, chunks), 256, *given, partial, words)
        device.launch(kernels["conv_bwd_w_finish"], 2, 64, partial, gw, chunks, gw.size)
        return gw

    return everywhere(program)


every_setting = pytest.mark.parametrize("at", SETTINGS, ids=str)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


@every_setting
@every_dtype
def test_forward(dtype: DType, at: Setting) -> None:
    bias = np.random.default_rng(2).standard_normal(at.filters * at.groups)
    arrays = [dtype.encode(x) for x in (at.array("x"), at.array("w", 1), bias)]
    assert_close(run("conv_fwd", dtype, at, "y", arrays), forward(at), dtype, *arrays)


@every_setting
@every_dtype
def test_gradient_of_the_input(dtype: DType, at: Setting) -> None:
    bias = np.random.default_rng(2).standard_normal(at.inputs * at.groups)
    arrays = [dtype.encode(x) for x in (at.array("y"), at.array("w", 1), bias)]
    assert_close(run("conv_bwd_x", dtype, at, "x", arrays), backward_x(at), dtype, *arrays)


@every_setting
@every_dtype
def test_gradient_of_the_weights(dtype: DType, at: Setting) -> None:
    arrays = [dtype.encode(x) for x in (at.array("x"), at.array("y", 1))]
    assert_close(weight_gradient(dtype, at, *arrays), backward_w(at), dtype, *arrays)


@every_setting
@every_dtype
def test_patches(dtype: DType, at: Setting) -> None:
    x, columns = dtype.encode(at.array("x")), dtype.encode(at.array("columns"))
    assert (run("im2col", dtype, at, "columns", [x]) == columns_of(at)(x)).all()
    assert_close(run("col2im", dtype, at, "x", [columns]), image_of(at), dtype, columns)


@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=str)
@every_setting
def test_equals_the_cpu_twins(dtype: DType, at: Setting) -> None:
    x, w, y = (dtype.encode(at.array(name, i)) for i, name in enumerate("xwy"))
    kernel, groups = at.kernel, at.groups
    pairs = [
        (
            run("conv_fwd", dtype, at, "y", [x, w, None]),
            twin.conv_fwd(x, w, None, *at.moves, groups),
        ),
        (
            run("conv_bwd_x", dtype, at, "x", [y, w, None]),
            twin.conv_bwd_x(y, w, at.size, *at.moves, groups),
        ),
        (weight_gradient(dtype, at, x, y), twin.conv_bwd_w(x, y, kernel, *at.moves, groups)),
    ]
    columns = run("im2col", dtype, at, "columns", [x])
    assert (columns == twin.im2col(x, kernel, *at.moves)).all()
    image = run("col2im", dtype, at, "x", [columns])
    pairs.append((image, twin.col2im(columns, at.size, kernel, *at.moves)))
    for actual, expected in pairs:
        largest = np.abs(expected).max(initial=0.0)
        assert np.abs(actual - expected).max(initial=0.0) <= 32 * dtype.epsilon * largest


@pytest.mark.parametrize("grid", [1, 7, (3, 2), (2, 9)], ids=str)
def test_any_grid_is_right(grid: Any) -> None:
    at = SETTINGS[3]
    y, w = (FLOAT32.encode(at.array(name, i)) for i, name in enumerate("yw"))
    plain = run("conv_bwd_x", FLOAT32, at, "x", [y, w, None], (1, 1))
    assert (run("conv_bwd_x", FLOAT32, at, "x", [y, w, None], grid) == plain).all()


def test_several_tiles_and_chunks() -> None:
    at = Setting(2, 30, 65, (1, 7, 8), (1, 3, 3), padding=(0, 1, 1))
    x, w, y = (FLOAT32.encode(at.array(name, i)) for i, name in enumerate("xwy"))
    no_bias = np.zeros(65, np.float32)
    expected = run("conv_fwd", FLOAT32, at, "y", [x, w, no_bias], 3)
    assert_close(expected, forward(at), FLOAT32, x, w, no_bias)
    assert_close(weight_gradient(FLOAT32, at, x, y, 5), backward_w(at), FLOAT32, x, y)


def test_many_steps_along_all_axes() -> None:
    # All digits of a step's number are carried over, several times and in every place.
    at = Setting(3, 13, 11, (5, 6, 7), (2, 3, 2), (2, 1, 1), (1, 0, 2), (1, 2, 1), groups=2)
    x, w, y = (FLOAT32.encode(at.array(name, i)) for i, name in enumerate("xwy"))
    shifts = [np.zeros(at.groups * n, np.float32) for n in (at.filters, at.inputs)]
    result = run("conv_fwd", FLOAT32, at, "y", [x, w, None])
    assert_close(result, forward(at), FLOAT32, x, w, shifts[0])
    result = run("conv_bwd_x", FLOAT32, at, "x", [y, w, None])
    assert_close(result, backward_x(at), FLOAT32, y, w, shifts[1])
    assert_close(weight_gradient(FLOAT32, at, x, y, 3), backward_w(at), FLOAT32, x, y)


def test_nan_stays_where_it_is_met() -> None:
    at = Setting(1, 1, 1, (1, 4, 6), (1, 3, 3), padding=(0, 1, 1))
    x = np.zeros(at.shapes["x"], np.float32)
    x[0, 0, 0, 1, 1] = np.nan
    w = np.ones(at.shapes["w"], np.float32)
    y = run("conv_fwd", FLOAT32, at, "y", [x, w, None])
    expected = np.zeros(y.shape, bool)
    expected[..., 0:3, 0:3] = True
    assert (np.isnan(y) == expected).all()
