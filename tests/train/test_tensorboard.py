"""Event files, read back from their bytes: scalars, histograms, and what a resume leaves out."""

import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from gpunet.errors import MissingPackageError
from gpunet.train import Callback, Run, Trainer
from gpunet.train.config import TrainConfig, WatchConfig
from gpunet.train.tensorboard import TensorBoard

event_pb2 = pytest.importorskip(
    "tensorboardX.proto.event_pb2", reason="tensorboardX is not installed: event files NOT tested"
)


def events(folder: Path) -> list:
    """The records of all event files in order: each is a length, its checksum, data, a checksum."""
    found = []
    for file in sorted((folder / "tensorboard").iterdir()):
        content, at = file.read_bytes(), 0
        while at < len(content):
            (length,) = struct.unpack_from("<Q", content, at)
            found.append(event_pb2.Event.FromString(content[at + 12 : at + 12 + length]))
            at += 12 + length + 4
    return found


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    values: dict[str, list[tuple[int, float]]] = {}
    for event in events(folder):
        for value in event.summary.value:
            if value.WhichOneof("value") == "simple_value":
                values.setdefault(value.tag, []).append((event.step, value.simple_value))
    return values


def test_what_is_written(build, tmp_path) -> None:
    losses = []

    class Diary(Callback):
        def on_batch(self, trainer: Trainer) -> None:
            losses.append((trainer.figures["loss"], trainer.progress.lr))

    board = TensorBoard(WatchConfig(True, every=2), tmp_path)
    trainer = build([Diary(), board], train=TrainConfig(2, 32))
    trainer.fit()
    found = scalars(tmp_path)
    assert [step for step, _ in found["step/loss"]] == [2, 4, 6, 8, 10]
    np.testing.assert_allclose([v for _, v in found["step/loss"]], [x for x, _ in losses[1::2]])
    np.testing.assert_allclose([v for _, v in found["step/lr"]], [x for _, x in losses[1::2]])
    for part in ("train", "test"):
        for figure in ("loss", "accuracy"):
            expected = [record[f"{part}_{figure}"] for record in trainer.progress.history]
            steps, values = zip(*found[f"{part}/{figure}"], strict=True)
            assert steps == (5, 10)
            np.testing.assert_allclose(values, expected, rtol=1e-6)


def test_histograms_of_weights(build, tmp_path) -> None:
    board = TensorBoard(WatchConfig(True), tmp_path)
    trainer = build([board], train=TrainConfig(1, 32))
    trainer.fit()
    histograms = {
        value.tag: value.histo
        for event in events(tmp_path)
        for value in event.summary.value
        if value.WhichOneof("value") == "histo"
    }
    assert histograms.keys() == {f"weights/{n}" for n, _ in trainer.model.named_parameters()}
    weight = trainer.model[1].weight.array.astype("float64")
    seen = histograms["weights/1.weight"]
    assert seen.num == weight.size
    assert (seen.min, seen.max) == (weight.min(), weight.max())
    assert seen.sum == pytest.approx(weight.sum())
    assert sum(seen.bucket) == weight.size


def test_a_resume_leaves_out_what_came_after(build, run) -> None:
    """TensorBoard drops what it has read from the step on that a new session says."""

    class Stop(Callback):
        def on_batch(self, trainer: Trainer) -> None:
            trainer.stop = trainer.progress.step == 3

    def board() -> TensorBoard:
        return TensorBoard(WatchConfig(True, every=1), run.folder)

    assert build([run, board(), Stop()]).fit() is False
    trainer = build([run, board()])
    Run.open(run.folder).restore(trainer)
    trainer.fit()
    starts = [e.step for e in events(run.folder) if e.session_log.status == e.session_log.START]
    assert starts == [4]
    assert [step for step, _ in scalars(run.folder)["step/loss"]] == list(range(1, 21))


def test_without_the_package(monkeypatch, tmp_path) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'gpunet\[tensorboard\]'"):
        TensorBoard(WatchConfig(True), tmp_path)
