"""How training goes inside: norms of gradients, weights and updates, and what layers put out.

Each function looks once; `Recorder` does so every few steps and writes a line for each.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from gpunet import nn
from gpunet.autograd import Tensor, no_grad
from gpunet.train import checkpoint
from gpunet.train.callbacks import Callback
from gpunet.train.config import DiagnosticsConfig
from gpunet.train.trainer import Trainer

Figures = dict[str, float]
LINES = "diagnostics.jsonl"

# Below its lower or above its upper bound, what a figure usually means and what helps.
_USUAL: Mapping[str, tuple[float, str, float, str]] = {
    "update_ratios": (
        1e-5, "hardly learns: a larger learning rate, or a shorter way for its gradient",
        1e-1, "changes by more than a tenth a step: a smaller learning rate",
    ),
    "gradient_norms": (
        1e-7, "its gradient vanishes: other first weights, normalisation, or residual paths",
        1e3, "its gradient explodes: regularization.clip_norm, or a smaller learning rate",
    ),
    "dead_units": (
        -1.0, "",
        0.5, "more than half of its units are 0 for every example: a smaller learning rate, "
        "LeakyReLU, or other first weights",
    ),
}  # fmt: skip


def gradient_norms(model: nn.Module) -> Figures:
    """|g| of each parameter that has a gradient, by its name."""
    return {n: _norm(p.grad.array, p) for n, p in model.named_parameters() if p.grad is not None}


def weight_norms(model: nn.Module) -> Figures:
    """|w| of each parameter, by its name."""
    return {name: _norm(p.array, p) for name, p in model.named_parameters()}


def update_ratios(model: nn.Module, before: Mapping[str, Any]) -> Figures:
    """|w − w before| / |w before| of each parameter; about 1e-3 is usual.

    Args:
        before: copies of the parameters' arrays, by name; a parameter of zeros is left out.
    """
    norms = {name: _norm(before[name], p) for name, p in model.named_parameters()}
    return {
        name: _norm(p.array - before[name], p) / norms[name]
        for name, p in model.named_parameters()
        if norms[name]
    }


def activation_statistics(model: nn.Module, x: Tensor) -> dict[str, Figures]:
    """Of each innermost layer's output: mean, standard deviation, and the share of zeros.

    The model runs on `x` in evaluation mode, which is put back after.
    """
    found: dict[str, Figures] = {}

    def look(name: str, layer: nn.Module, y: Tensor) -> None:
        a = y.array.astype("float64")
        zeros = float((a == 0).mean())
        found[name] = {"mean": float(a.mean()), "std": float(a.std()), "zeros": zeros}

    _run(model, x, look)
    return found


def dead_units(model: nn.Module, x: Tensor) -> Figures:
    """The share of units of each ReLU layer that are 0 for every example (and place) of `x`.

    Shapes: a unit is a column of (N, D), or a channel of (N, C, ...).
    """
    found: Figures = {}

    def look(name: str, layer: nn.Module, y: Tensor) -> None:
        if isinstance(layer, nn.ReLU | nn.ReLU6):
            others = tuple(i for i in range(y.ndim) if i != 1)
            found[name] = float((y.array == 0).all(axis=others).mean())

    _run(model, x, look)
    return found


def advice(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """A plain sentence for each figure that was, in the median of the records, not as usual."""
    found = []
    for name, (lowest, below, highest, above) in _USUAL.items():
        for place in records[0].get(name, {}) if records else ():
            value = median(record[name][place] for record in records)
            if value < lowest or value > highest:
                what = name.replace("_", " ").removesuffix("s")
                text = below if value < lowest else above
                found.append(f"{place}: {what} {value:.2g}: {text}")
    return found


def read_records(folder: Path) -> list[dict[str, Any]]:
    """What a `Recorder` has written into the folder of a run; nothing where there was none."""
    file = folder / LINES
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


class Recorder(Callback):
    """Writes what the configuration asks for into `diagnostics.jsonl`, a line each `every` steps.

    Args:
        config: what to look at. folder: where to write.

    Attributes:
        records: the lines: "step", and figures by parameter or layer under the names of the
            functions.
    """

    def __init__(self, config: DiagnosticsConfig, folder: Path):
        self.config, self.path = config, folder / LINES
        self.records: list[dict[str, Any]] = []
        self._before: dict[str, Any] = {}

    def on_start(self, trainer: Trainer) -> None:
        """A run that is taken up again goes on after its last step."""
        found = read_records(self.path.parent)
        self.records = [record for record in found if record["step"] <= trainer.progress.step]

    def on_gradients(self, trainer: Trainer) -> None:
        """Looks at what the step will change."""
        step = trainer.progress.step + 1
        if step % self.config.every and step != 1:
            return
        model: nn.Module = trainer.model
        record: dict[str, Any] = {"step": step}
        if self.config.memory and not any("memory" in known for known in self.records):
            layers = trainer.gradients.memory(trainer.batches[0])
            record["memory"] = {layer.name: asdict(layer) for layer in layers}
        if self.config.gradient_norms:
            record["gradient_norms"] = gradient_norms(model)
        if self.config.update_ratios:
            copy = trainer.be.copy
            self._before = {name: copy(p.array) for name, p in model.named_parameters()}
        self.records.append(record)

    def on_batch(self, trainer: Trainer) -> None:
        """Looks at what the step has changed."""
        if not self.records or self.records[-1]["step"] != trainer.progress.step:
            return
        model, record, config = trainer.model, self.records[-1], self.config
        if config.weight_norms:
            record["weight_norms"] = weight_norms(model)
        if config.update_ratios:
            record["update_ratios"] = update_ratios(model, self._before)
            self._before = {}
        x = Tensor(trainer.be.asarray(trainer.batches[0][0]), trainer.be)
        if config.activations:
            record["activations"] = activation_statistics(model, x)
        if config.dead_units:
            record["dead_units"] = dead_units(model, x)
        self._write()

    def _write(self) -> None:
        text = "".join(json.dumps(record) + "\n" for record in self.records)
        checkpoint.write_atomically(self.path, text.encode())


def _norm(array: Any, p: Tensor) -> float:
    """In float64, so that no square overflows."""
    flat = array.reshape(-1).astype("float64")
    return float(p.backend.xp.sqrt(flat @ flat))


def _run(model: nn.Module, x: Tensor, look: Callable[[str, nn.Module, Tensor], None]) -> None:
    """Calls `look` with name, layer and output of each innermost layer."""
    names = {id(module): name for name, module in model.named_modules()}

    def hook(layer: nn.Module, _: Any, y: Any) -> None:
        if isinstance(y, Tensor):
            look(names[id(layer)], layer, y)

    innermost = [m for m in model.modules() if not any(m.named_children())]
    handles = [layer.register_forward_hook(hook) for layer in innermost]
    training = model.training
    try:
        with no_grad():
            model.eval()(x)
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
