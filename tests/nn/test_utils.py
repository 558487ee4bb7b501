"""Clipping of gradients: norms by their definition, and as PyTorch does it."""

import math

import numpy as np
import pytest

import gpunet
from gpunet import nn
from gpunet.errors import ArgumentError, NonFiniteError
from gpunet.nn.utils import clip_grad_norm_, clip_grad_value_, get_total_norm

SHAPES = [(3, 4), (5,), (), (0, 2)]
NORMS = [2.0, 1.0, 3.5, math.inf]


def parameters(dtype="float64", scale=1.0) -> list[gpunet.Tensor]:
    """With gradients drawn at random, and one without."""
    rng = np.random.default_rng(0)
    made = [gpunet.tensor(np.zeros(shape), dtype, requires_grad=True) for shape in SHAPES]
    for x in made:
        x.grad = gpunet.tensor(scale * rng.standard_normal(x.shape), dtype)
    return [*made, gpunet.tensor(np.zeros(2), dtype, requires_grad=True)]


def vector(made) -> np.ndarray:
    return np.concatenate([x.grad.array.reshape(-1) for x in made if x.grad is not None])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("norm_type", NORMS)
@pytest.mark.parametrize("max_norm", [0.0, 0.5, 100.0])
def test_clip_grad_norm(dtype, norm_type, max_norm) -> None:
    made = parameters(dtype)
    arrays = [x.grad.array for x in made[:-1]]
    before = vector(made).astype("float64")
    norm = clip_grad_norm_(iter(made), max_norm, norm_type)
    expected = np.linalg.norm(before, norm_type)
    rtol = float(20 * np.finfo(dtype).eps)
    assert (norm.shape, norm.dtype) == ((), dtype)
    assert norm.item() == pytest.approx(expected, rel=rtol)
    factor = min(1.0, max_norm / (expected + 1e-6))
    np.testing.assert_allclose(vector(made), factor * before, rtol=rtol)
    assert all(x.grad.array is array for x, array in zip(made, arrays, strict=False))


def test_of_one_tensor_and_of_none() -> None:
    x = gpunet.tensor([1.0, 1.0], requires_grad=True)
    assert clip_grad_norm_(x, 1.0).item() == 0.0  # it has no gradient
    x.grad = gpunet.tensor([3.0, 4.0])
    assert get_total_norm(x.grad).item() == 5.0
    assert clip_grad_norm_(x, 1.0).item() == 5.0
    np.testing.assert_allclose(x.grad.array, [0.6, 0.8], rtol=1e-6)
    assert clip_grad_norm_([], 1.0).item() == 0.0


def test_half_precision_does_not_overflow() -> None:
    x = gpunet.tensor(np.zeros(4), "float16", requires_grad=True)
    x.grad = gpunet.tensor(np.full(4, 1000.0), "float16")
    assert clip_grad_norm_(x, 1.0).item() == 2000.0
    np.testing.assert_allclose(x.grad.array, np.full(4, 0.5), rtol=1e-3)
    assert x.grad.dtype == "float16"


def test_clip_grad_value() -> None:
    made = parameters()
    before = vector(made)
    clip_grad_value_(made, 0.5)
    np.testing.assert_array_equal(vector(made), np.clip(before, -0.5, 0.5))
    clip_grad_value_(made[0], 0.25)
    assert np.abs(made[0].grad.array).max() == 0.25
    assert np.abs(made[1].grad.array).max() == 0.5


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_non_finite(bad) -> None:
    made = parameters()
    made[1].grad.array[2] = bad
    before = vector(made)
    with pytest.raises(NonFiniteError, match=f"norm of order 2 must be finite, got {bad}"):
        clip_grad_norm_(made, 1.0, error_if_nonfinite=True)
    np.testing.assert_array_equal(vector(made), before)
    with np.errstate(invalid="ignore"):
        assert not math.isfinite(clip_grad_norm_(made, 1.0).item())
    assert np.isnan(made[1].grad.array[2])


def test_a_clipped_step_is_bounded() -> None:
    model = nn.Linear(3, 2)
    (model(gpunet.tensor(np.full((4, 3), 1e3, "float32"))) * 1e3).sum().backward()
    clip_grad_norm_(model.parameters(), 0.1)
    assert np.linalg.norm(vector(list(model.parameters()))) == pytest.approx(0.1, rel=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: clip_grad_norm_(x, -1), "clip_grad_norm_: max_norm must be at least 0, got -1"),
        (lambda x: clip_grad_norm_(x, math.nan), "max_norm must be at least 0, got nan"),
        (lambda x: clip_grad_norm_(x, 1, 0), "get_total_norm: norm_type must be above 0, got 0"),
        (lambda x: clip_grad_value_(x, -1), "clip_grad_value_: clip_value must be at least 0"),
    ],
)
def test_refused(call, message) -> None:
    with pytest.raises(ArgumentError, match=message):
        call(parameters())


@pytest.mark.parametrize("scale", [1.0, 100.0])
@pytest.mark.parametrize("norm_type", NORMS)
def test_equals_pytorch(norm_type, scale) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: NOT compared with it")
    made = parameters(scale=scale)[:3]  # it has no largest of nothing
    theirs = [torch.zeros(x.shape, dtype=torch.float64, requires_grad=True) for x in made]
    for x, y in zip(made, theirs, strict=True):
        y.grad = torch.tensor(x.grad.array.copy())
    norm = clip_grad_norm_(made, 2.0, norm_type).item()
    assert norm == pytest.approx(
        torch.nn.utils.clip_grad_norm_(theirs, 2.0, norm_type).item(), rel=1e-12
    )
    clip_grad_value_(made, 0.3)
    torch.nn.utils.clip_grad_value_(theirs, 0.3)
    for x, y in zip(made, theirs, strict=True):
        np.testing.assert_allclose(x.grad.array, y.grad.numpy(), rtol=1e-12)
