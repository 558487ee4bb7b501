"""Writes into tensors: what is allowed keeps memory and gradient right, the rest is refused."""

import numpy as np
import pytest

import gpunet
from gpunet import nn, optim
from gpunet.autograd import memory
from gpunet.errors import DTypeError, GradError, ShapeError


def leaf(*values: float) -> gpunet.Tensor:
    return gpunet.tensor(np.array(values), requires_grad=True)


OVERWRITTEN = "has been overwritten since"


# --- values and memory


def test_a_plain_tensor_is_written_in_its_memory() -> None:
    x = gpunet.tensor([1.0, 2.0, 3.0])
    array = x.array
    y = x
    y += 1
    y *= 2
    x.sub_(1)
    x[0] = 10
    x[1:] = gpunet.tensor([0.5, 0.25])
    assert y is x
    assert x.array is array
    assert x.tolist() == [10.0, 0.5, 0.25]


def test_a_view_shows_what_is_written() -> None:
    x = gpunet.zeros(2, 3)
    x[0] += 1
    x.reshape(6)[4] = 5
    assert x.tolist() == [[1, 1, 1], [0, 5, 0]]


def test_the_manual_step_of_gradient_descent() -> None:
    w = leaf(1.0, 2.0)
    (w * w).sum().backward()
    with gpunet.no_grad():
        for parameter in (w,):
            parameter -= 0.25 * parameter.grad
    assert w.is_leaf
    assert w.detach().tolist() == [0.5, 1.0]


@pytest.mark.parametrize(
    ("write", "error"),
    [
        (lambda x: x.add_(gpunet.zeros(2, 3)), ShapeError),
        (lambda x: x.mul_(gpunet.zeros(1, 3)), ShapeError),
        (lambda x: x.to("int64").add_(0.5), DTypeError),
        (lambda x: x.__setitem__(7, 0.0), ShapeError),
        (lambda x: x.__setitem__(slice(2), gpunet.zeros(5)), ShapeError),
    ],
)
def test_what_does_not_fit(write, error) -> None:
    x = gpunet.tensor([1.0, 2.0, 3.0])
    with pytest.raises(error):
        write(x)
    assert x.tolist() == [1.0, 2.0, 3.0]


# --- with a gradient


def test_an_intermediate_result_takes_the_graph_along() -> None:
    x = leaf(2.0, 3.0)
    h = x * 1
    h *= x
    h += 1
    h.sum().backward()
    assert x.grad.tolist() == [4.0, 6.0]


def test_rows_written_into_zeros() -> None:
    """The idiom of a loop over time steps."""
    x = leaf(2.0, 3.0)
    out = gpunet.zeros(3, 2, dtype="float64")
    for t in range(3):
        out[t] = x ** (t + 1)
    out.sum().backward()
    assert x.grad.tolist() == [1 + 4 + 12, 1 + 6 + 27]


def test_elements_that_are_written_over_lose_their_gradient() -> None:
    x, y = leaf(1.0, 2.0, 3.0), leaf(5.0)
    h = x * 2
    h[1:] = y
    (h * h).sum().backward()
    assert x.grad.tolist() == [8.0, 0.0, 0.0]
    assert y.grad.tolist() == [20.0]


def test_a_leaf_is_not_written_while_recording() -> None:
    x = leaf(1.0)
    for write in (lambda: x.add_(1), lambda: x.__setitem__(0, 2.0)):
        with pytest.raises(GradError, match="must not write into a leaf that requires a gradient"):
            write()
    assert x.detach().tolist() == [1.0]


def test_a_recorded_view_is_not_written() -> None:
    h = leaf(1.0, 2.0) * 1
    with pytest.raises(GradError, match="must not write into a view"):
        h[:1].add_(1)
    assert h.detach().tolist() == [1.0, 2.0]


# --- old graphs


def test_values_that_a_gradient_needs() -> None:
    x = leaf(2.0)
    h = x * 1
    y = h * h
    h += 1
    with pytest.raises(GradError, match=rf"Multiply .*shape \(1,\).* {OVERWRITTEN}"):
        y.backward()


def test_values_that_no_gradient_needs() -> None:
    x = leaf(2.0)
    h = x * 1
    y = h + 5
    h += 1
    (y + h).backward()
    assert x.grad.tolist() == [2.0]


def test_a_write_through_a_detached_view() -> None:
    x = leaf(2.0, 3.0)
    y = x.exp()
    y.detach()[1:].mul_(0)
    with pytest.raises(GradError, match=OVERWRITTEN):
        y.sum().backward()


def test_a_view_taken_before_the_write() -> None:
    x = leaf(2.0, 3.0)
    h = x * 1
    view = h.reshape(2, 1)
    h *= 10
    with pytest.raises(GradError, match=f"Reshape .*{OVERWRITTEN}"):
        view.sum().backward()


def test_what_a_fused_operation_keeps() -> None:
    y = nn.Sequential(nn.Linear(3, 2), nn.Tanh())(gpunet.ones(1, 3))
    y.detach().mul_(2)
    with pytest.raises(GradError, match=f"Linear .*{OVERWRITTEN}"):
        y.sum().backward()


def test_parameters_moved_by_an_optimizer_or_loaded() -> None:
    layer = nn.Linear(3, 1)
    optimizer = optim.SGD(layer.parameters(), lr=0.1)
    x = gpunet.tensor(np.ones((2, 3), "float32"), requires_grad=True)
    loss = layer(x).sum()
    loss.backward(retain_graph=True)
    optimizer.step()
    with pytest.raises(GradError, match=OVERWRITTEN):
        loss.backward()
    loss = layer(x).sum()
    layer.load_state_dict(nn.Linear(3, 1).state_dict())
    with pytest.raises(GradError, match=OVERWRITTEN):
        loss.backward()


def test_a_new_graph_after_a_write() -> None:
    x = leaf(2.0)
    with gpunet.no_grad():
        x += 1
    (x * x).backward()
    assert x.grad.tolist() == [6.0]


def test_entries_go_with_their_arrays() -> None:
    before = len(memory._written)
    for _ in range(100):
        gpunet.zeros(3).add_(1)
    assert len(memory._written) == before
