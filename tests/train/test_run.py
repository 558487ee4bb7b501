"""The folder of a run: found fit before training starts, and holding what is needed to go on."""

import json
import os
import re
import shutil
from collections import namedtuple
from dataclasses import replace

import numpy as np
import pytest

from gpunet.data import Dataset
from gpunet.errors import CheckpointError, ConfigError, RunError
from gpunet.train import Callback, Run, Trainer, checkpoint
from gpunet.train.config import (
    CheckpointsConfig,
    LayerConfig,
    ModelConfig,
    OptimizerConfig,
    TrainConfig,
)

LAYERS = (
    LayerConfig("Flatten"),
    LayerConfig("Linear", {"in_features": 64, "out_features": 16}),
    LayerConfig("ReLU"),
    LayerConfig("Dropout", {"p": 0.2}),
    LayerConfig("Linear", {"in_features": 16, "out_features": 10}),
)

Usage = namedtuple("Usage", ["total", "used", "free"])


def test_a_fresh_folder_holds_the_configuration(tmp_path, config) -> None:
    run = Run.create(tmp_path / "new" / "run", config, 1000)
    assert [path.name for path in run.folder.iterdir()] == ["config.toml"]
    again = Run.open(run.folder)
    assert (again.folder, again.config) == (run.folder, config)


def test_an_empty_folder_will_do(tmp_path, config) -> None:
    assert Run.create(tmp_path, config, 1000).folder == tmp_path


def test_files_of_each_epoch(build, run) -> None:
    trainer = build([run], train=TrainConfig(2, 64))
    trainer.fit()
    assert sorted(path.name for path in run.folder.iterdir()) == [
        *("best.safetensors", "checkpoint.safetensors", "config.toml", "metrics.jsonl")
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
    """The last, the best and a new checkpoint of three times the weights, and 4 MiB more."""
    needed = 3 * 3 * 10**8 + 2**22
    folder = tmp_path / "run"
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**12, 0, needed - 1))
    with pytest.raises(RunError, match="must have 904 MB free for checkpoints, got 904 MB"):
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


class Stop(Callback):
    def on_batch(self, trainer: Trainer) -> None:
        trainer.stop = trainer.progress.step == 5


CHANGED = {
    "train.batch_size is 100, was 32": {"train": TrainConfig(4, 100)},
    "optimizer.weight_decay is 0.5, was null": {
        "optimizer": OptimizerConfig("AdamW", {"lr": 3e-3, "weight_decay": 0.5})
    },
    'model.layers.2.kind is "Tanh", was "ReLU"': {
        "model": ModelConfig((*LAYERS[:2], LayerConfig("Tanh"), *LAYERS[3:]))
    },
    "train.epochs is 9, was 4": {"train": TrainConfig(9, 32)},
}


@pytest.mark.parametrize("problem", CHANGED)
def test_a_checkpoint_of_another_configuration(build, run, config, problem) -> None:
    build([run, Stop()]).fit()
    changes = CHANGED[problem]
    again = Run(run.folder, replace(config, **changes))
    with pytest.raises(CheckpointError) as caught:
        again.restore(build(**changes))
    assert str(caught.value) == (
        f"resume: {run.checkpoint} must be of the same data and configuration, "
        f"got others: {problem}"
    )


def test_what_decides_nothing_may_change(build, run, config) -> None:
    """The device, what is kept, and, without a schedule as long as the run, the epochs."""
    config = replace(config, schedule=None)
    before = Run(run.folder, config)
    build([before, Stop()], schedule=None).fit()
    changes = {"device": "auto", "train": TrainConfig(9, 32)}
    again = Run(run.folder, replace(config, checkpoints=CheckpointsConfig(keep=3), **changes))
    again.restore(build(schedule=None, **changes))


def test_a_checkpoint_of_other_data(build, run, digits) -> None:
    """One pixel is enough."""
    build([run, Stop()]).fit()
    trainer = build()
    train = trainer.loader.dataset
    inputs = train.inputs.copy()
    inputs[3, 0, 4, 4] += 1e-3
    trainer.loader.dataset = Dataset(train.name, inputs, train.targets, train.classes)
    with pytest.raises(CheckpointError) as caught:
        Run.open(run.folder).restore(trainer)
    assert re.fullmatch(
        rf"resume: {run.checkpoint} must be of the same data and configuration, got others: "
        r"the train data is digits \(150 examples, CRC-32 \w{8}\), "
        r"was digits \(150 examples, CRC-32 \w{8}\)",
        str(caught.value),
    )


# --- which checkpoints are kept


def test_the_best_and_the_last_are_kept(build, run, config) -> None:
    """The first of the best: later ones that are as good do not take its place."""
    figures = iter([0.5, 0.7, 0.7, 0.6])
    weights = {}

    class Pretend(Callback):
        def on_epoch(self, trainer: Trainer, record: dict) -> None:
            record["test_accuracy"] = next(figures)
            weights[record["epoch"]] = trainer.model[1].weight.array.copy()

    run.config = replace(config, checkpoints=CheckpointsConfig(keep=3))
    build([Pretend(), run]).fit()
    names = sorted(path.name for path in run.folder.glob("*.safetensors"))
    epochs = [f"epoch-000{n}.safetensors" for n in (2, 3, 4)]
    assert names == ["best.safetensors", "checkpoint.safetensors", *epochs]
    for name, epoch in (("best", 2), ("checkpoint", 4), *((n[:-12], int(n[9])) for n in epochs)):
        saved = checkpoint.load(run.folder / f"{name}.safetensors")
        np.testing.assert_array_equal(saved.tensors["model.1.weight"], weights[epoch])
        assert len(saved.state["progress"]["history"]) == epoch


def test_a_file_system_without_links(build, run, monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    build([run], schedule=None, train=TrainConfig(1, 64)).fit()
    assert (run.folder / "best.safetensors").read_bytes() == run.checkpoint.read_bytes()


def test_a_checkpoint_every_few_steps(build, run, config) -> None:
    """After the third step of five; the run is then cut off, and goes on from there."""
    steps = []

    class CutOff(Callback):
        def on_batch(self, trainer: Trainer) -> None:
            steps.append(trainer.progress.step)
            if len(steps) == 5:
                raise KeyboardInterrupt

    run.config = replace(config, checkpoints=CheckpointsConfig(every=3))
    with pytest.raises(KeyboardInterrupt):
        build([run, CutOff()]).fit()
    trainer = build([run])
    run.restore(trainer)
    assert (trainer.progress.step, trainer.loader.position) == (3, 3)


def test_what_a_kill_left_undone_is_done_by_the_resume(build, run) -> None:
    """The checkpoint was written, and neither the best one nor the metrics."""
    build([run], train=TrainConfig(1, 32), schedule=None).fit()
    before = (run.folder / "metrics.jsonl").read_bytes()
    (run.folder / "metrics.jsonl").unlink()
    (run.folder / "best.safetensors").unlink()
    run.restore(build(train=TrainConfig(1, 32), schedule=None))
    assert (run.folder / "metrics.jsonl").read_bytes() == before
    assert (run.folder / "best.safetensors").read_bytes() == run.checkpoint.read_bytes()


# --- back to an older checkpoint


def files(folder) -> list[str]:
    return sorted(path.name for path in folder.glob("*.safetensors"))


def weights(trainer) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in trainer.model.state_dict().items()}


def kept_run(tmp_path, config, name: str, **train) -> Run:
    used = replace(
        config, checkpoints=CheckpointsConfig(keep=4), train=replace(config.train, **train)
    )
    return Run.create(tmp_path / name, used, 0)


@pytest.mark.parametrize("epoch", [1, 3])
def test_a_run_goes_on_from_an_older_checkpoint_with_the_same_bits(
    build, config, tmp_path, epoch
) -> None:
    run = kept_run(tmp_path, config, "run")
    through = build([run])
    through.fit()
    before, names = (run.folder / "metrics.jsonl").read_text().splitlines(), files(run.folder)
    assert "epoch-0004.safetensors" in names

    run = Run.open(run.folder / f"epoch-000{epoch}.safetensors")
    trainer = build([run])
    run.restore(trainer)
    assert len(trainer.progress.history) == epoch
    lines = (run.folder / "metrics.jsonl").read_text().splitlines()
    assert lines == before[:epoch]
    assert f"epoch-000{epoch + 1}.safetensors" not in files(run.folder)
    best = checkpoint.load(run.folder / "best.safetensors").state["progress"]["history"]
    assert len(best) == trainer.best_epoch()
    latest = checkpoint.load(run.folder / "checkpoint.safetensors")
    assert len(latest.state["progress"]["history"]) == epoch
    trainer.fit()
    assert weights(trainer) == weights(through)
    assert files(run.folder) == names


def test_without_the_best_epoch_patience_cannot_go_back(build, config, tmp_path) -> None:
    """At a rate of 0 all epochs are alike, so the first is the best."""
    still = {"optimizer": OptimizerConfig("SGD", {"lr": 0.0}), "schedule": None}
    train = replace(config.train, patience=10)
    run = kept_run(tmp_path, replace(config, **still), "run", patience=10)
    build([run], train=train, **still).fit()
    for name in ("best", "epoch-0001"):
        (run.folder / f"{name}.safetensors").unlink()
    run = Run.open(run.folder / "epoch-0003.safetensors")
    with pytest.raises(CheckpointError, match="the best epoch so far, 1, must have been kept"):
        run.restore(build(train=train, **still))
    assert (run.folder / "epoch-0004.safetensors").exists()
