"""Convolutional layers beside PyTorch's, and what a table of functions cannot show.

The functions themselves are in tests/cases/conv.py.
"""

from __future__ import annotations

import sys
import warnings
from itertools import product

import numpy as np
import pytest

import gpunet
from gpunet import nn
from gpunet.autograd.tensor import Tensor
from gpunet.backend.cpu import conv, conv_plan
from gpunet.errors import ArgumentError, ShapeError
from tests.process import python
from tests.tolerance import EPS


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed: NOT compared with it")


# Name, arguments (in and out channels, kernel, ...), options, shape of the input.
LAYERS = [
    ("Conv1d", (3, 5, 3), {}, (2, 3, 17)),
    ("Conv1d", (3, 5, 3), {"stride": 2, "padding": 1}, (3, 18)),
    ("Conv1d", (4, 6, 5), {"dilation": 2, "groups": 2, "bias": False}, (2, 4, 20)),
    ("Conv1d", (4, 4, 4), {"padding": "same", "groups": 4}, (2, 4, 9)),
    ("Conv1d", (2, 1000, 1), {}, (1, 2, 3)),
    ("Conv1d", (1, 1, 3), {"padding": 1, "padding_mode": "replicate"}, (1, 1, 1000)),
    ("Conv2d", (3, 16, 3), {"padding": 1}, (4, 3, 32, 32)),
    ("Conv2d", (16, 32, 3), {"stride": 2, "padding": 1, "bias": False}, (3, 16, 32, 32)),
    ("Conv2d", (16, 24, 1), {}, (3, 16, 9, 9)),
    ("Conv2d", (16, 24, 1), {"stride": 2}, (3, 16, 9, 9)),
    ("Conv2d", (1, 6, 5), {"padding": 2}, (5, 1, 28, 28)),
    ("Conv2d", (6, 16, 5), {}, (5, 6, 14, 14)),
    ("Conv2d", (64, 64, 3), {"padding": 1}, (2, 64, 8, 8)),
    ("Conv2d", (40, 37, 3), {"padding": 1}, (2, 40, 7, 7)),
    ("Conv2d", (3, 8, 7), {"stride": 2, "padding": 3}, (2, 3, 33, 31)),
    ("Conv2d", (8, 8, 3), {"groups": 8, "padding": 1}, (3, 8, 14, 15)),
    ("Conv2d", (8, 16, 3), {"groups": 8, "stride": 2}, (3, 8, 14, 15)),
    ("Conv2d", (8, 24, 3), {"groups": 2, "dilation": 2, "padding": "same"}, (2, 8, 10, 10)),
    ("Conv2d", (2, 3, (1, 4)), {"stride": (3, 1), "padding": (0, 2)}, (2, 9, 6)),
    ("Conv2d", (2, 3, 3), {"padding": "valid", "stride": 4}, (2, 2, 9, 12)),
    ("Conv2d", (2, 2, 2), {"padding": 9, "stride": 3}, (1, 2, 4, 4)),
    ("Conv2d", (1, 1, 3), {}, (1, 1, 300, 300)),
    ("Conv2d", (5, 4, 3), {}, (0, 5, 8, 8)),
    *[
        ("Conv2d", (2, 3, (3, 4)), {"padding": pad, "padding_mode": mode, "stride": stride}, shape)
        for mode in ("reflect", "replicate", "circular")
        for pad, stride, shape in (((2, 1), 2, (2, 2, 6, 5)), ("same", 1, (2, 7, 6)))
    ],
    ("Conv3d", (2, 4, 3), {"padding": 1}, (2, 2, 5, 6, 7)),
    ("Conv3d", (4, 4, (1, 3, 2)), {"stride": (1, 2, 2), "groups": 2}, (2, 4, 4, 7, 6)),
    ("Conv3d", (2, 3, 2), {"dilation": 2, "padding": "same", "bias": False}, (2, 4, 5, 4)),
    ("Conv3d", (1, 2, 3), {"padding": 2, "padding_mode": "circular"}, (1, 1, 4, 3, 3)),
    ("ConvTranspose1d", (3, 4, 3), {"stride": 2, "output_padding": 1}, (2, 3, 9)),
    ("ConvTranspose1d", (4, 4, 5), {"groups": 2, "dilation": 3, "padding": 2}, (4, 9)),
    ("ConvTranspose2d", (8, 4, 4), {"stride": 2, "padding": 1}, (2, 8, 7, 9)),
    ("ConvTranspose2d", (8, 16, 2), {"stride": 2, "bias": False}, (2, 8, 16, 16)),
    ("ConvTranspose2d", (4, 6, 3), {"stride": 3, "groups": 2, "output_padding": 2}, (4, 5, 4)),
    ("ConvTranspose2d", (4, 4, 3), {"groups": 4, "stride": 2, "padding": (1, 0)}, (2, 4, 5, 6)),
    ("ConvTranspose2d", (3, 2, 1), {"stride": 4}, (2, 3, 3, 3)),
    ("ConvTranspose2d", (3, 2, 3), {"dilation": 2, "output_padding": 1}, (2, 3, 4, 4)),
    ("ConvTranspose3d", (2, 3, 2), {"stride": 2}, (2, 2, 3, 4, 3)),
    ("ConvTranspose3d", (2, 2, 3), {"padding": 1, "groups": 2}, (2, 3, 3, 4)),
    ("Unfold", (3,), {"padding": 1, "stride": 2}, (2, 3, 7, 8)),
    ("Unfold", ((2, 3), (2, 1)), {}, (3, 7, 8)),
    ("Fold", ((6, 5), 2), {"padding": 1}, (2, 12, 42)),
    ("Fold", (6, (2, 3), 2), {"stride": (1, 2)}, (6, 4)),
]
# The corners of one layer, all with all.
CORNERS = [
    (
        "Conv2d",
        (4, 6, kernel, stride, padding, dilation, groups, bias),
        {},
        (2, 4, 11, 13),
    )
    for kernel, stride, padding, dilation, groups, bias in product(
        (1, (3, 2)), (1, (2, 3)), (0, (1, 2)), (1, (2, 1)), (1, 2), (True, False)
    )
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("name", "arguments", "options", "shape"),
    [*LAYERS, *CORNERS],
    ids=[f"{name}{arguments}{options or ''}" for name, arguments, options, _ in LAYERS + CORNERS],
)
def test_layer_beside_pytorch(torch, name, arguments, options, shape, dtype) -> None:
    """Same keys; values and gradients from the same weights, up to rounding.

    A sum of K products is off by less than √K·eps of its size in most orders, 4 √K in all here.
    """
    rng = np.random.default_rng(0)
    theirs = getattr(torch.nn, name)(*arguments, **options).to(getattr(torch, dtype))
    ours = getattr(nn, name)(*arguments, **options, **({} if "old" in name else {"dtype": dtype}))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    x = rng.standard_normal(shape).astype(dtype)
    tx, x = torch.from_numpy(x).requires_grad_(), gpunet.tensor(x).requires_grad_()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that "same" makes a copy for filters of even length
        ty = theirs(tx)
    y = ours(x)
    assert y.shape == tuple(ty.shape)
    weights = rng.standard_normal(y.shape).astype(dtype)
    y.backward(gpunet.tensor(weights))
    ty.backward(torch.from_numpy(weights))
    pairs = [(y.detach(), ty.detach()), (x.grad, tx.grad)]
    gradients = {key: parameter.grad for key, parameter in theirs.named_parameters()}
    pairs += [(parameter.grad, gradients[key]) for key, parameter in ours.named_parameters()]
    terms = max(1.0, y.shape[-1] * np.prod(ours.weight.shape) if "old" not in name else 1.0)
    for got, expected in pairs:
        expected = expected.numpy()
        assert got.dtype == dtype
        bound = 4 * np.sqrt(terms) * EPS[dtype] * (1 + np.abs(expected).max(initial=0.0))
        assert np.abs(got.numpy() - expected).max(initial=0.0) <= bound


@pytest.mark.parametrize("more", [(0, 0), (1, 2)])
def test_output_size_picks_a_shape(torch, more) -> None:
    arguments = (2, 3, 3, (2, 3), 1)
    theirs, ours = torch.nn.ConvTranspose2d(*arguments), nn.ConvTranspose2d(*arguments)
    ours.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    x = np.random.default_rng(0).standard_normal((2, 2, 4, 5)).astype("float32")
    size = (7 + more[0], 13 + more[1])
    for given in (size, (2, 3, *size)):
        y, ty = ours(gpunet.tensor(x), given), theirs(torch.from_numpy(x), given)
        assert y.shape == tuple(ty.shape) == (2, 3, *size)
        np.testing.assert_allclose(y.detach().numpy(), ty.detach(), atol=8 * EPS["float32"])
    with pytest.raises(ShapeError, match=r"output_size must be from \(7, 13\) to \(8, 15\), got"):
        ours(gpunet.tensor(x), (9, 13))
    with pytest.raises(ShapeError, match="output_size must have 2 or 4 numbers, got 3"):
        ours(gpunet.tensor(x), (1, 7, 13))


@pytest.mark.parametrize("name", ["Conv2d", "ConvTranspose2d"])
def test_weights_start_like_pytorchs(torch, name) -> None:
    arguments = (16, 32, 3), {"groups": 2}
    ours = getattr(nn, name)(*arguments[0], **arguments[1])
    theirs = getattr(torch.nn, name)(*arguments[0], **arguments[1])
    for got, expected in ((ours.weight.array, theirs.weight), (ours.bias.array, theirs.bias)):
        expected = expected.detach().numpy()
        assert got.shape == expected.shape
        bound = 1 / np.sqrt(np.prod(ours.weight.shape[1:]))
        for values in (got, expected):  # the largest of n draws, but for e^-20
            assert bound * (1 - 20 / values.size) <= np.abs(values).max() <= bound


@pytest.mark.parametrize(
    "layer",
    [
        ("Conv2d", (1, 32, 3), {}),
        ("Conv1d", (2, 4, 3, 2, 1, 2, 2, False, "reflect"), {}),
        ("Conv3d", (2, 4, (1, 2, 3)), {"padding": "same"}),
        ("ConvTranspose2d", (2, 4, 3, 2, 1, 1, 2, False, 2), {}),
        ("Unfold", (3, 1, 2), {}),
        ("Fold", ((4, 4), 2), {"stride": 2}),
    ],
    ids=lambda layer: layer[0],
)
def test_text_is_pytorchs(torch, layer) -> None:
    name, arguments, options = layer
    expected = repr(getattr(torch.nn, name)(*arguments, **options))
    assert repr(getattr(nn, name)(*arguments, **options)) == expected


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Conv2d(0, 1, 3), "Conv2d: in_channels must be at least 1, got 0"),
        (lambda: nn.Conv2d(4, 6, 3, groups=3), "groups must divide in_channels and out_channels"),
        (lambda: nn.Conv2d(4, 6, 3, padding_mode="x"), "padding_mode must be one of 'zeros', "),
        (lambda: nn.Conv1d(1, 1, (3, 3)), "kernel_size must be a whole number from 1, got (3, 3)"),
        (lambda: nn.Conv3d(1, 1, 3, 2, "same"), 'stride must be 1 with padding "same"'),
        (
            lambda: nn.ConvTranspose2d(1, 1, 3, padding="same"),
            "padding must be a whole number from",
        ),
        (
            lambda: nn.ConvTranspose1d(1, 1, 3, padding_mode="reflect"),
            "padding_mode must be one of 'zeros', got 'reflect'",
        ),
    ],
)
def test_what_cannot_be_made(make, message) -> None:
    with pytest.raises(ArgumentError) as caught:
        make()
    assert message in str(caught.value)


# --- how it is computed


def passed(x, w, moves, groups) -> list[bytes]:
    """The bits of a forward and a backward pass."""
    y = conv.conv_fwd(x, w, None, *moves, groups)
    gx = conv.conv_bwd_x(y, w, x.shape[2:], *moves, groups)
    gw = conv.conv_bwd_w(x, y, w.shape[2:], *moves, groups)
    return [array.tobytes() for array in (y, gx, gw)]


SHAPES = [
    ((9, 8, 1, 15, 17), (12, 8, 1, 3, 3), (1, 2, 1), 1),
    ((2, 6, 1, 40, 40), (6, 1, 1, 3, 3), (1, 1, 1), 6),
    ((1, 3, 5, 20, 20), (16, 3, 2, 3, 3), (2, 1, 1), 1),
    ((5, 2, 1, 1, 3000), (7, 2, 1, 1, 9), (1, 1, 1), 1),
]


def test_the_number_of_threads_changes_no_bit() -> None:
    code = """if True:
        import hashlib
        import numpy as np
        from tests.nn.test_conv import SHAPES, passed
        for xs, ws, stride, groups in SHAPES:
            rng = np.random.default_rng(0)
            x, w = (rng.standard_normal(s).astype("float32") for s in (xs, ws))
            bits = passed(x, w, (stride, ((0, 0), (1, 1), (2, 1)), (1, 1, 1)), groups)
            print(hashlib.sha256(b"".join(bits)).hexdigest())
    """
    found = [python("-c", code, GPUNET_NUM_THREADS=count) for count in ("1", "2", "5")]
    assert len(found[0].split()) == len(SHAPES)
    assert found[1:] == found[:1] * 2


@pytest.mark.parametrize(("x_shape", "w_shape", "stride", "groups"), SHAPES)
def test_bands_change_nothing_but_the_order_of_sums(
    monkeypatch, x_shape, w_shape, stride, groups
) -> None:
    """Buffers of any size: whole samples at once, or a row at a time."""
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal(x_shape), rng.standard_normal(w_shape)
    moves = stride, ((0, 0), (1, 1), (2, 1)), (1, 1, 1)
    results = []
    for size in (1, 10_000, 1 << 40):
        monkeypatch.setattr(conv_plan, "BUFFER_BYTES", size)
        conv_plan.forward.cache_clear()
        conv_plan.backward.cache_clear()
        results.append([np.frombuffer(bits) for bits in passed(x, w, moves, groups)])
    monkeypatch.undo()
    conv_plan.forward.cache_clear()
    conv_plan.backward.cache_clear()
    for y, gx, gw in results[1:]:
        assert (y == results[0][0]).all()
        assert (gx == results[0][1]).all()
        assert np.abs(gw - results[0][2]).max() <= 1e-12 * np.abs(gw).max()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("x_shape", "w_shape", "stride", "groups"),
    [*SHAPES, ((3, 2, 1, 6, 5), (37, 2, 1, 2, 3), (1, 1, 1), 1)],
)
def test_pixels_or_filters_side_by_side_change_no_bit(
    monkeypatch, x_shape, w_shape, stride, groups, dtype
) -> None:
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal(shape).astype(dtype) for shape in (x_shape, w_shape))
    bias = rng.standard_normal(w_shape[0]).astype(dtype)
    moves = stride, ((0, 0), (1, 1), (2, 1)), (1, 1, 1)
    found, asked = [], []
    for abreast in (False, True):

        def choose(plan, rows, abreast=abreast) -> bool:
            asked.append(abreast and plan.apart == (1, 1, 1))
            return asked[-1]

        monkeypatch.setattr(conv_plan.Plan, "abreast", choose)
        y = conv.conv_fwd(x, w, bias, *moves, groups)
        found.append([y.tobytes(), *passed(x, w, moves, groups)])
    assert any(asked)
    assert found[0] == found[1]


MEASURE = """if True:
    import sys
    import numpy as np
    from gpunet.backend.cpu import conv

    def status(name):
        lines = open("/proc/self/status").read().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith(name)).split()[1])

    def passes(x_shape, w_shape):
        x, w = (np.ones(s, "float32") for s in (x_shape, w_shape))
        moves = (1, 1, 1), ((0, 0), (1, 1), (1, 1)), (1, 1, 1), x.shape[1] // w.shape[1]
        gy = np.ones((x.shape[0], w.shape[0], *x.shape[2:]), "float32")
        yield lambda: conv.conv_fwd(x, w, None, *moves), x.nbytes + w.nbytes
        yield lambda: conv.conv_bwd_x(gy, w, x.shape[2:], *moves), gy.nbytes + w.nbytes
        yield lambda: conv.conv_bwd_w(x, gy, w.shape[2:], *moves), x.nbytes + gy.nbytes

    for w_shape in ((8, 8, 1, 3, 3), (8, 1, 1, 3, 3)):  # compiles
        for run, _ in passes((2, 8, 1, 8, 8), w_shape):
            run()
    for run, given in passes(*eval(sys.argv[1])):
        open("/proc/self/clear_refs", "w").write("5")  # the peak begins anew
        before = status("VmRSS")
        result = run()
        print((given + status("VmHWM") - before) / (given + result.nbytes))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read in /proc")
@pytest.mark.parametrize(
    "shapes",
    [
        ((64, 32, 1, 64, 64), (32, 32, 1, 3, 3)),
        ((1, 64, 1, 500, 500), (16, 64, 1, 3, 3)),
        ((1, 16, 1, 500, 500), (64, 16, 1, 3, 3)),
        ((8, 512, 1, 14, 14), (1024, 512, 1, 3, 3)),
        ((16, 128, 1, 112, 112), (128, 1, 1, 3, 3)),
    ],
    ids=str,
)
def test_memory_stays_near_inputs_and_outputs(shapes) -> None:
    """Half as much again at most, at the peak of each pass: no matrix of columns is written."""
    shares = python("-c", MEASURE, str(shapes), GPUNET_NUM_THREADS="2").split()
    assert len(shares) == 3
    assert all(0.9 <= float(share) <= 1.5 for share in shares), shares


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("samples", [1, 9])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("activation", [nn.ReLU, nn.Sigmoid, nn.GELU, nn.ELU, nn.Hardtanh])
def test_a_fused_activation_is_one_apart_to_the_last_bit(activation, bias, samples, dtype) -> None:
    model = nn.Sequential(nn.Conv2d(3, 5, 3, 2, 1, bias=bias, dtype=dtype), activation())
    x = np.random.default_rng(0).standard_normal((samples, 3, 9, 30)).astype(dtype)

    def bits() -> tuple[str, list[bytes]]:
        model.zero_grad()
        leaf = gpunet.tensor(x, requires_grad=True)
        y = model(leaf)
        y.backward(gpunet.tensor(np.cos(np.arange(y.array.size)).astype(dtype).reshape(y.shape)))
        arrays = [y, leaf.grad, *(parameter.grad for parameter in model.parameters())]
        return y.origin[0].name, [array.array.tobytes() for array in arrays]

    name, fused = bits()
    assert name == "Conv"
    model[1].register_forward_hook(lambda *call: None)
    name, apart = bits()
    assert name != "Conv"
    assert fused == apart


def test_nothing_is_kept_that_is_not_needed() -> None:
    """The gradient of a first layer's input is not computed."""
    layer = nn.Conv2d(3, 4, 3)
    y = layer(gpunet.tensor(np.ones((1, 3, 5, 5), "float32")))
    op = y.origin[0]
    assert op.needs == (False, True, True)
    gx, gw, gb = op.backward(op.backend, np.ones(y.shape, "float32"))
    assert gx is None
    assert gw.shape == (4, 3, 3, 3)
    assert gb.shape == (4,)


def test_half_precision_adds_up_in_single() -> None:
    x = np.full((1, 64, 1, 8, 8), 1.0, "float16")
    w = np.full((1, 64, 1, 3, 3), 2.0**-11, "float16")
    w[0, 0, 0, 0, 0] = 8.0  # float16 sums would stand still at 8
    y = conv.conv_fwd(x, w, None, (1, 1, 1), ((0, 0),) * 3, (1, 1, 1), 1)
    assert y.dtype == "float16"
    np.testing.assert_array_equal(y, np.float16(8.0 + (64 * 9 - 1) * 2.0**-11))


def test_a_layer_says_where_it_fails() -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(5, 4, 3))
    with pytest.raises(
        ShapeError, match=r"conv2d: x must have in = 5·1 channels, got 4; .*layer 2"
    ):
        model(Tensor(np.zeros((1, 1, 8, 8), "float32"), gpunet.backend.cpu))
