"""Segmentation: a label for every pixel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpunet import data, nn
from gpunet import functional as F
from gpunet.autograd import Tensor, no_grad
from gpunet.backend import Backend
from gpunet.data import Dataset, Description
from gpunet.train.tasks.task import (
    Evaluation,
    Figures,
    Prediction,
    Table,
    Task,
    layer_pictures,
)

PICTURES = 12  # on the page of overlays


class Segmentation(Task):
    """A model gives K scores a pixel, (N, K, H, W); the largest is its answer. Class 0 is ground.

    The outputs of an evaluation are the answers (N, H, W).
    """

    losses = (nn.CrossEntropyLoss, nn.NLLLoss)
    figure, more_is_better = "dice", True
    scores_axis = 1
    shares = frozenset({"dice", "iou"})
    evaluation_batch = 8

    def loss(self, model: nn.Module, x: Tensor, t: Tensor) -> tuple[Tensor, Figures]:
        scores = model(x)
        found = x.backend.to_host(scores.array.argmax(1))
        figures = {"dice": float(dice(x.backend.to_host(t.array), found, scores.shape[1]).mean())}
        return self.criterion(scores, t), figures

    def measure(self, model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> Evaluation:
        """Mean cross entropy of the pixels, whatever the loss in training; means over pictures."""
        total, overlaps, parts = 0.0, [], []
        for x, t in batches:
            scores = model(x)
            total += F.cross_entropy(scores, t).item() * len(x)
            found = x.backend.to_host(scores.array.argmax(1))
            overlaps.append(dice(x.backend.to_host(t.array), found, scores.shape[1]))
            parts.append(found)
        outputs: Any = np.concatenate(parts)
        shares = np.concatenate(overlaps)
        figures = {
            "loss": total / len(outputs),
            "dice": float(shares.mean()),
            "iou": float((shares / (2 - shares)).mean()),
        }
        return Evaluation(figures, outputs)

    def table(self, evaluation: Evaluation, dataset: Dataset) -> Table:
        """A row a class, of all pixels of all pictures together."""
        truth, found, rows = dataset.targets, evaluation.outputs, []
        for k, name in enumerate(dataset.classes):
            of_class, said = (truth == k).sum(), (found == k).sum()
            right = ((truth == k) & (found == k)).sum()
            recall = f"{right / of_class:.2%}" if of_class else "none"
            precision = f"{right / said:.2%}" if said else "never said"
            rows.append((name, f"{of_class / truth.size:.2%}", recall, precision))
        worst = dice(truth, found, len(dataset.classes)).min()
        summary = f"Dice of the worst of {len(dataset)} pictures: {worst:.2%}"
        return Table(("class", "share of pixels", "recall", "precision"), rows, summary)

    def pictures(
        self,
        model: nn.Module,
        evaluation: Evaluation,
        dataset: Dataset,
        history: Sequence[Mapping[str, Any]],
        folder: Path,
        seed: int,
    ) -> list[Path]:
        """The learning curve, what layers see, and pictures with what is and what was found."""
        from gpunet import viz

        targets, found = dataset.targets, evaluation.outputs
        shares = dice(targets, found, len(dataset.classes))
        sections = viz.choose_overlays(shares, PICTURES, seed)
        page = folder / "overlays.png"
        return [
            *super().pictures(model, evaluation, dataset, history, folder, seed),
            *layer_pictures(model, dataset.inputs[sections["A random sample"][0]], folder),
            viz.overlay_page(dataset.inputs, targets, found, shares, page, sections=sections),
        ]

    @no_grad()
    def predict(self, model: nn.Module, known: Description, source: str, be: Backend) -> Prediction:
        """The share of each class in the pixels of the picture in the file `source`."""
        x = Tensor(be.asarray(data.read_input(known, source)), be)
        found = be.to_host(model(x).array.argmax(1))
        shares = np.bincount(found.ravel(), minlength=len(known.classes)) / found.size
        most = int(shares[1:].argmax()) + 1
        return Prediction(
            f"{shares[most]:.1%} {known.classes[most]}",
            dict(zip(known.classes, map(float, shares), strict=True)),
        )


def dice(truth: NDArray[Any], found: NDArray[Any], classes: int) -> NDArray[np.float64]:
    """2·|A ∩ B| / (|A| + |B|) for each picture: the mean over the classes 1.. that are in A or B.

    A picture without any, in truth and in what was found, has 1.

    Shapes: truth and found (N, H, W), result (N,).

    Source: Dice, "Measures of the amount of ecologic association", Ecology 26, 1945.
    """
    both, sizes = [], []
    for k in range(1, classes):
        a, b = truth == k, found == k
        both.append((a & b).sum((1, 2)))
        sizes.append(a.sum((1, 2)) + b.sum((1, 2)))
    size = np.array(sizes)
    share = 2 * np.array(both) / np.maximum(size, 1)
    there = size > 0
    return np.where(there.any(0), (share * there).sum(0) / np.maximum(there.sum(0), 1), 1.0)
