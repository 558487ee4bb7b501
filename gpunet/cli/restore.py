"""A trained network taken from the folder of its run."""

from __future__ import annotations

from pathlib import Path

from gpunet import backend, nn
from gpunet.backend import Backend
from gpunet.train import checkpoint
from gpunet.train.build import build_model
from gpunet.train.run import Run


def restore(folder: str, device: str | None) -> tuple[nn.Module, Run, Backend]:
    """The model of a run in evaluation mode, the run, and the backend it is on.

    Args:
        folder: of the run, or one of its checkpoints.
        device: where to, if not where the configuration says.

    Raises:
        CheckpointError: the folder holds no run, or a damaged one.
    """
    run = Run.open(Path(folder))
    be, _ = backend.resolve(device or run.config.device)
    path, saved, part = run.trained()
    model = build_model(run.config)
    checkpoint.restore_model(path, saved, model, part)
    return model.to(be.device).eval(), run, be
