"""Normalising layers beside PyTorch's, over the arguments that they take and many steps."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

import gpunet
from gpunet import functional as F
from gpunet import nn
from gpunet.backend.cpu import normalization_loops as loops
from gpunet.errors import ArgumentError, DTypeError, GradError, ShapeError
from tests.process import python
from tests.tolerance import EPS

torch = pytest.importorskip("torch", reason="PyTorch is not installed: NOT compared with it")

C = 4
SHAPES = {
    "BatchNorm1d": [(6, C), (3, C, 5), (70, C), (5, C, 1)],
    "BatchNorm2d": [(3, C, 4, 5), (2, C, 50, 50)],
    "BatchNorm3d": [(2, C, 2, 3, 4)],
    "InstanceNorm1d": [(3, C, 5), (C, 7)],
    "InstanceNorm2d": [(3, C, 4, 5), (C, 3, 4)],
    "InstanceNorm3d": [(2, C, 2, 3, 4), (C, 2, 3, 2)],
}
OPTIONS = [
    dict(momentum=momentum, affine=affine, track_running_stats=track, bias=bias, eps=eps)
    for momentum, affine, track, (bias, eps) in itertools.product(
        (0.1, 0.7, None), (True, False), (True, False), ((True, 1e-5), (False, 0.1))
    )
]
ROWS = [
    ("GroupNorm", (2, C), {}, (3, C, 5)),
    ("GroupNorm", (C, C), dict(eps=0.1), (3, C, 2, 3)),
    ("GroupNorm", (1, C), dict(affine=False), (3, C)),
    ("GroupNorm", (2, C), dict(bias=False), (3, C, 2, 2, 2)),
    ("LayerNorm", (7,), {}, (3, 7)),
    ("LayerNorm", ((3, 7),), dict(eps=0.1), (2, 3, 7)),
    ("LayerNorm", (7,), dict(bias=False), (7,)),
    ("LayerNorm", (7,), dict(elementwise_affine=False), (2, 3, 7)),
    ("RMSNorm", (7,), {}, (3, 7)),
    ("RMSNorm", ((3, 7),), dict(eps=0.1), (2, 3, 7)),
    ("RMSNorm", (7,), dict(elementwise_affine=False), (2, 3, 7)),
    ("LocalResponseNorm", (2,), {}, (3, C, 5)),
    ("LocalResponseNorm", (3,), dict(alpha=0.5, beta=0.6, k=2.0), (3, C, 2, 3)),
]


def pair(name: str, arguments: Any, options: dict[str, Any]) -> tuple[Any, Any]:
    """The layer in both frameworks, in float64, with the same parameters, which are drawn."""
    dtype = {} if name == "LocalResponseNorm" else dict(dtype="float64")
    ours = getattr(nn, name)(*arguments, **options, **dtype)
    theirs = getattr(torch.nn, name)(*arguments, **options).double()
    rng = np.random.default_rng(0)
    for _, parameter in theirs.named_parameters():
        with torch.no_grad():
            parameter.copy_(torch.tensor(rng.uniform(0.5, 2.0, tuple(parameter.shape))))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    return ours, theirs


def close(got: Any, expected: Any, what: str) -> None:
    expected = expected.detach().numpy()
    assert got.shape == expected.shape, what
    assert got.dtype == expected.dtype, what
    bound = 200 * EPS["float64"] * max(1.0, np.abs(expected).max(initial=0))
    assert np.abs(got - expected).max(initial=0) <= bound, what


def step(ours: Any, theirs: Any, x: np.ndarray) -> None:
    """Outputs, gradients of input and parameters, and state after one pass."""
    a, b = gpunet.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, expected = ours(a), theirs(b)
    weights = np.random.default_rng(1).standard_normal(x.shape)
    ours.zero_grad()
    theirs.zero_grad()
    y.backward(gpunet.tensor(weights))
    expected.backward(torch.tensor(weights))
    close(y.detach().numpy(), expected, "the output")
    close(a.grad.numpy(), b.grad, "the gradient of the input")
    of = dict(theirs.named_parameters())
    for key, parameter in ours.named_parameters():
        close(parameter.grad.numpy(), of[key].grad, key)
    for key, value in theirs.state_dict().items():
        close(ours.state_dict()[key], value, key)


@pytest.mark.parametrize("name", SHAPES)
def test_channels_over_their_arguments(name) -> None:
    """Two steps of training, one of evaluation, and training again."""
    rng = np.random.default_rng(2)
    for options in OPTIONS:
        if name.startswith("Instance") and options["momentum"] is None:
            continue  # PyTorch fails at the first step
        for shape in SHAPES[name]:
            ours, theirs = pair(name, (C,), options)
            for training in (True, True, False, True):
                ours.train(training)
                theirs.train(training)
                try:
                    step(ours, theirs, rng.normal(3.0, 2.0, shape))
                except Exception as failure:
                    where = f"{name}({options}) of {shape}, training {training}"
                    raise AssertionError(f"{where}: {failure}") from failure


@pytest.mark.parametrize(("name", "arguments", "options", "shape"), ROWS, ids=str)
def test_rows_and_groups(name, arguments, options, shape) -> None:
    step(*pair(name, arguments, options), np.random.default_rng(2).normal(3.0, 2.0, shape))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("BatchNorm2d", (3,)),
        ("InstanceNorm1d", (3,)),
        ("GroupNorm", (1, 3)),
        ("LayerNorm", (3,)),
        ("RMSNorm", ((2, 3),)),
        ("LocalResponseNorm", (3,)),
    ],
)
def test_looks_like_pytorchs(name, arguments) -> None:
    assert repr(getattr(nn, name)(*arguments)) == repr(getattr(torch.nn, name)(*arguments))


# --- numbers


def statistics_error(shape, mean, dtype) -> float:
    """How far outputs are from the exact ones of the same numbers."""
    x = np.random.default_rng(0).normal(mean, 1.0, shape).astype(dtype)
    axes = (0, *range(2, len(shape)))
    wide = x.astype("longdouble")
    centred = wide - wide.mean(axes, keepdims=True)
    exact = centred / np.sqrt((centred**2).mean(axes, keepdims=True) + 1e-5)
    y = F.batch_norm(gpunet.tensor(x), None, None, training=True)
    return float(np.abs(y.numpy() - exact).max())


@pytest.mark.parametrize("shape", [(64, 3, 20, 20), (2, 3, 100, 100), (3000, 3), (10, 3, 3)])
def test_large_means_do_no_harm(shape) -> None:
    """Mean 10^4, deviation 1: float32 has 2^-10 there, and the mean is off by half of that."""
    spacing = 2.0**-10
    assert statistics_error(shape, 1e4, "float32") < spacing
    assert statistics_error(shape, 0.0, "float32") < 40 * EPS["float32"]


def test_a_mean_unlike_the_first_elements() -> None:
    """The first samples are black pictures, the others far from 0: runs are combined exactly."""
    x = np.random.default_rng(0).normal(1e4, 1.0, (64, 2, 16, 16)).astype("float32")
    x[:3] = 0.0
    mean, var = gpunet.tensor(np.zeros(2, "float32")), gpunet.tensor(np.ones(2, "float32"))
    F.batch_norm(gpunet.tensor(x), mean, var, training=True, momentum=1.0)
    wide = x.astype("float64")
    np.testing.assert_allclose(mean.numpy(), wide.mean((0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(var.numpy(), wide.var((0, 2, 3), ddof=1), rtol=1e-5)


@pytest.mark.parametrize("function", ["batch", "layer"])
def test_half_has_statistics_of_float32(function) -> None:
    """The sum of 4000 squares of 30 overflows float16, their mean in float16 is off by 2^-11."""
    x = np.random.default_rng(0).normal(0, 30, (4000, 3)).astype("float16")
    x = x if function == "batch" else np.ascontiguousarray(x.T)
    axis = 0 if function == "batch" else 1
    wide = x.astype("float64")
    exact = (wide - wide.mean(axis, keepdims=True)) / wide.std(axis, keepdims=True)
    t = gpunet.tensor(x, requires_grad=True)
    if function == "batch":
        mean, var = gpunet.tensor(np.zeros(3, "float32")), gpunet.tensor(np.ones(3, "float32"))
        y = F.batch_norm(t, mean, var, training=True, momentum=1.0)
        np.testing.assert_allclose(var.numpy(), wide.var(0, ddof=1), rtol=1e-6)
        np.testing.assert_allclose(mean.numpy(), wide.mean(0), atol=1e-5)
    else:
        y = F.layer_norm(t, 4000)
    y.sum().backward()
    assert y.dtype == t.grad.dtype == "float16"
    # One rounding to float16 at the end, of numbers up to 4 or so.
    assert np.abs(y.detach().numpy() - exact).max() <= EPS["float16"] * np.abs(exact).max()


def test_the_number_of_threads_changes_no_bit() -> None:
    code = """if True:
        import hashlib, numpy as np, gpunet
        from gpunet import nn
        for layer, shape in (
            (nn.BatchNorm2d(16), (32, 16, 32, 32)), (nn.BatchNorm1d(700), (300, 700)),
            (nn.LayerNorm(700), (300, 700)), (nn.GroupNorm(4, 16), (32, 16, 32, 32)),
        ):
            draw = np.random.default_rng(0).standard_normal(shape, dtype="float32")
            x = gpunet.tensor(draw, requires_grad=True)
            y = layer(x)
            (y * y * y).sum().backward()
            arrays = y, x.grad, layer.weight.grad, layer.bias.grad
            print(hashlib.sha256(b"".join(a.array.tobytes() for a in arrays)).hexdigest())
    """
    found = [python("-c", code, GPUNET_NUM_THREADS=count) for count in ("1", "2", "5")]
    assert len(set(found[0].split())) == 4
    assert found[1:] == found[:1] * 2


@pytest.mark.parametrize("columns", [5, 9, 20, 37])
@pytest.mark.parametrize("name", ["row_norm_bwd", "batch_norm_bwd", "columns_bwd"])
def test_where_arrays_lie_changes_no_bit(name, columns) -> None:
    """Compiled loops look how far apart arrays lie, but must not add up in another order for it."""
    draws = np.random.default_rng(0).standard_normal((3, columns)).astype("float32")
    one, found = np.ones(columns, "float32"), set()
    shape = (1, 1, columns) if name != "columns_bwd" else (1, columns)
    for gap in range(2 * columns):
        memory = np.zeros(4 * (columns + gap), "float32")
        gy, x, w, gx = (memory[k * (columns + gap) :][:columns] for k in range(4))
        gy[:], x[:], w[:] = draws
        gw, gb = np.zeros((2, columns), "float32")
        arrays = *(a.reshape(shape) for a in (gy, x, gx)), 0, 1
        if name == "row_norm_bwd":
            rest = w, one, one, 1, 1e-5, True, gw, gb
        else:
            rest = w, one, one, one, 1e-5, False, True, gw, gb
        getattr(loops, name)[memory.dtype](*arrays, *rest)
        found.add(b"".join(a.tobytes() for a in (gx, gw, gb)))
    assert len(found) == 1


# --- in a Sequential


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("after", [nn.ReLU(), nn.Tanh(), nn.GELU()], ids=repr)
@pytest.mark.parametrize(
    ("layer", "shape"), [(nn.BatchNorm2d, (5, 3, 4, 7)), (nn.BatchNorm1d, (9, 3))]
)
def test_fused_is_unfused_to_the_last_bit(layer, shape, after, training) -> None:
    model = nn.Sequential(layer(3), after).train(training)
    x = np.random.default_rng(0).normal(1.0, 2.0, shape).astype("float32")
    bits, names = [], []
    for listening in (False, True):
        model[0].reset_running_stats()
        model.zero_grad()
        handle = after.register_forward_hook(lambda *_: None) if listening else None
        t = gpunet.tensor(x, requires_grad=True)
        y = model(t)
        names.append(y.grad_fn.name)
        (y * y).sum().backward()
        arrays = y, t.grad, model[0].weight.grad, model[0].bias.grad, model[0].running_var
        bits.append([a.array.tobytes() for a in arrays])
        if handle:
            handle.remove()
    assert names == ["BatchNorm", type(after).__name__]
    assert bits[0] == bits[1]


# --- state


def test_running_statistics_may_go_on_before_the_backward_pass() -> None:
    """In evaluation the gradient is that of the statistics there were."""
    layer = nn.BatchNorm1d(2).eval()
    x = gpunet.tensor(np.ones((3, 2), "float32"), requires_grad=True)
    y = layer(x)
    layer.train()(gpunet.tensor(np.random.default_rng(0).normal(5, 9, (8, 2)).astype("float32")))
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 1 / math.sqrt(1 + 1e-5), rtol=1e-6)


def test_what_was_computed_from_running_statistics_notices_their_change() -> None:
    layer = nn.BatchNorm1d(2)
    scale = gpunet.tensor(np.ones(2, "float32"), requires_grad=True)
    y = scale * layer.running_mean
    layer(gpunet.tensor(np.random.default_rng(0).normal(size=(8, 2)).astype("float32")))
    with pytest.raises(GradError, match="overwritten"):
        y.sum().backward()


def test_no_samples_leave_the_statistics_alone() -> None:
    layer = nn.BatchNorm2d(3)
    y = layer(gpunet.tensor(np.zeros((0, 3, 2, 2), "float32")))
    assert y.shape == (0, 3, 2, 2)
    assert (layer.running_mean.array == 0).all()
    assert (layer.running_var.array == 1).all()


def test_reset() -> None:
    layer = nn.BatchNorm1d(2)
    layer(gpunet.tensor([[1.0, 2.0], [3.0, 5.0]]))
    layer.weight.array[:] = 7
    assert int(layer.num_batches_tracked) == 1
    assert (layer.running_mean.array != 0).all()
    layer.reset_parameters()
    fresh = nn.BatchNorm1d(2).state_dict()
    for name, value in layer.state_dict().items():
        np.testing.assert_array_equal(value, fresh[name])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: nn.BatchNorm2d(3)(gpunet.zeros((2, 3, 4))),
            ShapeError,
            "BatchNorm2d: x must have 4",
        ),
        (
            lambda: nn.BatchNorm1d(3)(gpunet.zeros((2, 4))),
            ShapeError,
            "running_mean must have shape",
        ),
        (lambda: nn.BatchNorm1d(3)(gpunet.zeros((1, 3))), ShapeError, "more than one value"),
        (
            lambda: nn.BatchNorm1d(3)(gpunet.zeros((2, 3), dtype="float64")),
            DTypeError,
            "weight must be float64 as the others, got float32",
        ),
        (lambda: nn.BatchNorm1d(0), ArgumentError, "BatchNorm1d: sizes must be at least 1"),
        (
            lambda: nn.InstanceNorm1d(3)(gpunet.zeros((2, 4, 5))),
            ShapeError,
            "InstanceNorm1d: x must have num_features = 3 channels, got 4",
        ),
        (lambda: nn.GroupNorm(2, 3), ArgumentError, "GroupNorm: num_groups must divide"),
        (lambda: nn.LayerNorm(()), ArgumentError, "LayerNorm: sizes must be at least 1, got"),
    ],
)
def test_refusals(make, error, message) -> None:
    with pytest.raises(error, match=message.replace("(", r"\(")):
        make()
