"""The folder of a run: found fit before training starts, and holding what is needed to go on."""

import json
import os
import shutil
from collections import namedtuple
from dataclasses import replace

import pytest

from gpunet.errors import CheckpointError, ConfigError, RunError
from gpunet.train import Callback, Run, Trainer, checkpoint
from gpunet.train.config import TrainConfig

Usage = namedtuple("Usage", ["total", "used", "free"])


def test_a_fresh_folder_holds_the_configuration(tmp_path, config) -> None:
    run = Run.create(tmp_path / "new" / "run", config, 1000)
    assert [path.name for path in run.folder.iterdir()] == ["config.toml"]
    again, written = Run.open(run.folder)
    assert again.folder == run.folder
    assert written == config


def test_an_empty_folder_will_do(tmp_path, config) -> None:
    assert Run.create(tmp_path, config, 1000).folder == tmp_path


def test_files_of_each_epoch(build, run) -> None:
    trainer = build([run], train=TrainConfig(2, 64))
    trainer.fit()
    assert sorted(path.name for path in run.folder.iterdir()) == [
        *("checkpoint.safetensors", "config.toml", "metrics.jsonl")
    ]
    lines = (run.folder / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == trainer.progress.history
    assert checkpoint.load(run.checkpoint).state["loader"] == {"epoch": 2, "position": 0}


def test_metrics_end_where_the_checkpoint_does(build, run) -> None:
    """A crash between the two files, or a line half written, is mended by the next epoch."""
    build([run], schedule=None, train=TrainConfig(1, 64)).fit()
    with open(run.folder / "metrics.jsonl", "a") as file:
        file.write('{"epoch": 2, "train_lo')
    trainer = build([run], schedule=None, train=TrainConfig(2, 64))
    run.restore(trainer)
    trainer.fit()
    lines = (run.folder / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2]


# --- refused before anything is computed


def test_a_folder_with_something_in_it(tmp_path, config) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(
        RunError, match=f"train: --out must be a new or empty folder, got {tmp_path}"
    ):
        Run.create(tmp_path, config, 1000)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("below", ["", "run", "some/run"])
def test_an_unwritable_folder(tmp_path, config, below) -> None:
    """Below a regular file no folder can be made, not even by root."""
    file = tmp_path / "file"
    file.write_text("mine")
    folder = file / below if below else file
    with pytest.raises(RunError, match=f"train: {folder} must be writable, got: "):
        Run.create(folder, config, 1000)
    assert file.read_text() == "mine"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_of_somebody_else(tmp_path, config) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(RunError, match="must be writable, got: Permission denied"):
        Run.create(tmp_path / "run", config, 1000)


def test_a_full_disk(tmp_path, config, monkeypatch) -> None:
    """Two checkpoints of weights and two moments each, and 4 MiB for the rest, must fit."""
    needed = 2 * 3 * 10**8 + 2**22
    folder = tmp_path / "run"
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**12, 0, needed - 1))
    with pytest.raises(RunError, match="must have 604 MB free for checkpoints, got 604 MB"):
        Run.create(folder, config, 10**8)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**12, 0, needed))
    assert Run.create(folder, config, 10**8).folder == folder  # the same folder will do now


def test_a_disk_that_fills_up_keeps_the_last_checkpoint(build, run, monkeypatch) -> None:
    build([run], train=TrainConfig(1, 64)).fit()
    before = run.checkpoint.read_bytes()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(RunError, match="No space left on device; what was there is untouched"):
        build([run], train=TrainConfig(2, 64)).fit()
    assert run.checkpoint.read_bytes() == before


# --- not a run


def test_no_run(tmp_path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(
            CheckpointError, match=f"the folder of a run, got {folder} without config"
        ):
            Run.open(folder)


def test_a_run_with_a_damaged_configuration(run) -> None:
    (run.folder / "config.toml").write_text("name = ")
    with pytest.raises(ConfigError, match=r"config.toml: line 1 is not valid TOML"):
        Run.open(run.folder)


def test_a_run_that_never_got_to_a_checkpoint(build, run) -> None:
    with pytest.raises(CheckpointError, match=r"must be a file, got .*checkpoint.safetensors"):
        run.restore(build())


def test_a_checkpoint_of_other_data(build, run, config) -> None:
    """The loader knows that its place cannot be one in an epoch of fewer batches."""

    class Stop(Callback):
        def on_batch(self, trainer: Trainer) -> None:
            trainer.stop = trainer.progress.step == 5

    build([run, Stop()]).fit()
    trainer = build(train=replace(config.train, batch_size=100))
    with pytest.raises(CheckpointError, match=r"position in 0..2, got {'epoch': 0, 'position': 5}"):
        run.restore(trainer)
