"""Pooling, padding and resizing layers beside PyTorch's, over the arguments that they take."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import gpunet
from gpunet import nn
from gpunet.backend.windows import Windows, covering, inside
from tests.process import python
from tests.tolerance import EPS

torch = pytest.importorskip("torch", reason="PyTorch is not installed: NOT compared with it")

SHAPES = {1: (2, 3, 13), 2: (2, 3, 9, 8), 3: (1, 2, 5, 6, 7)}


def product(**choices: Any) -> list[dict[str, Any]]:
    """Every combination of values by name."""
    return [dict(zip(choices, each, strict=True)) for each in itertools.product(*choices.values())]


MAX = [
    *product(kernel_size=[2, 3], stride=[None, 1, 2], padding=[0, 1], ceil_mode=[False, True]),
    *product(kernel_size=[3], stride=[1, 2], dilation=[2], padding=[0, 1], return_indices=[True]),
]
AVG = product(
    kernel_size=[2, 3],
    stride=[None, 1, 2],
    padding=[0, 1],
    ceil_mode=[False, True],
    count_include_pad=[False, True],
)
LP = product(norm_type=[1, 2, 4], kernel_size=[2, 3], stride=[None, 2], ceil_mode=[False, True])
LAYERS = {
    "MaxPool": MAX,
    "AvgPool": AVG,
    "LPPool": LP,
    "AdaptiveAvgPool": product(output_size=[1, 3, 5]),
    "AdaptiveMaxPool": product(output_size=[1, 3, 5], return_indices=[False, True]),
    "ZeroPad": product(padding=[1, 2]),
    "ConstantPad": product(padding=[1, 2], value=[0.5]),
    "ReflectionPad": product(padding=[1, 2]),
    "ReplicationPad": product(padding=[1, 3]),
    "CircularPad": product(padding=[1, 2]),
}
ALONE = [
    ("AvgPool2d", dict(kernel_size=3, stride=2, padding=1, divisor_override=5), 2),
    ("AvgPool3d", dict(kernel_size=(1, 2, 3), divisor_override=2), 3),
    ("MaxPool2d", dict(kernel_size=(3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 3)), 2),
    ("AdaptiveAvgPool2d", dict(output_size=(None, 2)), 2),
    ("ZeroPad2d", dict(padding=(1, -2, 3, 0)), 2),
    ("ReplicationPad3d", dict(padding=(1, 2, 0, 1, 2, 0)), 3),
    ("Upsample", dict(scale_factor=2), 1),
    ("Upsample", dict(size=(4, 11), mode="bilinear"), 2),
    ("Upsample", dict(scale_factor=(2.0, 1.5), mode="bilinear", align_corners=True), 2),
    ("Upsample", dict(scale_factor=1.5, mode="bicubic", recompute_scale_factor=True), 2),
    ("UpsamplingNearest2d", dict(scale_factor=3), 2),
    ("UpsamplingBilinear2d", dict(size=12), 2),
    ("PixelUnshuffle", dict(downscale_factor=1), 2),
]


def beside(name: str, options: dict[str, Any], x: np.ndarray) -> None:
    """Results and the gradient of the input; windows have at most 27 elements."""
    ours, theirs = getattr(nn, name)(**options), getattr(torch.nn, name)(**options)
    a, b = gpunet.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, expected = ours(a), theirs(b)
    if options.get("return_indices"):
        np.testing.assert_array_equal(y[1].numpy(), expected[1].numpy())
        y, expected = y[0], expected[0]
    weights = np.random.default_rng(1).standard_normal(y.shape)
    y.backward(gpunet.tensor(weights))
    expected.backward(torch.tensor(weights))
    for got, wanted in ((y.detach(), expected.detach()), (a.grad, b.grad)):
        assert got.shape == tuple(wanted.shape)
        bound = 64 * EPS["float64"] * max(1.0, np.abs(wanted.numpy()).max(initial=0))
        assert np.abs(got.numpy() - wanted.numpy()).max(initial=0) <= bound


@pytest.mark.parametrize("axes", SHAPES)
@pytest.mark.parametrize("name", LAYERS)
def test_layers_over_their_arguments(name, axes) -> None:
    positive = name == "LPPool"
    for options in LAYERS[name]:
        for shape in (SHAPES[axes], SHAPES[axes][1:]):
            x = np.random.default_rng(0).standard_normal(shape)
            try:
                beside(f"{name}{axes}d", options, np.abs(x) + 0.1 if positive else x)
            except Exception as failure:
                raise AssertionError(f"{name}{axes}d({options}) of {shape}: {failure}") from failure


@pytest.mark.parametrize(("name", "options", "axes"), ALONE, ids=str)
def test_layers_with_arguments_of_their_own(name, options, axes) -> None:
    beside(name, options, np.random.default_rng(0).standard_normal(SHAPES[axes]))


@pytest.mark.parametrize("axes", SHAPES)
def test_unpooling_puts_back_what_pooling_took(axes) -> None:
    x = np.random.default_rng(0).standard_normal(SHAPES[axes])
    ours = getattr(nn, f"MaxPool{axes}d")(2, return_indices=True)(gpunet.tensor(x))
    theirs = getattr(torch.nn, f"MaxPool{axes}d")(2, return_indices=True)(torch.tensor(x))
    back = getattr(nn, f"MaxUnpool{axes}d")(2)(*ours, output_size=x.shape)
    expected = getattr(torch.nn, f"MaxUnpool{axes}d")(2)(*theirs, output_size=x.shape)
    np.testing.assert_array_equal(back.numpy(), expected.numpy())


def test_pixels_and_channels() -> None:
    x = np.arange(2 * 18 * 2 * 3).reshape(2, 18, 2, 3)
    y = nn.PixelShuffle(3)(gpunet.tensor(x))
    np.testing.assert_array_equal(y.numpy(), torch.nn.PixelShuffle(3)(torch.tensor(x)).numpy())
    np.testing.assert_array_equal(nn.PixelUnshuffle(3)(y).numpy(), x)


SHOWN = [
    ("MaxPool2d", (3,)),
    ("AvgPool2d", (2, 1)),
    ("LPPool2d", (2, 3)),
    ("AdaptiveAvgPool2d", ((1, None),)),
    ("AdaptiveMaxPool1d", (3,)),
    ("Upsample", ((3, 4), None, "bilinear")),
    ("PixelShuffle", (2,)),
    ("PixelUnshuffle", (2,)),
    ("ZeroPad2d", (1,)),
    ("ConstantPad1d", (2, 1.5)),
    ("ReflectionPad2d", (1,)),
]


@pytest.mark.parametrize(("name", "arguments"), SHOWN, ids=str)
def test_looks_like_pytorchs(name, arguments) -> None:
    assert repr(getattr(nn, name)(*arguments)) == repr(getattr(torch.nn, name)(*arguments))


def test_the_number_of_threads_changes_no_bit() -> None:
    code = """if True:
        import hashlib, numpy as np, gpunet
        from gpunet import functional as F
        for f in (F.max_pool2d, F.avg_pool2d):
            draw = np.random.default_rng(0).standard_normal((40, 16, 24, 24), dtype="float32")
            x = gpunet.tensor(draw, requires_grad=True)
            y = f(x, 3, 2, 1)
            (y * y).sum().backward()
            print(hashlib.sha256(y.array.tobytes() + x.grad.array.tobytes()).hexdigest())
    """
    found = [python("-c", code, GPUNET_NUM_THREADS=count) for count in ("1", "2", "5")]
    assert len(set(found[0].split())) == 2
    assert found[1:] == found[:1] * 2


@pytest.mark.parametrize("axes", product(size=[1, 5, 8], outputs=[1, 3, 5], kernel=[0, 1, 2, 3]))
@pytest.mark.parametrize(("stride", "padding", "dilation"), [(1, 0, 1), (2, 1, 1), (1, 2, 3)])
def test_tables_say_the_same_from_both_sides(axes, stride, padding, dilation) -> None:
    """A window that has an element is among those that are said to reach it."""
    windows = Windows(**axes, stride=stride, padding=padding, dilation=dilation)
    first, end = inside((windows,))[:, 2:]
    low, high = covering((windows,))[:, 2:]
    for window in range(windows.outputs):
        step = windows.dilation if windows.kernel else 1
        for element in range(first[window], end[window], step):
            assert low[element] <= window < high[element]
