"""Classification: one label an example."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from gpunet import data, nn
from gpunet import functional as F
from gpunet.autograd import Tensor, no_grad
from gpunet.backend import Backend
from gpunet.data import Dataset, Description
from gpunet.train import metrics
from gpunet.train.tasks.task import (
    Evaluation,
    Figures,
    Metric,
    Prediction,
    Table,
    Task,
    layer_pictures,
)

PICTURES = 32  # on the page of predictions


class Classification(Task):
    """A model gives K scores an example; the largest is its answer.

    The outputs of an evaluation are the probabilities (N, K), a softmax of the scores.
    """

    losses = (nn.CrossEntropyLoss, nn.NLLLoss, nn.MultiMarginLoss)
    figure, more_is_better = "accuracy", True
    scores_axis = 1
    metrics: ClassVar[Mapping[str, Metric]] = {
        **{f"top_{k}_accuracy": partial(metrics.top_k_accuracy, k=k) for k in (2, 3, 5)},
        "precision": metrics.precision,
        "recall": metrics.recall,
        "f1": metrics.f1,
        "roc_auc": metrics.roc_auc,
    }
    shares = frozenset({"accuracy", *metrics})

    def loss(self, model: nn.Module, x: Tensor, t: Tensor) -> tuple[Tensor, Figures]:
        scores = model(x)
        labels = t.array.argmax(1) if t.ndim == 2 else t.array  # mixed ones are shares of classes
        right = int((scores.array.argmax(1) == labels).sum())
        return self.criterion(scores, t), {"accuracy": right / len(t)}

    def measure(self, model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> Evaluation:
        """Mean cross entropy, whatever the loss in training, and the share of right answers."""
        total, right, parts = 0.0, 0, []
        for x, t in batches:
            scores = model(x)
            total += F.cross_entropy(scores, t, reduction="sum").item()
            probabilities = F.softmax(scores, 1).array
            right += int((probabilities.argmax(1) == t.array).sum())
            parts.append(x.backend.to_host(probabilities))
        outputs: Any = np.concatenate(parts)
        figures = {"loss": total / len(outputs), "accuracy": right / len(outputs)}
        return Evaluation(figures, outputs)

    def table(self, evaluation: Evaluation, dataset: Dataset) -> Table:
        """A row a class."""
        predictions = evaluation.outputs.argmax(1)
        counts = metrics.confusion_matrix(predictions, dataset.targets, len(dataset.classes))
        rows = []
        for k, name in enumerate(dataset.classes):
            right, there, said = counts[k, k], counts[k].sum(), counts[:, k].sum()
            recall = f"{right / there:.2%}" if there else "none"
            precision = f"{right / said:.2%}" if said else "never said"
            rows.append((name, f"{there:,}", recall, precision))
        wrong = int((predictions != dataset.targets).sum())
        return Table(
            ("class", "examples", "recall", "precision"),
            rows,
            f"{wrong:,} of {len(dataset):,} wrong",
        )

    def pictures(
        self,
        model: nn.Module,
        evaluation: Evaluation,
        dataset: Dataset,
        history: Sequence[Mapping[str, Any]],
        folder: Path,
        seed: int,
    ) -> list[Path]:
        """Learning curve and confusion matrix; of pictures, predictions and filters, too."""
        from gpunet import viz

        targets, probabilities, classes = dataset.targets, evaluation.outputs, dataset.classes
        matrix, page = folder / "confusion_matrix.png", folder / "predictions.png"
        written = [
            *super().pictures(model, evaluation, dataset, history, folder, seed),
            viz.confusion_matrix(targets, probabilities.argmax(1), classes, matrix),
        ]
        if dataset.inputs.ndim != 4:
            return written
        sections = viz.choose(targets, probabilities, PICTURES, seed)
        return [
            *written,
            *layer_pictures(model, dataset.inputs[0], folder),
            viz.prediction_page(
                dataset.inputs, targets, probabilities, classes, page, sections=sections
            ),
        ]

    @no_grad()
    def predict(self, model: nn.Module, known: Description, source: str, be: Backend) -> Prediction:
        """The class of the picture, the recording or the last line in the file `source`."""
        x = Tensor(be.asarray(data.read_input(known, source)), be)
        probabilities = be.to_host(F.softmax(model(x), 1).array)[0]
        return Prediction(
            known.classes[int(probabilities.argmax())],
            dict(zip(known.classes, map(float, probabilities), strict=True)),
        )
