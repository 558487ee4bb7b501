"""Finds where a NaN or Inf came from: a step is done again, and every operation looked at."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpunet import nn
from gpunet.autograd import Op, Tensor, Watcher, watching

# What a finding usually means, by the operation; others by where it was.
_LOG = "the logarithm of 0 or less: add a small number, or use log_softmax or a loss of logits"
_ROOT = "a root at 0 has an infinite slope, and none below: add a small number first"
_RATIO = "a division by 0, or by something tiny: add a small number to the divisor"
_EXP = "exp overflows above 88 in float32: subtract the largest value first, as softmax does"
_HINTS = {
    **dict.fromkeys(("Log", "Log2", "Log10", "Log1p", "XLogY", "Logit"), _LOG),
    **dict.fromkeys(("Sqrt", "Rsqrt"), _ROOT),
    **dict.fromkeys(("Divide", "Reciprocal", "AddQuotient"), _RATIO),
    **dict.fromkeys(("Exp", "Exp2", "Expm1"), _EXP),
    "Power": "a power that overflows, or a fractional one of 0 or less: bound the base",
}
_USUALLY = {
    "data": "leave such examples out, or replace what is missing, when the data is read",
    "forward": "values outgrew their dtype: a smaller learning rate often helps, or smaller first "
    "weights, or normalisation between the layers",
    "backward": "gradients outgrew their dtype: regularization.clip_norm or a smaller learning "
    "rate often helps",
    "optimizer": "the step was too large for the weights: a smaller learning rate often helps, "
    "or a larger eps of the optimizer",
}


_SMALL = 2048  # elements


@dataclass(frozen=True)
class Fault:
    """The first thing that was not finite.

    Attributes:
        where: "data", "forward", "backward" or "optimizer".
        what: the operation, or the optimizer or the part of the batch.
        layer: dotted name of the layer or parameter; "" for the model itself and what is outside.
        element: its index in the result. kind: "NaN" or "Inf".
    """

    where: str
    what: str
    layer: str
    element: tuple[int, ...]
    kind: str

    @property
    def hint(self) -> str:
        """What this usually means, and what helps."""
        return _HINTS.get(self.what, _USUALLY[self.where])

    def __str__(self) -> str:
        place = f" of {self.layer}" if self.layer else ""
        at = f"at element {list(self.element)}" if self.element else "as its only element"
        return (
            f"{self.where}: {self.what}{place} was the first to give {self.kind}, {at}; {self.hint}"
        )


def small_parameters(model: nn.Module) -> list[Tensor]:
    """Those whose gradients are looked at in every step: biases, scales, or the smallest of all.

    What is not finite on its way back through the layers gets into each of them. A gradient of a
    large parameter that overflows alone, in the product that makes it, is seen one step late: by
    the next loss, where it is still there to be named, and before such weights are kept. So the
    look costs little. In float16, where that is likelier, all gradients are looked at.
    """
    sizes = [p.numel() for p in model.parameters()]
    return [p for p in model.parameters() if p.numel() <= max(_SMALL, min(sizes))]


def gradients_finite(parameters: list[Tensor]) -> bool:
    """Whether their gradients are: one sum over all of them, read once."""
    total: Any = 0.0
    gradients = [p.grad for p in parameters if p.grad is not None]
    with np.errstate(all="ignore"):
        for g in gradients:
            total = total + g.array.sum()
    # The sum may overflow where the gradients themselves do not.
    return math.isfinite(total) or not any(map(_first_bad, gradients))


def fault_in_data(x: Tensor, t: Tensor) -> Fault | None:
    """The first element of a batch that is not finite."""
    for name, tensor in (("the inputs", x), ("the targets", t)):
        if found := _first_bad(tensor):
            return Fault("data", name, "", *found)
    return None


def fault_in_weights(model: nn.Module, optimizer: str) -> Fault | None:
    """The first weight that is not finite: by its gradient, or else by the optimizer's step."""
    for name, parameter in model.named_parameters():
        if found := _first_bad(parameter):
            if parameter.grad is not None and (cause := _first_bad(parameter.grad)):
                return Fault("backward", "the gradient", name, *cause)
            return Fault("optimizer", optimizer, name, *found)
    return None


def fault_in_operations(model: nn.Module, run: Callable[[], Any]) -> Fault | None:
    """Calls `run`, which uses `model`, and stops at the first operation at fault.

    At fault is one that makes a NaN of inputs without, or an Inf of finite inputs, forward or
    backward. Layers run without being fused.

    >>> import gpunet
    >>> from gpunet import nn
    >>> model = nn.Sequential(nn.Linear(2, 2), nn.LogSoftmax(1))
    >>> print(fault_in_operations(model, lambda: model(gpunet.tensor([[1.0, 2.0]])).sum().log()))
    forward: Log was the first to give NaN, as its only element; the logarithm of 0 or less: add a \
small number, or use log_softmax or a loss of logits
    """
    watcher = _Watcher(model)
    try:
        with watcher.following(), watching(watcher), np.errstate(all="ignore"):
            run()
    except _Found as found:
        return found.fault
    return None


class _Found(Exception):
    def __init__(self, fault: Fault):
        self.fault = fault


class _Watcher(Watcher):
    """Looks at every result of every operation, and knows which layer is at work."""

    def __init__(self, model: nn.Module):
        self.model = model
        self.at_work = [""]
        self.layers: dict[int, str] = {}
        self.parameters = {id(p): name for name, p in model.named_parameters()}

    @contextmanager
    def following(self) -> Iterator[None]:
        """Keeps `at_work` up to date."""
        names = {id(module): name for name, module in self.model.named_modules()}

        def enter(module: nn.Module, _: Any) -> None:
            self.at_work.append(names[id(module)])

        def leave(*_: Any) -> None:
            self.at_work.pop()

        handles = []
        for module in self.model.modules():
            handles.append(module.register_forward_pre_hook(enter))
            handles.append(module.register_forward_hook(leave))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def forward(self, op: Op, be: Any, inputs: list[Any]) -> Any:
        result = super().forward(op, be, inputs)
        self.layers[id(op)] = self.at_work[-1]
        settings = [v for v in (*inputs, *vars(op).values()) if isinstance(v, float)]
        meant = not all(map(math.isfinite, settings))  # as when scores are masked by −Inf
        self._look("forward", op, self.at_work[-1], inputs, _several(result), meant)
        return result

    def backward(self, op: Op, gys: list[Any]) -> Any:
        gxs = super().backward(op, gys)
        layer = self.layers.get(id(op), "")
        for edge, g in zip(op.edges, _several(gxs), strict=True):
            name = self.parameters.get(id(edge), layer)
            self._look("backward", op, name, gys, [g], False)
        return gxs

    def _look(self, where: str, op: Op, name: str, inputs: Any, results: Any, meant: bool) -> None:
        for result in results:
            found = _bad(result)
            if not found:
                continue
            kinds = {bad[1] for bad in map(_bad, inputs) if bad}
            if "NaN" in kinds or (found[1] == "Inf" and (kinds or meant)):
                continue
            raise _Found(Fault(where, op.name, name, *found))


def _several(result: Any) -> tuple[Any, ...]:
    return result if type(result) is tuple else (result,)


def _first_bad(tensor: Tensor) -> tuple[tuple[int, ...], str] | None:
    return _bad(tensor.array)


def _bad(array: Any) -> tuple[tuple[int, ...], str] | None:
    """Index and kind of the first NaN of an array, or of the first Inf where there is no NaN."""
    if getattr(getattr(array, "dtype", None), "kind", "") != "f" or not array.size:
        return None
    for wrong, kind in ((array != array, "NaN"), (abs(array) == math.inf, "Inf")):
        if bool(wrong.any()):
            index = np.unravel_index(int(wrong.reshape(-1).argmax()), array.shape)
            return tuple(map(int, index)), kind
    return None
