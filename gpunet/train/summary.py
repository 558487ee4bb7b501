"""What a model is made of: layers, output shapes, parameters, multiply-adds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from gpunet import nn
from gpunet.autograd import Tensor, no_grad
from gpunet.backend import Shape


@dataclass(frozen=True)
class LayerSummary:
    """One layer: dotted name, class with settings, output shape for one example, its numbers."""

    name: str
    kind: str
    output: Shape
    weights: int
    biases: int
    multiply_adds: int


def summarize(model: nn.Module, *example: Tensor) -> list[LayerSummary]:
    """A line for each innermost layer, in the order they run on `example`, a batch of one.

    A weight that layers share is the first one's.

    >>> import gpunet
    >>> from gpunet import nn
    >>> model = nn.Sequential(nn.Linear(3, 5), nn.ReLU())
    >>> lines = summarize(model, gpunet.tensor([[0.0] * 3]))
    >>> [(line.name, line.weights, line.biases, line.multiply_adds) for line in lines]
    [('0', 15, 5, 15), ('1', 0, 0, 0)]
    """
    names = {id(module): name for name, module in model.named_modules()}
    lines: list[LayerSummary] = []
    counted: set[int] = set()

    def note(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        y = output[0] if isinstance(output, tuple) else output  # a recurrent layer tells its state
        weights = biases = products = 0
        for name, p in layer.named_parameters():
            bias, once = name.startswith("bias"), p.numel() * (id(p) not in counted)
            counted.add(id(p))
            biases += once * bias
            weights += once * (not bias)
            products += 0 if bias else _uses(layer, inputs, y) * p.numel()
        kind = f"{type(layer).__name__}({layer.extra_repr()})"
        lines.append(LayerSummary(names[id(layer)], kind, y.shape[1:], weights, biases, products))

    handles = [
        m.register_forward_hook(note) for m in model.modules() if not any(m.named_children())
    ]
    training = model.training
    try:
        with no_grad():
            model.eval()(*example)
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    return lines


def _uses(layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> int:
    """How often each weight of a layer is multiplied for one example."""
    kind = type(layer).__name__
    if kind == "Linear":
        return math.prod(output.shape[1:-1])
    if kind.startswith("ConvTranspose"):  # every place of the input is spread
        return math.prod(inputs[0].shape[2:])
    if kind.startswith("Conv"):  # every place of the output is a sum
        return math.prod(output.shape[2:])
    if isinstance(layer, nn.RNN | nn.LSTM | nn.GRU):  # every step, and the batch is of one
        return math.prod(output.shape[:-1])
    return 0
