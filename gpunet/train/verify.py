"""Proves for a configuration that a run which is stopped and resumed ends with the same bits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import gpunet
from gpunet.backend import Backend
from gpunet.train import checkpoint
from gpunet.train.build import build_data, build_model, build_trainer
from gpunet.train.callbacks import Callback
from gpunet.train.checkpoint import Checkpoint
from gpunet.train.config import CheckpointsConfig, Config
from gpunet.train.run import Run
from gpunet.train.trainer import Trainer

_TIMES = ("seconds", "samples_per_second")


class _StopAt(Callback):
    """Stops training after a step."""

    def __init__(self, step: int):
        self.step = step

    def on_batch(self, trainer: Trainer) -> None:
        trainer.stop = trainer.progress.step >= self.step


def verify_resume(config: Config, be: Backend, steps: int, stops: list[int]) -> list[str]:
    """Trains `steps` steps twice: without a stop, and stopped after each step of `stops`.

    After a stop, everything is built anew and read from the checkpoint.

    Args:
        steps: at least 1; fewer where the whole run has fewer.

    Returns:
        What differs in the end, a sentence each; none where resuming is exact.
    """
    config = replace(config, checkpoints=CheckpointsConfig())
    with TemporaryDirectory(prefix="gpunet-verify-") as folder:
        first = _train(config, be, Path(folder) / "through", [steps])
        second = _train(config, be, Path(folder) / "stopped", [*stops, steps])
    return _differences(first, second)


def _train(config: Config, be: Backend, folder: Path, stops: list[int]) -> Checkpoint:
    """The last checkpoint of a run that is stopped after these steps, and resumed but once."""
    train, name, held_out = build_data(config.data, config.seed)
    run: Run | None = None
    for stop in stops:
        gpunet.manual_seed(config.seed)
        model = build_model(config).to(be.device)
        trainer = build_trainer(config, model, train, (name, held_out))
        gpunet.manual_seed(config.seed + (run is not None))  # what it was must not matter
        if run is None:
            size = sum(p.array.nbytes for p in model.parameters())
            run = Run.create(folder, config, size)
        else:
            run = Run.open(folder)
            run.restore(trainer)
        trainer.callbacks = [run, _StopAt(stop)]
        trainer.fit()
    assert run is not None
    return checkpoint.load(run.checkpoint)


def _differences(first: Checkpoint, second: Checkpoint) -> list[str]:
    found = []
    for name in sorted(first.tensors.keys() | second.tensors.keys()):
        a, b = first.tensors.get(name), second.tensors.get(name)
        if a is None or b is None:
            found.append(f"{name} is there only {'without a stop' if b is None else 'after stops'}")
        elif a.tobytes() != b.tobytes():
            largest = float(np.abs(a.astype("float64") - b.astype("float64")).max())
            found.append(f"{name} differs by up to {largest:.3g}")
    one, other = _without_times(first.state), _without_times(second.state)
    found += [
        f"the state of {key} differs"
        for key in sorted(one.keys() | other.keys())
        if one.get(key) != other.get(key)
    ]
    return found


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_times(v) for k, v in value.items() if k not in _TIMES}
    return [_without_times(item) for item in value] if isinstance(value, list) else value
