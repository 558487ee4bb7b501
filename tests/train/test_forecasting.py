"""Forecasting: figures by their definitions, the naive forecasts, and a model that learns."""

from dataclasses import replace

import numpy as np
import pytest

import gpunet
from gpunet import backend, data, models, nn
from gpunet.data import DataLoader, Dataset
from gpunet.data.catalogue import CATALOGUE
from gpunet.errors import DataError
from gpunet.optim import AdamW
from gpunet.train import Trainer
from gpunet.train.config import TrainConfig
from gpunet.train.tasks import Forecasting
from tests.kernels import needs
from tests.kernels.host.gpu import HostGPU, pretended
from tests.tolerance import EPS

RNG = np.random.default_rng(2)
PAST = RNG.standard_normal((1100, 6, 1)).astype(np.float32)
TRUTH = RNG.standard_normal((1100, 4)).astype(np.float32)
NAME = "champagne_sales"


@pytest.fixture(params=[1, 3])
def season(request, monkeypatch) -> int:
    known = replace(CATALOGUE[NAME], season=request.param, shape=(6, 1), horizon=4)
    monkeypatch.setitem(CATALOGUE, NAME, known)
    return request.param


class Fixed(nn.Module):
    """Says the first value of the window and one more each step, with a variance of its square."""

    def __init__(self):
        self.some = nn.Parameter(gpunet.zeros(1))

    def forward(self, x):
        mean = x[:, 0] + gpunet.arange(4)
        return gpunet.stack([mean, mean * mean + 1], 2)


def answers() -> tuple[np.ndarray, np.ndarray]:
    mean = PAST[:, 0].astype(np.float64) + np.arange(4)
    return mean, mean**2 + 1


def windows() -> Dataset:
    """More than are evaluated at a time."""
    return Dataset(NAME, PAST, TRUTH, ())


def test_the_loss_is_that_of_a_normal_distribution() -> None:
    mean, variance = answers()
    expected = 0.5 * np.log(2 * np.pi * variance) + (TRUTH - mean) ** 2 / (2 * variance)
    loss, figures = Forecasting().loss(Fixed(), gpunet.tensor(PAST), gpunet.tensor(TRUTH))
    assert loss.item() == pytest.approx(expected.mean(), rel=1e-5)
    assert figures == {}
    task = Forecasting(nn.GaussianNLLLoss())  # without its constant
    plain = task.loss(Fixed(), gpunet.tensor(PAST), gpunet.tensor(TRUTH))[0].item()
    assert plain == pytest.approx(expected.mean() - 0.5 * np.log(2 * np.pi), rel=1e-5)
    assert task.evaluate(Fixed(), windows(), backend.cpu).figures["loss"] == pytest.approx(
        expected.mean(), rel=1e-5
    )


def test_figures(season) -> None:
    result = Forecasting().evaluate(Fixed(), windows(), backend.cpu)
    mean, variance = answers()
    assert list(result.figures) == ["loss", "rmse", "in_band", "naive_rmse", "mean_rmse"]

    def rms(said: np.ndarray) -> float:
        return ((TRUTH - said) ** 2).mean() ** 0.5

    again = np.stack([PAST[:, 6 - season + h % season, 0] for h in range(4)], 1)
    assert result.figures["rmse"] == pytest.approx(rms(mean), rel=1e-6)
    assert result.figures["naive_rmse"] == pytest.approx(rms(again), rel=1e-6)
    assert result.figures["mean_rmse"] == pytest.approx(rms(PAST.mean(1)), rel=1e-6)
    # Of a normal distribution, 10 % lie above 1.2816 deviations, and as many below.
    inside = np.abs(TRUTH - mean) < 1.2816 * variance**0.5
    assert result.figures["in_band"] == pytest.approx(inside.mean(), abs=1e-3)
    np.testing.assert_allclose(result.outputs, np.stack([mean, variance], 2), rtol=1e-6)


def test_a_band_holds_what_it_should() -> None:
    class Right(nn.Module):
        def __init__(self):
            self.some = nn.Parameter(gpunet.zeros(1))

        def forward(self, x):
            return gpunet.stack([gpunet.zeros(len(x), 4), gpunet.ones(len(x), 4)], 2)

    result = Forecasting().evaluate(Right(), windows(), backend.cpu)
    assert abs(result.figures["in_band"] - 0.8) < 4 * (0.8 * 0.2 / TRUTH.size) ** 0.5


def test_the_table_has_a_row_a_step(season) -> None:
    task = Forecasting()
    table = task.table(task.evaluate(Fixed(), windows(), backend.cpu), windows())
    assert table.columns == ("months ahead", "rmse", "naive rmse", "mean rmse")
    off = TRUTH - answers()[0]
    for h, row in enumerate(table.rows):
        expected = (off[:, h] ** 2).mean() ** 0.5
        assert row[:2] == (f"{h + 1}", f"{expected:.3f}")
    assert table.summary == "1,100 forecasts of 4 months"


# ---- a model that has learned something ---------------------------------------------------------


def waves(split: str) -> Dataset:
    """A wave of twelve steps, with some noise: naive is off by twice its height, at worst."""
    series = np.sin(np.arange(400) * np.pi / 6) + 0.05 * np.random.default_rng(0).standard_normal(
        400
    )
    x, t = data.windows(series.astype(np.float32), 12, 4, 100, split)
    return Dataset("daily_min_temperatures", x, t, ())


@pytest.fixture(scope="module")
def trainer() -> Trainer:
    gpunet.manual_seed(0)
    model = models.Forecaster(4, hidden=16)
    optimizer = AdamW(model.parameters(), lr=1e-2)
    loader, held_out = DataLoader(waves("train"), 32, shuffle=True), ("test", waves("test"))
    trainer = Trainer(Forecasting(), model, optimizer, loader, held_out, TrainConfig(12, 32))
    trainer.fit()
    return trainer


def test_it_learns_what_comes_and_how_sure_that_is(trainer) -> None:
    figures = trainer.evaluation.figures
    assert figures["naive_rmse"] > 0.8
    assert figures["rmse"] < 0.15
    assert 0.6 < figures["in_band"] < 0.97
    assert trainer.best_epoch() > 1


def test_pictures(trainer, tmp_path) -> None:
    written = trainer.task.pictures(
        trainer.model, trainer.evaluation, waves("test"), trainer.progress.history, tmp_path, seed=1
    )
    assert [path.name for path in written] == ["learning_curve.png", "forecasts.png"]
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in written}


def test_a_prediction_has_a_band_for_each_step(trainer, tmp_path) -> None:
    file = tmp_path / "recent.csv"
    values = waves("test").inputs[0, :, 0]
    known = CATALOGUE["daily_min_temperatures"]
    file.write_text("day,value\n" + "".join(f"{i},{v}\n" for i, v in enumerate(values)))
    shorter = replace(known, shape=(12, 1))
    answer = trainer.task.predict(trainer.model, shorter, str(file), backend.cpu)
    with gpunet.no_grad():
        (mean, variance), *_ = trainer.model(gpunet.tensor(values[None, :, None])).numpy()[0]
    side = 1.2816 * variance**0.5
    first = f"{mean:.1f} ({mean - side:.1f} to {mean + side:.1f}), "
    assert answer.answer.startswith(first)
    assert answer.answer.count(" to ") == 4
    assert answer.answer.endswith(" °C")
    assert not answer.probabilities
    with pytest.raises(DataError, match="must have at least 28 values, got 12"):
        trainer.task.predict(trainer.model, known, str(file), backend.cpu)


@needs.compiler
def test_on_a_gpu_it_is_judged_alike(trainer) -> None:
    model = models.Forecaster(4, hidden=16)
    model.load_state_dict(trainer.model.state_dict())
    with pretended(HostGPU()):
        be = backend.get("cuda:0")
        there = trainer.task.evaluate(model.to(be.device), waves("test"), be)
    here = trainer.task.evaluate(trainer.model, waves("test"), backend.cpu)
    np.testing.assert_allclose(there.outputs, here.outputs, atol=2**6 * EPS["float32"])
