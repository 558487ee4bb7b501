"""What is looked at inside a run: norms, ratios, outputs of layers, and what is said of them."""

import json
from dataclasses import replace

import numpy as np
import pytest

import gpunet
from gpunet import nn
from gpunet.train import Callback, Run, Trainer
from gpunet.train.config import DiagnosticsConfig, TrainConfig
from gpunet.train.diagnostics import (
    Recorder,
    activation_statistics,
    advice,
    dead_units,
    gradient_norms,
    update_ratios,
    weight_norms,
)

ALL = DiagnosticsConfig(3, True, True, True, True, True)


@pytest.fixture
def model() -> nn.Sequential:
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4, 2))
    network(gpunet.tensor(np.ones((5, 3), "float32"))).sum().backward()
    return network


def test_norms(model) -> None:
    names = [name for name, _ in model.named_parameters()]
    model[3].bias.grad = None
    parameters = model.named_parameters()
    gradients = {name: p.grad.array for name, p in parameters if p.grad is not None}
    for found, arrays in (
        (weight_norms(model), {n: p.array for n, p in model.named_parameters()}),
        (gradient_norms(model), gradients),
    ):
        assert list(found) == [name for name in names if name in arrays]
        for name, norm in found.items():
            expected = np.linalg.norm(arrays[name].astype("float64").ravel())
            assert norm == pytest.approx(expected, rel=1e-12)


def test_norms_of_huge_numbers_do_not_overflow(model) -> None:
    model[0].weight.array[...] = 1e30
    assert weight_norms(model)["0.weight"] == pytest.approx(1e30 * 12**0.5, rel=1e-6)


def test_update_ratios(model) -> None:
    before = {name: p.array.copy() for name, p in model.named_parameters()}
    before["0.bias"][...] = 0.0
    model[0].weight.array *= 1.25
    found = update_ratios(model, before)
    assert found.pop("0.weight") == pytest.approx(0.25, rel=1e-6)
    assert found == {"3.weight": 0.0, "3.bias": 0.0}


def test_activation_statistics(model) -> None:
    """In evaluation mode, layer by layer, by hand; nothing is left behind."""
    x = np.random.default_rng(0).standard_normal((7, 3)).astype("float32")
    found = activation_statistics(model, gpunet.tensor(x))
    w, b = (p.array.astype("float64") for p in model[0].parameters())
    hidden = x @ w.T + b
    relu = np.maximum(hidden, 0)
    assert list(found) == ["0", "1", "2", "3"]
    for name, y in (("0", hidden), ("1", relu), ("2", relu)):
        expected = {"mean": y.mean(), "std": y.std(), "zeros": (y == 0).mean()}
        assert found[name] == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert model.training
    assert all(m._forward_hooks == () for m in model.modules())


def test_dead_units(model) -> None:
    """Two of four units are pushed below 0 for every example."""
    model[0].weight.array[...] = 0.0
    model[0].bias.array[...] = [1.0, -1.0, 2.0, -2.0]
    assert dead_units(model, gpunet.tensor(np.ones((5, 3), "float32"))) == {"1": 0.5}


def test_dead_channels() -> None:
    """A channel that is above 0 in one place of one picture is alive."""
    network = nn.Sequential(nn.Conv2d(1, 3, 1), nn.ReLU())
    network[0].weight.array[...] = np.reshape([1.0, -1.0, 0.0], (3, 1, 1, 1))
    network[0].bias.array[...] = 0.0
    x = np.zeros((2, 1, 4, 4), "float32")
    x[1, 0, 2, 2] = 1.0
    assert dead_units(network, gpunet.tensor(x)) == {"1": pytest.approx(2 / 3)}


def test_advice_is_by_the_median() -> None:
    records = [
        {
            "update_ratios": {"0.weight": ratio, "1.weight": 1e-3, "2.weight": 0.5},
            "gradient_norms": {"0.weight": 1e-9, "1.weight": 1.0, "2.weight": 1e5},
            "dead_units": {"1": 0.6, "3": 0.1},
        }
        for ratio in (1e-8, 1e-3, 1e-3)
    ]
    assert [line.split(":")[:2] for line in advice(records)] == [
        ["2.weight", " update ratio 0.5"],
        ["0.weight", " gradient norm 1e-09"],
        ["2.weight", " gradient norm 1e+05"],
        ["1", " dead unit 0.6"],
    ]
    assert advice([]) == []


# --- the recorder


def test_records(build, tmp_path) -> None:
    """The first step, and each third; the update is that of the step, to the last digit."""
    weights = []

    class Keep(Callback):
        def on_start(self, trainer: Trainer) -> None:
            weights.append(trainer.model[1].weight.array.copy())

        def on_batch(self, trainer: Trainer) -> None:
            self.on_start(trainer)

    recorder = Recorder(ALL, tmp_path)
    build([Keep(), recorder], train=TrainConfig(2, 32)).fit()
    records = [
        json.loads(line) for line in (tmp_path / "diagnostics.jsonl").read_text().splitlines()
    ]
    assert records == recorder.records
    assert [record["step"] for record in records] == [1, 3, 6, 9]
    for record in records:
        before, after = (weights[record["step"] + i].astype("float64") for i in (-1, 0))
        norm = np.linalg.norm(before)
        assert record["update_ratios"]["1.weight"] == pytest.approx(
            np.linalg.norm(after - before) / norm, rel=1e-5
        )
        assert record["weight_norms"]["1.weight"] == pytest.approx(np.linalg.norm(after))
        assert list(record["activations"]) == ["0", "1", "2", "3", "4"]
        assert list(record["dead_units"]) == ["2"]
        assert record["gradient_norms"].keys() == record["weight_norms"].keys()


@pytest.mark.parametrize(
    "name", ["gradient_norms", "weight_norms", "update_ratios", "activations", "dead_units"]
)
def test_each_is_a_switch(build, tmp_path, name) -> None:
    recorder = Recorder(replace(DiagnosticsConfig(), **{name: True}), tmp_path)
    build([recorder], train=TrainConfig(1, 64)).fit()
    assert recorder.records[0].keys() == {"step", name}


def test_looking_changes_no_bit(build, tmp_path) -> None:
    weights = []
    for callbacks in ([], [Recorder(replace(ALL, every=1), tmp_path)]):
        trainer = build(callbacks)
        trainer.fit()
        weights.append([p.array.tobytes() for p in trainer.model.parameters()])
    assert weights[0] == weights[1]


def test_a_resumed_run_has_each_step_once(build, run: Run) -> None:
    class CutOff(Callback):
        def on_batch(self, trainer: Trainer) -> None:
            if trainer.progress.step == 9:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build([run, Recorder(replace(ALL, every=2), run.folder), CutOff()]).fit()
    again = build([run, Recorder(replace(ALL, every=2), run.folder)])
    run.restore(again)
    assert again.progress.step == 5
    again.fit()
    records = [
        json.loads(line) for line in (run.folder / "diagnostics.jsonl").read_text().splitlines()
    ]
    assert [record["step"] for record in records] == [1, *range(2, 21, 2)]
