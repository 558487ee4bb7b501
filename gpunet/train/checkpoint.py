"""Checkpoints: one safetensors file with weights, optimizer state and all the rest.

The rest stands as JSON in the file's header, with a checksum over all of it.
Written whole or not at all: to a temporary file first, flushed to the disk, then renamed over the
old one, and the name flushed, too.
"""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpunet import __version__, nn, optim
from gpunet.autograd import Tensor
from gpunet.backend import Backend, dtypes
from gpunet.errors import CheckpointError, GpunetError, RunError

_OPTIMIZER, _CARRIED = "optimizer.", "carried."


@dataclass
class Checkpoint:
    """What a file holds.

    Attributes:
        tensors: host arrays by name, those of the model under "model.", of the average of its
            weights under "average.", of the optimizer under "optimizer.", the state that a model
            goes on from under "carried.".
        state: JSON-compatible values: groups of the optimizer, progress, random state.
    """

    tensors: dict[str, Any]
    state: dict[str, Any]


def save(
    path: Path,
    model: nn.Module,
    optimizer: optim.Optimizer,
    progress: dict[str, Any],
    average: nn.Module | None = None,
    carried: tuple[Tensor, ...] | None = None,
) -> None:
    """Writes a checkpoint; `progress` is any JSON-compatible dictionary.

    Args:
        carried: the state that the model goes on from.

    Raises:
        RunError: the disk is full or not writable; an older checkpoint at `path` is then untouched.
    """
    from safetensors.numpy import save as pack

    optimizer_state = optimizer.state_dict()
    tensors = {f"model.{name}": array for name, array in model.state_dict().items()}
    if average is not None:
        tensors.update({f"average.{name}": a for name, a in average.state_dict().items()})
    for i, state in enumerate(carried or ()):
        tensors[f"{_CARRIED}{i}"] = state.backend.to_host(state.array)
    for index, arrays in optimizer_state["state"].items():
        tensors.update({f"{_OPTIMIZER}{index}.{name}": array for name, array in arrays.items()})
    rest = {"version": __version__, "groups": optimizer_state["param_groups"], **progress}
    text = json.dumps(rest)
    write_atomically(path, pack(tensors, {"gpunet": text, "crc32": _checksum(text, tensors)}))


def _checksum(text: str, tensors: dict[str, Any]) -> str:
    """Over the state and, in order of their names, the tensors."""
    value = zlib.crc32(text.encode())
    for name in sorted(tensors):
        array = tensors[name]
        value = zlib.crc32(f"{name} {array.dtype} {array.shape}".encode(), value)
        value = zlib.crc32(array.tobytes(), value)
    return f"{value:08x}"


def write_atomically(path: Path, content: bytes) -> None:
    """Replaces the file at `path` in one step, or leaves it as it was.

    Raises:
        RunError: it cannot be written.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        flush_names(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):  # a disk that has become read-only refuses this, too
            temporary.unlink()
        raise RunError(
            "checkpoint",
            f"{path} must be writable, got: {error.strerror or error}",
            "what was there is untouched",
        ) from error


def flush_names(folder: Path) -> None:
    """Makes sure that the names in a folder outlive a loss of power, where the system can."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def load(path: Path) -> Checkpoint:
    """Reads a checkpoint.

    Raises:
        CheckpointError: there is none, or it is truncated or damaged, or not one of gpunet's.
        MissingPackageError: a tensor in it is of bfloat16, and ml_dtypes is not installed.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise CheckpointError("checkpoint", f"must be a file, got {path}, which is not")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if any([file.get_slice(name).get_dtype() == "BF16" for name in file.keys()]):
                dtypes.bfloat16()  # from then on, NumPy knows it
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError, ValueError) as error:
        size = path.stat().st_size
        raise CheckpointError(
            "checkpoint",
            f"{path} must be a whole safetensors file, got {size:,} bytes that are not: {error}",
        ) from error
    if "gpunet" not in metadata:
        raise CheckpointError(
            "checkpoint", f"{path} must be written by gpunet, got a file of something else"
        )
    text = metadata["gpunet"]
    if metadata.get("crc32") != (found := _checksum(text, tensors)):
        raise CheckpointError(
            "checkpoint",
            f"{path} must have the checksum {metadata.get('crc32')} it was written with, "
            f"got {found}",
            "the file is damaged",
        )
    return Checkpoint(tensors, json.loads(text))


def restore_model(
    path: Path, checkpoint: Checkpoint, model: nn.Module, part: str = "model"
) -> None:
    """Puts the weights of a checkpoint, or another `part` of it, into a model.

    Raises:
        CheckpointError: they belong to another model; the model is then unchanged.
    """
    weights = {
        n.removeprefix(f"{part}."): a
        for n, a in checkpoint.tensors.items()
        if n.startswith(f"{part}.")
    }
    try:
        model.load_state_dict(weights)
    except GpunetError as error:
        raise CheckpointError(
            "checkpoint", f"{path} must be of this model, got another: {error}"
        ) from error


def carried(checkpoint: Checkpoint, be: Backend) -> tuple[Tensor, ...] | None:
    """The state that the model of a checkpoint goes on from, on a device; None if there is none."""
    names = sorted(name for name in checkpoint.tensors if name.startswith(_CARRIED))
    return tuple(Tensor(be.asarray(checkpoint.tensors[name]), be) for name in names) or None


def restore_optimizer(path: Path, checkpoint: Checkpoint, optimizer: optim.Optimizer) -> None:
    """Puts the optimizer's state of a checkpoint back.

    Raises:
        CheckpointError: it belongs to another optimizer or other parameters.
    """
    state: dict[int, dict[str, Any]] = {}
    for name, array in checkpoint.tensors.items():
        if name.startswith(_OPTIMIZER):
            index, key = name.removeprefix(_OPTIMIZER).split(".", 1)
            state.setdefault(int(index), {})[key] = array
    try:
        optimizer.load_state_dict({"state": state, "param_groups": checkpoint.state["groups"]})
    except (GpunetError, KeyError) as error:
        raise CheckpointError(
            "checkpoint", f"{path} must be of this optimizer, got another: {error}"
        ) from error
