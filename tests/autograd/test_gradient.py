"""Gradients as values."""

import numpy as np
import pytest

import gpunet
from gpunet.errors import ArgumentError, DTypeError, GradError, ShapeError


def leaf(*values: float) -> gpunet.Tensor:
    return gpunet.tensor(np.array(values), requires_grad=True)


def test_leaves_and_results_alike() -> None:
    x, y = leaf(2.0), leaf(3.0)
    h = x * y
    z = h * h + x
    gx, gy, gh = gpunet.grad(z, [x, y, h])
    assert (gx.item(), gy.item(), gh.item()) == (2 * 6 * 3 + 1, 2 * 6 * 2, 12)
    assert x.grad is None
    assert y.grad is None


def test_several_outputs_with_weights() -> None:
    x = leaf(1.0, 2.0)
    (g,) = gpunet.grad([x * x, x], x, [gpunet.tensor(np.array([1.0, 10.0])), leaf(5.0, 5.0)])
    assert g.tolist() == [2 + 5, 40 + 5]


def test_a_root_that_is_wanted_itself() -> None:
    x = leaf(2.0)
    y = x * 3
    assert [g.item() for g in gpunet.grad(y, [y, x])] == [1.0, 3.0]
    assert gpunet.grad(x, x)[0].item() == 1.0


def test_the_graph_is_freed_or_kept() -> None:
    x = leaf(2.0)
    y = x * x
    assert gpunet.grad(y, x, retain_graph=True)[0].item() == 4.0
    assert gpunet.grad(y, x)[0].item() == 4.0
    with pytest.raises(GradError, match="freed"):
        gpunet.grad(y, x)


def test_an_input_that_is_not_used() -> None:
    x, y = leaf(2.0), leaf(3.0)
    with pytest.raises(GradError, match="got input 1 unused"):
        gpunet.grad(x * x, [x, y])
    assert gpunet.grad(x * x, [x, y], allow_unused=True)[1] is None


def test_gradients_have_memory_of_their_own() -> None:
    x, y = leaf(2.0), leaf(3.0)
    weights = gpunet.tensor(np.array([1.0]))
    gx, gy = gpunet.grad(x + y, [x, y], weights)
    arrays = [gx.array, gy.array, weights.array]
    assert not any(np.shares_memory(a, b) for a in arrays for b in arrays if a is not b)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: gpunet.grad(x.detach(), x), GradError, "must require a gradient"),
        (lambda x: gpunet.grad(x * x, x), ShapeError, "must have one element"),
        (lambda x: gpunet.grad(x * x, x.detach(), x), GradError, "inputs must require"),
        (lambda x: gpunet.grad([x * x], x, [x, x]), ArgumentError, "one an output"),
        (lambda x: gpunet.grad([3.0], x), DTypeError, "outputs must be gpunet.Tensors, got float"),
        (lambda x: gpunet.grad(x * x, x, x[:1]), ShapeError, "gradient must have shape"),
    ],
)
def test_bad_calls(call, error, words) -> None:
    with pytest.raises(error, match=words):
        call(leaf(1.0, 2.0))
