"""The backward graph as values with their gradients."""

import numpy as np
import pytest

import gpunet
from gpunet import functional as F
from gpunet.autograd.graph import trace
from gpunet.errors import GradError, ShapeError


def leaf(values):
    return gpunet.tensor(values, dtype="float64", requires_grad=True)


def test_values_come_after_what_they_are_made_from() -> None:
    x, w = leaf([1.0, 2.0]), leaf([0.5, -0.25])
    z = w @ x
    a = F.sigmoid(z)
    loss = -F.log(a)
    nodes = trace(loss)
    assert [node.operation for node in nodes.values()] == [
        "",
        "",
        "Dot",
        "Sigmoid",
        "Log",
        "Negate",
    ]
    place = {node: i for i, node in enumerate(nodes.values())}
    for node in place:
        assert all(place[below] < place[node] for below in node.inputs)
    assert list(nodes)[-1] == loss.origin
    assert nodes[z.origin].inputs == (nodes[w], nodes[x])


def test_gradients_are_those_of_grad_and_nothing_is_stored() -> None:
    x, w = leaf([1.0, 2.0]), leaf([0.5, -0.25])
    z = w @ x
    y = z * z + z.exp()  # z goes into several
    nodes = trace(y)
    found = gpunet.grad(y, [x, w, z], retain_graph=True)
    for tensor, expected in zip((x, w, z), found, strict=True):
        np.testing.assert_array_equal(nodes[tensor.origin or tensor].gradient, expected.numpy())
        assert tensor.grad is None
    y.backward()  # the graph is still there
    assert w.grad is not None


def test_an_output_that_is_not_used_is_no_value() -> None:
    x = leaf([[3.0, 1.0], [2.0, 5.0]])
    one, _ = F.split(x, 1)
    nodes = trace(one.sum())
    assert len(nodes) == 3


def test_deep_graphs_need_no_recursion() -> None:
    y = x = leaf(1.0)
    for _ in range(3000):
        y = y + 1
    assert len(trace(y)) == 3001
    assert trace(y)[x].gradient == 1


def test_a_leaf_alone() -> None:
    x = leaf(2.0)
    assert [node.operation for node in trace(x).values()] == [""]


def test_refusals() -> None:
    with pytest.raises(GradError, match="must require a gradient"):
        trace(gpunet.tensor(1.0))
    with pytest.raises(ShapeError, match="must have one element"):
        trace(leaf([1.0, 2.0]) * 2)
    y = (leaf(1.0) * 2).exp()
    y.backward()
    with pytest.raises(GradError, match="an earlier backward pass has freed it"):
        trace(y)
