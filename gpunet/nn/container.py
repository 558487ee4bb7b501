"""Modules made of modules."""

from __future__ import annotations

from collections.abc import Iterator

from gpunet.autograd.tensor import Tensor
from gpunet.nn.activation import ActivationLayer
from gpunet.nn.linear import Linear
from gpunet.nn.module import Module


class Sequential(Module):
    """Layers one after another, named "0", "1", ... in `state_dict`.

    An activation that follows a `Linear` is computed in the same sweep over memory as the bias.

    >>> from gpunet import nn
    >>> nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    Sequential(
      (0): Linear(4, 8, bias=True)
      (1): ReLU()
      (2): Linear(8, 2, bias=True)
    )
    """

    def __init__(self, *layers: Module):
        self._layers = layers
        for i, layer in enumerate(layers):
            setattr(self, str(i), layer)

    def forward(self, x: Tensor) -> Tensor:
        layers, i = self._layers, 0
        while i < len(layers):
            layer = layers[i]
            i += 1
            if type(layer) is Linear and i < len(layers):
                after = layers[i]
                # Somebody who listens to either layer gets to see it alone.
                if isinstance(after, ActivationLayer) and not (
                    layer._forward_hooks or after._forward_hooks
                ):
                    x = layer(x, activation=after.op())
                    i += 1
                    continue
            x = layer(x)
        return x

    def __len__(self) -> int:
        return len(self._layers)

    def __getitem__(self, index: int) -> Module:
        return self._layers[index]

    def __iter__(self) -> Iterator[Module]:
        return iter(self._layers)
