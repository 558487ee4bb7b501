"""Which layer holds how much memory: its parameters, their gradients, and what the graph keeps."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from gpunet import nn, optim
from gpunet.autograd import Op, Tensor, Watcher, watching
from gpunet.autograd.memory import arrays_of, owner

MOST = 5  # layers in a message


@dataclass(frozen=True)
class LayerMemory:
    """What a layer holds, in bytes.

    Attributes:
        name: dotted; "" for the model itself and what is outside, such as the loss.
        parameters, gradients: the latter as large as the former, where there is a backward pass.
        state: of the optimizer.
        kept: arrays that operations keep for the backward pass, each counted for the first layer
            that keeps it, the batch itself among them.
    """

    name: str
    parameters: int = 0
    gradients: int = 0
    state: int = 0
    kept: int = 0

    @property
    def total(self) -> int:
        """All of it."""
        return self.parameters + self.gradients + self.state + self.kept


def memory_by_layer(
    model: nn.Module, forward: Callable[[], Tensor], optimizer: optim.Optimizer | None = None
) -> list[LayerMemory]:
    """What a training step needs, from the graph of a loss.

    What comes and goes within an operation, and the gradients on their way back, are not in it.

    Args:
        forward: computes the loss with `model`, as in training.
        optimizer: counts with the state it will have after its first step.

    >>> import gpunet
    >>> from gpunet import nn
    >>> model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    >>> for layer in memory_by_layer(model, lambda: model(gpunet.ones(10, 3)).sum()):
    ...     print(layer.name, layer.parameters, layer.kept)
    0 64 280
    2 20 0
    """
    ledger = _Ledger(model)
    with watching(ledger):
        loss = forward()
    found = ledger.layers(optimizer, gradients=None)
    del loss  # until here, it held the graph
    return found


def until_shortage(
    model: nn.Module, step: Callable[[], Any], optimizer: optim.Optimizer
) -> tuple[list[LayerMemory], str]:
    """What is held when `step` runs out of memory, and where that is."""
    ledger = _Ledger(model)
    with contextlib.suppress(MemoryError), watching(ledger):
        step()
    held = {id(p): p.grad.array.nbytes for p in model.parameters() if p.grad is not None}
    return ledger.layers(optimizer, held), ledger.failed


def describe(layers: Iterable[LayerMemory], most: int = MOST) -> str:
    """The layers that hold the most, in a line."""
    largest = sorted(layers, key=lambda layer: -layer.total)
    shown = [
        f"{layer.name or 'the model itself'} {size(layer.total)} "
        f"({size(layer.parameters + layer.gradients + layer.state)} parameters, gradients and "
        f"optimizer, {size(layer.kept)} kept for the backward pass)"
        for layer in largest[:most]
    ]
    if rest := largest[most:]:
        shown.append(f"{len(rest)} others {size(sum(layer.total for layer in rest))}")
    return ", ".join(shown)


def size(nbytes: float) -> str:
    """Bytes in words.

    >>> size(512), size(2_340_000)
    ('512 bytes', '2.34 MB')
    """
    for unit in ("bytes", "kB", "MB"):
        if nbytes < 1000:
            return f"{nbytes:.3g} {unit}"
        nbytes /= 1000
    return f"{nbytes:.3g} GB"


class _Ledger(Watcher):
    """Notes every operation that is recorded, and the layer it belongs to.

    Attributes:
        failed: where memory did not reach.
    """

    def __init__(self, model: nn.Module):
        self.model = model
        self.names = {id(module): name for name, module in model.named_modules()}
        self.at_work, self.failed = [""], "outside of the model"
        self.recorded: list[tuple[Op, str]] = []
        self.layer_of: dict[int, str] = {}

    @contextlib.contextmanager
    def span(self, kind: str, subject: Any) -> Iterator[None]:
        self.at_work.append(self.names.get(id(subject), self.at_work[-1]))
        try:
            yield
        finally:
            self.at_work.pop()

    def forward(self, op: Op, be: Any, inputs: list[Any]) -> Any:
        name = self.at_work[-1]
        with self._failing(f"in the forward pass of {name or 'the model'}"):
            result = super().forward(op, be, inputs)
        if op.needs:
            self.recorded.append((op, name))
            self.layer_of[id(op)] = name
        return result

    def backward(self, op: Op, gys: list[Any]) -> Any:
        name = self.layer_of.get(id(op), "") or "the loss"
        with self._failing(f"in the backward pass of {name}"):
            return super().backward(op, gys)

    @contextlib.contextmanager
    def _failing(self, where: str) -> Iterator[None]:
        try:
            yield
        except MemoryError:
            self.failed = where
            raise

    def layers(
        self, optimizer: optim.Optimizer | None, gradients: dict[int, int] | None
    ) -> list[LayerMemory]:
        """A line for each layer that holds something, in the order of the model.

        Args:
            gradients: bytes by id of the parameter; None for those of all.
        """
        kept = self._kept()
        state = _state(optimizer) if optimizer else {}
        seen: set[int] = set()
        found = []
        for name, module in self.model.named_modules():
            own = [p for p in vars(module).values() if isinstance(p, nn.Parameter)]
            own = [p for p in own if id(p) not in seen]  # a shared one is the first layer's
            seen.update(map(id, own))
            sizes = [p.array.nbytes if gradients is None else gradients.get(id(p), 0) for p in own]
            layer = LayerMemory(
                name,
                sum(p.array.nbytes for p in own),
                sum(sizes),
                sum(state.get(id(p), 0) for p in own),
                kept.get(name, 0),
            )
            if layer.total:
                found.append(layer)
        return found

    def _kept(self) -> dict[str, int]:
        """Bytes by layer of the arrays that operations hold, parameters not among them."""
        seen = {id(owner(p.array)) for p in self.model.parameters()}
        kept: dict[str, int] = {}
        for op, name in self.recorded:
            for array in arrays_of(op.saved):
                array = owner(array)
                if id(array) not in seen:
                    seen.add(id(array))
                    kept[name] = kept.get(name, 0) + array.nbytes
        return kept


def _state(optimizer: optim.Optimizer) -> dict[int, int]:
    """Bytes of what the optimizer remembers, or will remember, by id of the parameter."""
    return {
        id(p): optimizer.state_nbytes(group, p)
        for group in optimizer.param_groups
        for p in group["params"]
    }
