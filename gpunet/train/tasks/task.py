"""The base of tasks: what the trainer and the command line ask of one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from gpunet import nn
from gpunet.autograd import Tensor, no_grad
from gpunet.backend import Backend
from gpunet.data import DataLoader, Dataset
from gpunet.text import Vocabulary

Figures = dict[str, float]
Carried = tuple[Tensor, ...] | None  # the state of a model between batches, (layers, N, ...) each
Metric = Callable[[Any, Any], float]  # of the outputs of an evaluation and the targets


@dataclass(frozen=True)
class Evaluation:
    """What a model makes of a data set.

    Attributes:
        figures: what was measured, by name, in the order to be shown; `"loss"` is always there.
        outputs: host arrays that pictures and tables are made from, whatever the task needs.
    """

    figures: Figures
    outputs: Any


@dataclass(frozen=True)
class Prediction:
    """An answer, and the probability of each answer that there might have been, if known."""

    answer: str
    probabilities: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """Figures in detail, as text: the names of the columns, the rows, and a closing sentence."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    summary: str


class Task(ABC):
    """What a run learns, and how it is judged.

    Args:
        criterion: the loss, one of `losses`; the first of them by default.
        measured: names of `metrics` to be among the figures.

    Attributes:
        losses: the classes of `nn` that fit. metrics: what may be asked for beside the figures.
        figure: the figure that decides which epoch is best. more_is_better: which way.
        shares: figures in [0, 1] that are shown as per cent.
        evaluation_batch: examples evaluated at a time.
        vocabularies: those of the data set it was trained on; `predict` takes texts apart by them.
    """

    losses: ClassVar[tuple[type[nn.Module], ...]]
    metrics: ClassVar[Mapping[str, Metric]] = {}
    figure: ClassVar[str] = "loss"
    more_is_better: ClassVar[bool] = False
    shares: ClassVar[frozenset[str]] = frozenset()
    evaluation_batch: ClassVar[int] = 1000

    vocabularies: tuple[Vocabulary, ...] = ()

    def __init__(self, criterion: nn.Module | None = None, measured: Sequence[str] = ()):
        self.criterion = criterion or self.losses[0]()
        self.measured = tuple(measured)

    @abstractmethod
    def loss(self, model: nn.Module, x: Tensor, t: Tensor) -> tuple[Tensor, Figures]:
        """The mean loss of a batch, and its other figures, which may be none."""

    def loss_after(
        self, model: nn.Module, x: Tensor, t: Tensor, carried: Carried
    ) -> tuple[Tensor, Figures, Carried]:
        """As `loss`, with what the model carries from batch to batch: before, and after.

        Here, nothing.
        """
        return *self.loss(model, x, t), None

    @abstractmethod
    def measure(self, model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> Evaluation:
        """Runs the model, which is in evaluation mode and records nothing, over all batches."""

    def evaluate(self, model: nn.Module, dataset: Dataset, be: Backend) -> Evaluation:
        """Runs the model over a data set, in evaluation mode; the mode is put back after."""
        was_training = model.training
        model.eval()
        try:
            with no_grad():
                result = self.measure(model, self._batches(dataset, be))
        finally:
            model.train(was_training)
        for name in self.measured:
            result.figures[name] = self.metric(name, result.outputs, dataset)
        return result

    def metric(self, name: str, outputs: Any, dataset: Dataset) -> float:
        """One of `metrics`, of the outputs of an evaluation."""
        return float(self.metrics[name](outputs, dataset.targets))

    def _batches(self, dataset: Dataset, be: Backend) -> Iterator[tuple[Tensor, Tensor]]:
        for inputs, targets in self._loader(dataset):
            yield Tensor(be.asarray(inputs), be), Tensor(be.asarray(targets), be)

    def _loader(self, dataset: Dataset) -> DataLoader:
        return DataLoader(dataset, self.evaluation_batch)

    def table(self, evaluation: Evaluation, dataset: Dataset) -> Table:
        """The figures in detail; here, a row a figure."""
        rows = [(name, self.show(name, value)) for name, value in evaluation.figures.items()]
        return Table(("figure", "value"), rows, f"{len(dataset):,} examples of {dataset.name}")

    def show(self, name: str, value: float) -> str:
        """A figure as it is shown to people."""
        return f"{value:.2%}" if name in self.shares else f"{value:.4f}"

    def pictures(
        self,
        model: nn.Module,
        evaluation: Evaluation,
        dataset: Dataset,
        history: Sequence[Mapping[str, Any]],
        folder: Path,
        seed: int,
    ) -> list[Path]:
        """Draws what was learned into `folder`; returns the files. Here, the learning curve."""
        from gpunet import viz

        return [viz.learning_curve(history, folder / "learning_curve.png")]

    def predict(self, model: nn.Module, data_set: str, source: str, be: Backend) -> Prediction:
        """The answer of a model trained on `data_set` to what the user gave: a file, a text, ..."""
        raise NotImplementedError(f"{type(self).__name__} has no predictions yet")


def layer_pictures(model: nn.Module, image: Any, folder: Path) -> list[Path]:
    """The first filters of a convolutional network, and what its layers make of a picture."""
    from gpunet import viz

    first = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    if first is None:
        return []
    weight = first.weight.backend.to_host(first.weight.array)
    return [
        viz.filters(weight, folder / "filters.png"),
        viz.feature_maps(model, image, folder / "feature_maps.png"),
    ]
