"""Forecasting: what will the next values of a series be, and how sure is that?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpunet import data, nn
from gpunet.autograd import Tensor, no_grad
from gpunet.backend import Backend
from gpunet.data import Dataset, Description
from gpunet.train.tasks.task import Evaluation, Figures, Prediction, Table, Task

BAND = 0.8  # the share of the truth that should lie in the bands that are drawn and told
WIDTH = 1.2815515655446004  # deviations to each side of the mean, of such a band of a normal one
PANELS = 4  # of the picture


class Forecasting(Task):
    """A model gives the mean and the variance of each of H values to come, (N, H, 2).

    Inputs are what was, (N, L, 1), targets what came, (N, H). The loss is that of a normal
    distribution. Beside the model's root mean square error (rmse) stand those of two forecasts
    that need no learning: the last season again, and the mean of the window; see `naive`.
    `in_band` is the share of what came in a band that should hold 80 % of it.
    The outputs of an evaluation are the answers of the model, (N, H, 2).
    """

    losses = (nn.GaussianNLLLoss,)
    figure = "rmse"
    shares = frozenset({"in_band"})

    def __init__(self, criterion: nn.Module | None = None, measured: Sequence[str] = ()):
        super().__init__(criterion or nn.GaussianNLLLoss(full=True), measured)

    def loss(self, model: nn.Module, x: Tensor, t: Tensor) -> tuple[Tensor, Figures]:
        mean, variance = model(x).unbind(2)
        return self.criterion(mean, t, variance), {}

    def measure(self, model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> Evaluation:
        """Minus the logarithm of the density, whatever the loss in training, and errors."""
        answers, truths = [], []
        for x, t in batches:
            answers.append(x.backend.to_host(model(x).array).astype("float64"))
            truths.append(x.backend.to_host(t.array))
        y = np.concatenate(answers)
        mean, variance = y[..., 0], y[..., 1]
        off = np.concatenate(truths) - mean
        density = 0.5 * (np.log(2 * np.pi * variance) + off**2 / variance)
        inside = np.abs(off) <= WIDTH * np.sqrt(variance)
        figures = {"loss": density.mean(), "rmse": _rms(off), "in_band": inside.mean()}
        return Evaluation({name: float(value) for name, value in figures.items()}, y)

    def evaluate(self, model: nn.Module, dataset: Dataset, be: Backend) -> Evaluation:
        """As of any task, with the errors of forecasts that need no learning."""
        result = super().evaluate(model, dataset, be)
        for name, said in naive(dataset).items():
            result.figures[f"{name}_rmse"] = _rms(dataset.targets - said)
        return result

    def table(self, evaluation: Evaluation, dataset: Dataset) -> Table:
        """The errors at each step ahead."""
        truth, known = dataset.targets, data.describe(dataset.name)
        forecasts = {"": evaluation.outputs[..., 0], **naive(dataset)}
        columns = (f"{known.step}s ahead", *(f"{name} rmse".strip() for name in forecasts))
        rows = [
            (f"{h + 1}", *(f"{_rms((truth - said)[:, h]):.3f}" for said in forecasts.values()))
            for h in range(truth.shape[1])
        ]
        return Table(columns, rows, f"{len(dataset):,} forecasts of {len(rows)} {known.step}s")

    def pictures(
        self,
        model: nn.Module,
        evaluation: Evaluation,
        dataset: Dataset,
        history: Sequence[Mapping[str, Any]],
        folder: Path,
        seed: int,
    ) -> list[Path]:
        """The learning curve, and forecasts with their bands beside what came."""
        from gpunet import viz

        known, figures = data.describe(dataset.name), evaluation.figures
        past, again = dataset.inputs[:, :, 0], naive(dataset)["naive"]
        mean, variance = evaluation.outputs[..., 0], evaluation.outputs[..., 1]
        held = self.show("in_band", figures["in_band"])
        errors = [f"{figures[name]:#.3g}".rstrip(".") for name in ("rmse", "naive_rmse")]
        page = viz.forecasts(
            past,
            dataset.targets,
            mean,
            WIDTH * np.sqrt(variance),
            again,
            folder / "forecasts.png",
            stretches=viz.choose_stretches(past, dataset.targets, PANELS, seed),
            title=f"RMSE {errors[0]} {known.unit}, of the naive forecast {errors[1]} {known.unit}",
            band=f"with a band for {BAND:.0%} of what comes (it holds {held})",
            step=known.step,
            season=known.season,
        )
        return [*super().pictures(model, evaluation, dataset, history, folder, seed), page]

    @no_grad()
    def predict(self, model: nn.Module, known: Description, source: str, be: Backend) -> Prediction:
        """What comes after the values in the CSV file `source`, with bands of 80 %."""
        x = Tensor(be.asarray(data.read_input(known, source)), be)
        answers = be.to_host(model(x).array)[0]
        texts = []
        for mean, variance in answers:
            side = WIDTH * float(variance) ** 0.5
            texts.append(f"{mean:.1f} ({mean - side:.1f} to {mean + side:.1f})")
        return Prediction(f"{', '.join(texts)} {known.unit}")


def naive(dataset: Dataset) -> dict[str, NDArray[Any]]:
    """Forecasts that need no learning, (N, H): the last season again, and the mean of the window.

    The season is that of the catalogue: 12 months of monthly sales; 1, so the last value, of days.
    """
    past, shape = dataset.inputs[:, :, 0], dataset.targets.shape
    season = data.describe(dataset.name).season
    again = past[:, -season:][:, np.arange(shape[1]) % season]
    return {"naive": again, "mean": np.broadcast_to(past.mean(1, keepdims=True), shape)}


def _rms(off: NDArray[Any]) -> float:
    return float(np.sqrt((off.astype("float64") ** 2).mean()))
