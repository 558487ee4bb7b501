"""Says where a NaN or Inf came from: the batch is run again, and every layer looked at."""

from __future__ import annotations

from typing import Any

from gpunet import nn
from gpunet.autograd import Tensor, no_grad


def _bad(tensor: Tensor) -> str:
    """ "NaN" or "Inf" if the tensor holds one, else nothing."""
    xp = tensor.backend.xp
    if bool(xp.isfinite(tensor.array).all()):
        return ""
    return "NaN" if bool(xp.isnan(tensor.array).any()) else "Inf"


def non_finite_parameter(model: nn.Module) -> str:
    """Names the first parameter that holds a NaN or Inf; nothing if all are finite."""
    for name, parameter in model.named_parameters():
        if kind := _bad(parameter):
            return f"parameter {name} holds {kind} (the step before made it)"
    return ""


def first_non_finite(model: nn.Module, x: Tensor) -> str:
    """Names the first thing that is not finite when `model` runs on `x`.

    It is the input, a parameter, or a layer's output.
    Layers are looked at in the order in which they ran, each without fusing, innermost ones only.

    >>> import gpunet
    >>> from gpunet import nn
    >>> model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    >>> first_non_finite(model, gpunet.tensor([[1.0, float("inf")]]))
    'the input holds Inf'
    """
    if kind := _bad(x):
        return f"the input holds {kind}"
    if fault := non_finite_parameter(model):
        return fault
    found: list[str] = []
    names = {id(module): name for name, module in model.named_modules()}

    def look(module: nn.Module, _: tuple[Any, ...], output: Any) -> None:
        if not found and isinstance(output, Tensor) and (kind := _bad(output)):
            name = names[id(module)] or "the model"
            found.append(f"layer {name} ({type(module).__name__}) was the first to return {kind}")

    handles = [
        module.register_forward_hook(look)
        for module in model.modules()
        if not any(module.named_children())
    ]
    try:
        with no_grad():
            model(x)
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else "every layer's output is finite: the loss itself overflowed"
