"""The base of tasks: what the trainer and the command line ask of one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from gpunet import nn
from gpunet.autograd import Tensor, no_grad
from gpunet.backend import Backend
from gpunet.data import DataLoader, Dataset, Description
from gpunet.errors import ArgumentError
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
        scores_axis: of a model's outputs, the one with a score for each class of the data, if any.
        evaluation_batch: examples evaluated at a time.
        vocabularies: those of the data set it was trained on; `predict` takes texts apart by them.
    """

    losses: ClassVar[tuple[type[nn.Module], ...]]
    metrics: ClassVar[Mapping[str, Metric]] = {}
    figure: ClassVar[str] = "loss"
    more_is_better: ClassVar[bool] = False
    shares: ClassVar[frozenset[str]] = frozenset()
    scores_axis: ClassVar[int | None] = None
    evaluation_batch: ClassVar[int] = 1000

    vocabularies: tuple[Vocabulary, ...] = ()

    def __init__(self, criterion: nn.Module | None = None, measured: Sequence[str] = ()):
        self.criterion = criterion or self.losses[0]()
        self.measured = tuple(measured)

    def check(self, model: nn.Module, dataset: Dataset) -> None:
        """Tries a model on one example, to know before hours of training that it fits the data.

        Raises:
            ArgumentError: its scores are not those of the classes there are.
        """
        if self.scores_axis is None:
            return
        x, _ = next(self._batches(dataset.subset([0]), next(model.parameters()).backend))
        with evaluating(model):
            found = model(x).shape[self.scores_axis]
        if found != len(dataset.classes):
            rule = f"model must give a score for each of the {len(dataset.classes)} classes"
            raise ArgumentError(type(self).__name__, f"{rule} of {dataset.name!r}, got {found}")

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
        with evaluating(model):
            result = self.measure(model, self._batches(dataset, be))
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

    def predict(self, model: nn.Module, known: Description, source: str, be: Backend) -> Prediction:
        """The answer to what the user gave, a file or a text, of a model trained on such data."""
        raise NotImplementedError(f"{type(self).__name__} has no predictions yet")


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Inside, a model is in evaluation mode and nothing is recorded."""
    was_training = model.training
    model.eval()
    try:
        with no_grad():
            yield
    finally:
        model.train(was_training)


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
