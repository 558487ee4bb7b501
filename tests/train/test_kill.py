"""Runs that are killed at any moment go on, and end with the bits of one that was not."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gpunet.train import checkpoint

CONFIG = """\
name = "killed"
device = "cpu"

[data]
set = "digits"
augment = { shift = 0.5 }

[model]
layers = [
    { kind = "Flatten" },
    { kind = "Linear", in_features = 64, out_features = 32 },
    { kind = "ReLU" },
    { kind = "Dropout", p = 0.2 },
    { kind = "Linear", in_features = 32, out_features = 10 },
]

[optimizer]
kind = "AdamW"

[schedule]
kind = "OneCycleLR"

[train]
epochs = {epochs}
batch_size = 512

[checkpoints]
every = 1
keep = 2
"""


# Without pictures, which take longer than the training.
TRAIN = """\
import sys
sys.modules["matplotlib"] = None
from gpunet.cli import main
sys.exit(main(["train", *sys.argv[1:]]))
"""


def train(*arguments: object) -> subprocess.Popen:
    command = [sys.executable, "-c", TRAIN, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(*arguments: object) -> None:
    process = train(*arguments)
    _, errors = process.communicate()
    assert process.returncode == 0, errors


def state(folder: Path) -> dict:
    """Everything in the last and in the best checkpoint but for the time it took."""
    found = {}
    for name in ("checkpoint", "best"):
        saved = checkpoint.load(folder / f"{name}.safetensors")
        for record in saved.state["progress"]["history"]:
            del record["seconds"], record["samples_per_second"]
        saved.state["progress"].pop("seconds")
        arrays = {key: array.tobytes() for key, array in saved.tensors.items()}
        found[name] = {**saved.state, **arrays}
    return found


def go_on(config: Path, folder: Path) -> tuple[object, ...]:
    """The arguments that begin the run, or take it up again."""
    begun = (folder / "config.toml").exists()
    return ("--resume", folder) if begun else (config, "--out", folder)


def written(folder: Path) -> int:
    """When the last checkpoint was."""
    file = folder / "checkpoint.safetensors"
    return file.stat().st_mtime_ns if file.exists() else 0


def kill(process: subprocess.Popen, folder: Path, moments: random.Random) -> None:
    """Some while it starts, most while it trains: each step writes a checkpoint."""
    if moments.random() < 0.2:
        time.sleep(moments.uniform(0.0, 0.8))
    else:
        before = written(folder)
        while written(folder) == before and process.poll() is None:
            time.sleep(0.001)
        time.sleep(moments.uniform(0.0, 0.02))
    process.kill()
    process.communicate()


@pytest.mark.parametrize(
    "kills", [10, pytest.param(100, marks=[pytest.mark.slow, pytest.mark.exhaustive])]
)
def test_killed_at_random_moments(tmp_path, kills) -> None:
    config, folder, through = tmp_path / "c.toml", tmp_path / "killed", tmp_path / "through"
    config.write_text(CONFIG.replace("{epochs}", str(2 * kills)))
    moments, steps = random.Random(kills), set()
    for _ in range(kills):
        process = train(*go_on(config, folder))
        kill(process, folder, moments)
        assert process.returncode == -9, "it ended before it was killed"
        if written(folder):
            steps.add(checkpoint.load(folder / "checkpoint.safetensors").state["progress"]["step"])
    assert len(steps) > kills / 3, "it hardly came to train"
    finish(*go_on(config, folder))
    finish(config, "--out", through)
    assert state(folder) == state(through)
