"""Gradients as values: `grad(loss, [x, w])`, without touching anybody's `.grad`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpunet.autograd import engine
from gpunet.autograd.tensor import Tensor, weights_of
from gpunet.errors import ArgumentError, DTypeError, GradError

Several = Tensor | Sequence[Tensor]


def grad(
    outputs: Several,
    inputs: Several,
    grad_outputs: Any = None,
    retain_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """d(outputs) / d(inputs), as a tuple with a tensor for each input.

    Args:
        outputs, inputs: a tensor, or several; the inputs may be leaves or results of operations.
        grad_outputs: weights of the elements of each output; may be left out for one element.
        retain_graph: keep what the graph holds, for a second pass.
        allow_unused: an input that the outputs do not depend on gets None instead of an error.

    Raises:
        GradError: an input is not used, or nothing here requires a gradient.

    Derivatives of derivatives (PyTorch's `create_graph`) are not computed.

    >>> import gpunet
    >>> x = gpunet.tensor(3.0, requires_grad=True)
    >>> gpunet.grad(x * x, x)
    (tensor(6., dtype=float32),)
    """
    roots, leaves = _several("outputs", outputs), _several("inputs", inputs)
    given = [None] * len(roots) if grad_outputs is None else grad_outputs
    weights = [given] if isinstance(given, Tensor) else list(given)
    if len(weights) != len(roots):
        raise ArgumentError(
            "grad", f"grad_outputs must be one an output ({len(roots)}), got {len(weights)}"
        )
    for x in leaves:
        if not x.requires_grad:
            raise GradError("grad", "inputs must require a gradient, got one that does not")
    edges = [x.origin or x for x in leaves]
    wanted = dict.fromkeys(edges)
    weighted = [weights_of("grad", y, w) for y, w in zip(roots, weights, strict=True)]
    begun = [y.origin or y for y in roots]
    engine.backward(begun, weighted, retain_graph=retain_graph, wanted=wanted)
    found = [wanted[edge] for edge in edges]
    if not allow_unused and any(g is None for g in found):
        position = next(i for i, g in enumerate(found) if g is None)
        raise GradError(
            "grad",
            f"the outputs must depend on every input, got input {position} unused",
            "allow_unused=True gives None for it",
        )
    return tuple(
        None if g is None else Tensor(x.backend.copy(g), x.backend)
        for x, g in zip(leaves, found, strict=True)
    )


def _several(name: str, given: Several) -> list[Tensor]:
    tensors = [given] if isinstance(given, Tensor) else list(given)
    for x in tensors:
        if not isinstance(x, Tensor):
            raise DTypeError("grad", f"{name} must be gpunet.Tensors, got {type(x).__name__}")
    return tensors
