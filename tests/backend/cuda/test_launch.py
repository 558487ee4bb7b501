"""Launches: what the wrapper of a kernel refuses, what it lets through, and how grids are made."""

from __future__ import annotations

import re

import numpy as np
import pytest

from gpunet import backend
from gpunet.backend.cuda import launch, source
from gpunet.backend.cuda.device import Limits
from gpunet.errors import ArgumentError, DeviceError, DTypeError
from tests.kernels import needs

pytestmark = needs.compiler

ONE_BLOCK = ((1, 1), 32)


@pytest.fixture
def kernel(be):
    """leaky_relu_fwd(x, bias, y, n, columns, negative_slope) of float32."""
    return be.activation.kernel("leaky_relu_fwd", np.dtype("float32"))


def array(be, *shape, dtype="float32"):
    return be.asarray(np.arange(np.prod(shape), dtype=dtype).reshape(shape) - 3)


# --- what is let through


def test_numbers_are_cast_and_null_is_taken(be, kernel) -> None:
    x, y = array(be, 7), be.full((7,), 0, "float32")
    kernel(*ONE_BLOCK, x, None, y, 7, True, 1)  # an int for a float, a bool for a long long
    assert be.to_host(y).tolist() == be.to_host(x).tolist()
    kernel(*ONE_BLOCK, x, None, y, np.int32(7), 1, np.float64(0.5))
    assert be.to_host(y).tolist() == [-1.5, -1, -0.5, 0, 1, 2, 3]


def test_output_may_be_input(be, kernel) -> None:
    x = array(be, 7)
    kernel(*ONE_BLOCK, x, None, x, 7, 1, 0.0)
    assert be.to_host(x).tolist() == [0, 0, 0, 0, 1, 2, 3]


def test_a_shape_does_not_matter(be, kernel) -> None:
    x, y = array(be, 2, 3), be.full((6,), 0, "float32")
    kernel(*ONE_BLOCK, x, None, y, 6, 1, 1.0)
    assert be.to_host(y).tolist() == [-3, -2, -1, 0, 1, 2]


def test_no_blocks_are_no_launch(be, kernel) -> None:
    before = be.gpu.launches
    kernel((0, 1), 32, *(None,) * 6)
    assert be.gpu.launches == before


# --- what is refused


def refused(kernel, error, words, *arguments, grid=(1, 1), block=32) -> None:
    with pytest.raises(error, match="^leaky_relu_fwd: " + re.escape(words)):
        kernel(grid, block, *arguments)


def test_wrong_dtypes(be, kernel) -> None:
    x, wide = array(be, 4), array(be, 4, dtype="float64")
    words = "x must be float32, got float64"
    refused(kernel, DTypeError, words, wide, None, x, 4, 1, 0.1)
    words = "y must be float32, got int64"
    refused(kernel, DTypeError, words, x, None, array(be, 4, dtype="int64"), 4, 1, 0.1)


def test_arrays_of_the_host(be, kernel) -> None:
    x = array(be, 4)
    words = "x must be an array of the device, got ndarray"
    refused(kernel, DTypeError, words, np.zeros(4, "float32"), None, x, 4, 1, 0.1)
    words = "y must be an array of the device, got NoneType"
    refused(kernel, DTypeError, words, x, None, None, 4, 1, 0.1)


def test_arrays_of_another_device(be, kernel) -> None:
    there = backend.get("cuda:1").asarray(np.zeros(4, "float32"))
    words = "bias must be on cuda:0, got cuda:1"
    refused(kernel, DeviceError, words, array(be, 4), there, array(be, 4), 4, 4, 0.1)


def test_views_with_strides(be, kernel) -> None:
    x = array(be, 4, 6)
    for view, strides in ((x.T, "(4, 24)"), (x[:, :4], "(24, 4)"), (x[::-1], "(-24, 4)")):
        words = f"x must be C-contiguous, got strides {strides}"
        refused(kernel, ArgumentError, words, view, None, array(be, 24), 4, 1, 0.1)


def test_arrays_that_overlap_in_part(be, kernel) -> None:
    x = array(be, 8)
    words = "y and x must not overlap"
    refused(kernel, ArgumentError, words, x[:4], None, x[3:7], 4, 1, 0.1)
    refused(kernel, ArgumentError, "y and bias must not", array(be, 8), x[:4], x, 8, 4, 0.1)
    kernel(*ONE_BLOCK, x[:4], None, x[4:], 4, 1, 0.1)  # neighbours


def test_restrict_forbids_the_same_array(be) -> None:
    kernel = be.reduction.kernel("column_sum_finish", np.dtype("float32"))
    x = array(be, 1, 4)
    with pytest.raises(ArgumentError, match=r"^column_sum_finish: total and partial must not over"):
        kernel(*ONE_BLOCK, x, x, 1, 4)


@pytest.mark.parametrize("n", ["4", None, 4.5, 2**63, [4]], ids=repr)
def test_what_is_no_whole_number(be, kernel, n) -> None:
    words = f"n must be a long long, got {type(n).__name__}"
    refused(kernel, ArgumentError, words, array(be, 4), None, array(be, 4), n, 1, 0.1)


@pytest.mark.parametrize("slope", ["0.1", None, [0.1]], ids=repr)
def test_what_is_no_number(be, kernel, slope) -> None:
    words = "negative_slope must be a acc_t, got"
    refused(kernel, ArgumentError, words, array(be, 4), None, array(be, 4), 4, 1, slope)


def test_the_number_of_arguments(be, kernel) -> None:
    refused(kernel, ArgumentError, "arguments must be 6, got 2", array(be, 4), None)


@pytest.mark.parametrize(
    ("grid", "block"), [((2**31, 1), 32), ((1, 65536), 32), ((1, 1), 512), ((1, 1), 0)], ids=str
)
def test_launches_too_large(be, kernel, grid, block) -> None:
    arguments = array(be, 4), None, array(be, 4), 4, 1, 0.1
    refused(kernel, ArgumentError, "the launch must", *arguments, grid=grid, block=block)


def test_dtypes_that_no_kernel_has(be) -> None:
    with pytest.raises(DTypeError, match=r"^relu_fwd: arrays must be of float32, .*, got int64"):
        be.activation.relu_fwd(array(be, 4, dtype="int64"))


# --- structures come as words


def test_a_table_is_of_words(be) -> None:
    kernel = be.optim.kernel("sgd_step", np.dtype("float32"))
    table = array(be, 1, 9, dtype="float32")
    with pytest.raises(
        DTypeError, match=r"^sgd_step: table must be of words of 8 bytes, got float"
    ):
        kernel(*ONE_BLOCK, table, None, 32, None, 0, 0, 0, False, False)


# --- geometry


@pytest.mark.parametrize(
    "limits", [Limits(1, 1024, 1), Limits(132, 2048, 1), Limits(2, 512, 1)], ids=str
)
@pytest.mark.parametrize("rows", [0, 1, 7, 64, 10_000, 2**40])
@pytest.mark.parametrize("columns", [1, 31, 32, 33, 1000, 2**35])
def test_grids_are_legal_and_fill_the_device(limits, rows, columns) -> None:
    held = limits.processors * limits.threads
    (x, y), threads = launch.grid_stride(limits, rows * columns)
    assert y == 1
    assert x * threads <= max(held, launch.BLOCK)
    assert min(rows * columns, held - threads) <= x * threads
    (x, y), threads = launch.block_per_row(limits, rows, columns)
    assert y == 1
    assert threads % 32 == 0
    assert 32 <= threads <= launch.BLOCK
    assert x <= rows
    assert x * threads <= max(held, launch.BLOCK)
    (tiles, pieces), threads = launch.column_tiles(limits, rows, columns)
    assert 32 * tiles >= columns > 32 * (tiles - 1)
    assert 1 <= pieces <= 65535
    assert pieces == 1 or (tiles * pieces * threads <= held and rows >= pieces)


# --- families


def test_every_function_of_a_cpu_family_is_there_with_the_same_arguments(be) -> None:
    import inspect
    from types import FunctionType

    for family in source.kernels():
        twin = getattr(backend.cpu, family)
        for name, function in vars(twin).items():
            if (
                isinstance(function, FunctionType)
                and function.__module__ == twin.__name__
                and not name.startswith("_")
            ):
                here = getattr(getattr(be, family), name)
                if family not in ("activation", "optim"):  # made from the kernels' signatures
                    assert inspect.signature(here) == inspect.signature(function), name


def test_unknown_families_and_kernels(be) -> None:
    with pytest.raises(AttributeError, match="no kernel family 'nothing'"):
        be.nothing  # noqa: B018
    with pytest.raises(AttributeError, match=r"kernels/activation.cu has no kernel 'nothing_fwd'"):
        be.activation.nothing_fwd  # noqa: B018
    with pytest.raises(AttributeError, match="no kernel family 'launch'"):
        be.launch  # noqa: B018


def test_a_kernel_that_is_not_pointwise_is_not_derived(be) -> None:
    from gpunet.backend.cuda.pointwise import Pointwise

    with pytest.raises(ValueError, match="softmax_fwd is no pointwise kernel"):
        Pointwise(be, "softmax").softmax_fwd  # noqa: B018
