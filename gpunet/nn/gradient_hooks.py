"""Hooks on the gradients that enter and leave a module.

Two identity operations mark the module's border: one through which all its inputs pass, one through
which all its outputs do. Their backward passes see the gradients on either side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpunet.autograd.op import Op, apply
from gpunet.autograd.tensor import Tensor
from gpunet.backend import Array, Backend
from gpunet.errors import GradError

Gradients = list[Tensor | None]


class Border(Op):
    """The identity of several tensors; `leave` sees, and may replace, all their gradients."""

    def __init__(self, leave: Callable[[Gradients], Gradients]):
        self.leave = leave

    def forward(self, be: Backend, *xs: Array) -> Any:
        # Views, so that the tensors are other ones than the inputs.
        return tuple(x[...] for x in xs)

    def backward(self, be: Backend, *gys: Array | None) -> Any:
        wrapped: Gradients = [None if g is None else Tensor(g, be) for g in gys]
        return tuple(None if g is None else g.array for g in self.leave(wrapped))


def call_with_gradient_hooks(
    module: Any, hooks: tuple[Callable[..., Any], ...], args: tuple[Any, ...], kwargs: Any
) -> Any:
    """`module.forward`, with `hook(module, grad_input, grad_output)` in its backward pass."""
    grad_output: Gradients = []

    def after_outputs(gradients: Gradients) -> Gradients:
        grad_output[:] = gradients
        return gradients

    def after_inputs(gradients: Gradients) -> Gradients:
        for hook in hooks:
            changed = hook(module, tuple(gradients), tuple(grad_output))
            if changed is not None:
                if not isinstance(changed, tuple) or len(changed) != len(gradients):
                    raise GradError(
                        "backward hook",
                        f"must return None or a tuple of {len(gradients)}, got {changed!r}",
                    )
                gradients = list(changed)
        return gradients

    result = module.forward(*_through(args, after_inputs), **kwargs)
    several = result if isinstance(result, tuple) else (result,)
    marked = _through(several, after_outputs)
    return marked if isinstance(result, tuple) else marked[0]


def _through(values: tuple[Any, ...], leave: Callable[[Gradients], Gradients]) -> tuple[Any, ...]:
    """The values with their recorded tensors passed through a border."""
    inside = [i for i, x in enumerate(values) if isinstance(x, Tensor) and x.requires_grad]
    if not inside:
        return values
    marked = list(values)
    for i, y in zip(inside, apply(Border(leave), *(values[i] for i in inside)), strict=True):
        marked[i] = y
    return tuple(marked)
