"""Checks a gradient against numerical differentiation along a random direction.

For f with Jacobian J and random u, v: <u, J v> is a central difference of <u, f> along v, and
<Jᵀ u, v> comes from one backward pass. Both are one number whatever the sizes, and a wrong entry
of J shows with probability one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gpunet.autograd import engine
from gpunet.autograd.mode import no_grad
from gpunet.autograd.tensor import Tensor
from gpunet.backend import random
from gpunet.errors import DTypeError, GradError

STEP = 1e-6  # of the values' order of magnitude: error h² + ε/h is least near ε^⅓ ≈ 6e-6 in float64


def gradcheck(
    function: Callable[..., Tensor],
    inputs: Sequence[Any],
    *,
    reference: Callable[..., Any] | None = None,
    tolerance: float = 1e-6,
) -> bool:
    """True if the backward pass of `function` agrees with numerical differentiation at `inputs`.

    Args:
        function: takes `inputs`, returns a tensor or a tuple of them; all that require a gradient
            are checked together.
        inputs: float64 tensors, checked one by one where they require a gradient; anything else is
            passed on.
        reference: takes raw arrays in the tensors' places; if given, *it* is differentiated
            numerically instead of `function`, so that a forward and backward wrong in the same way
            are caught.
        tolerance: largest difference, relative to the size of what is compared.

    Raises:
        GradError: they differ; the message names the input and both numbers.
        DTypeError: an input is not float64 (differences of float32 say nothing).

    Source: the random projection test of HIPS/autograd.

    >>> import gpunet
    >>> x = gpunet.tensor([0.5, -1.0], dtype="float64", requires_grad=True)
    >>> gpunet.gradcheck(lambda x: x * x.tanh(), [x])
    True
    """
    checked = [x for x in inputs if isinstance(x, Tensor) and x.requires_grad]
    if not checked:
        raise GradError("gradcheck", "an input must require a gradient, got none that does")
    for x in checked:
        if x.dtype != "float64":
            raise DTypeError("gradcheck", f"inputs must be float64, got {x.dtype}")

    results = _several(function(*inputs))
    recorded = [i for i, y in enumerate(results) if y.requires_grad]
    if not recorded:
        raise GradError("gradcheck", "a result must require a gradient, got none that does")
    be, draw = checked[0].backend, random.host.standard_normal
    weights = {i: be.asarray(draw(results[i].shape)) for i in recorded}
    for x in checked:
        x.grad = None
    engine.backward([results[i].origin or results[i] for i in recorded], list(weights.values()))

    for position, x in enumerate(inputs):
        if not (isinstance(x, Tensor) and x.requires_grad):
            continue
        v = be.asarray(draw(x.shape))
        got = 0.0 if x.grad is None else float((x.grad.array * v).sum())
        ends = []
        for step in (STEP, -STEP):
            moved = Tensor(x.array + step * v, be)
            ends.append(
                _projected(
                    function,
                    reference,
                    [*inputs[:position], moved, *inputs[position + 1 :]],
                    weights,
                )
            )
        expected = (ends[0] - ends[1]) / (2 * STEP)
        scale = max(abs(got), abs(expected), 1.0)
        if not abs(got - expected) <= tolerance * scale:
            raise GradError(
                "gradcheck",
                f"the gradient of input {position} must be {expected:.9g} "
                f"along a random direction, got {got:.9g}",
                f"input {position} is {x.shape} {x.dtype}",
            )
    return True


def _projected(
    function: Callable[..., Any],
    reference: Callable[..., Any] | None,
    inputs: list[Any],
    weights: dict[int, Any],
) -> float:
    if reference is not None:
        results = _several(reference(*[x.array if isinstance(x, Tensor) else x for x in inputs]))
    else:
        with no_grad():
            results = tuple(y.array for y in _several(function(*inputs)))
    return sum(float((results[i] * w).sum()) for i, w in weights.items())


def _several(results: Any) -> tuple[Any, ...]:
    return results if isinstance(results, tuple) else (results,)
