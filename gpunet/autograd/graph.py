"""The backward graph as values: what was computed from what, and the gradient that each gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gpunet.autograd import engine
from gpunet.autograd.tensor import Tensor, weights_of
from gpunet.backend import Array


@dataclass(eq=False)
class Node:
    """A value on the way to a loss.

    Args:
        operation: what made it, "" for a leaf.
        inputs: the values it was made from, those alone that a gradient reaches.
        gradient: of the loss by this value, an array of its shape.
        leaf: the tensor, of a leaf.
    """

    operation: str
    inputs: tuple[Node, ...]
    gradient: Array
    leaf: Tensor | None = None


def trace(loss: Tensor) -> dict[Any, Node]:
    """Every value that the gradient of `loss` passes, each after those it was made from.

    A key is a leaf tensor or the origin of a result, so `nodes[z.origin or z]` is that of the
    tensor z, and the last one is the loss. One backward pass finds the gradients; it keeps the
    graph and changes no tensor's `.grad`.

    Raises:
        GradError: the loss needs no gradient, or an earlier backward pass has freed its graph.
        ShapeError: it has more than one element.

    >>> import gpunet
    >>> w = gpunet.tensor(3.0, requires_grad=True)
    >>> [(node.operation, node.gradient.item()) for node in trace(w.exp().log()).values()]
    [('', 1.0), ('Exp', 0.049787066876888275), ('Log', 1.0)]
    """
    weights = weights_of("graph", loss, None)
    order = _ordered(loss.origin or loss)
    gradients: dict[Any, Array | None] = dict.fromkeys(order)
    engine.backward([loss.origin or loss], [weights], retain_graph=True, wanted=gradients)
    nodes: dict[Any, Node] = {}
    for edge in order:
        gradient = gradients[edge]
        if gradient is None:  # an output that the loss does not depend on
            continue
        if type(edge) is tuple:
            inputs = tuple(nodes[e] for e in edge[0].edges if e is not None and e in nodes)
            nodes[edge] = Node(edge[0].name, inputs, gradient)
        else:
            nodes[edge] = Node("", (), gradient, edge)
    return nodes


def _ordered(root: Any) -> list[Any]:
    """The edges below one, it included, each after those it leads to; without recursion."""
    order: dict[Any, None] = {}
    stack = [(root, False)]
    while stack:
        edge, done = stack.pop()
        if done:
            order[edge] = None
        elif edge not in order:
            stack.append((edge, True))
            below = edge[0].edges if type(edge) is tuple else ()
            stack += [(e, False) for e in reversed(below) if e is not None and e not in order]
    return list(order)
