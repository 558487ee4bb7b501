"""Hooks on gradients: seen, replaced, removed, and refused when they return something else."""

import numpy as np
import pytest

import gpunet
from gpunet import nn
from gpunet.errors import DTypeError, GradError, ShapeError


def leaf(*values: float) -> gpunet.Tensor:
    return gpunet.tensor(np.array(values), requires_grad=True)


def test_a_hook_sees_the_whole_gradient_of_a_result() -> None:
    x, seen = leaf(3.0), []
    h = x * 2
    h.register_hook(lambda g: seen.append(g.item()))
    (h * h + h).backward()
    assert seen == [2 * 6.0 + 1]
    assert x.grad.tolist() == [26.0]


def test_a_hook_replaces_a_gradient() -> None:
    x, y = leaf(3.0), leaf(4.0)
    h = x * y
    h.register_hook(lambda g: g * 10)
    y.register_hook(lambda g: -g)
    h.backward()
    assert x.grad.tolist() == [40.0]
    assert y.grad.tolist() == [-30.0]


def test_hooks_run_in_turn_until_removed() -> None:
    x = leaf(1.0)
    first = x.register_hook(lambda g: g + 1)
    with x.register_hook(lambda g: g * 10):
        (x * 1).backward()
    first.remove()
    first.remove()
    (x * 1).backward()
    assert x.grad.tolist() == [20.0 + 1.0]


def test_one_of_several_results() -> None:
    x = leaf(1.0, 2.0, 3.0)
    a, b = x[:1], x[1:]
    b.register_hook(lambda g: g * 0)
    (a.sum() + b.sum()).backward()
    assert x.grad.tolist() == [1.0, 0.0, 0.0]


def test_kept_gradient_of_a_result() -> None:
    x = leaf(3.0)
    h = x * 2
    h.retain_grad()
    (h * h).backward()
    assert h.grad.tolist() == [12.0]


@pytest.mark.parametrize(
    ("returned", "error"),
    [
        (lambda g: g.reshape(1, 2), ShapeError),
        (lambda g: g.float(), DTypeError),
        (lambda g: 1.0, DTypeError),
    ],
)
def test_what_a_hook_must_not_return(returned, error) -> None:
    x = leaf(1.0, 2.0)
    x.register_hook(returned)
    with pytest.raises(error, match=r"^hook: must return"):
        (x * 1).sum().backward()


def test_no_hook_without_a_gradient() -> None:
    with pytest.raises(GradError, match="register_hook"):
        gpunet.ones(2).register_hook(print)


# --- modules


def test_module_hooks_see_and_replace() -> None:
    layer = nn.Linear(2, 2, bias=False, dtype="float64")
    nn.init.eye_(layer.weight)
    x = gpunet.tensor([[1.0, 2.0]], dtype="float64", requires_grad=True)
    layer.register_forward_pre_hook(lambda module, args: args[0] * 2)
    layer.register_forward_hook(lambda module, args, out: out + args[0])
    y = layer(x)
    assert y.detach().tolist() == [[4.0, 8.0]]
    y.sum().backward()
    assert x.grad.tolist() == [[4.0, 4.0]]


def test_backward_hook_sees_and_replaces_gradients() -> None:
    layer, seen = nn.Linear(2, 1, bias=False, dtype="float64"), []
    nn.init.constant_(layer.weight, 3.0)

    def hook(module, grad_input, grad_output):
        seen.append((module, grad_input[0].tolist(), grad_output[0].tolist()))
        return (grad_input[0] * 10,)

    handle = layer.register_full_backward_hook(hook)
    x = gpunet.tensor([[1.0, 2.0]], dtype="float64", requires_grad=True)
    (layer(x) * 2).sum().backward()
    assert seen == [(layer, [[6.0, 6.0]], [[2.0]])]
    assert x.grad.tolist() == [[60.0, 60.0]]
    assert layer.weight.grad.tolist() == [[2.0, 4.0]]
    handle.remove()
    x.grad = None
    layer(x).sum().backward()
    assert x.grad.tolist() == [[3.0, 3.0]]
    assert len(seen) == 1
