"""What is measured of a model on a data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpunet import functional as F
from gpunet import nn
from gpunet.autograd import Tensor, no_grad
from gpunet.backend import Backend
from gpunet.data import DataLoader, Dataset

BATCH = 1000  # examples evaluated at a time


@dataclass(frozen=True)
class Evaluation:
    """Mean cross entropy, share of right answers, and the probabilities (N, K) behind them."""

    loss: float
    accuracy: float
    probabilities: NDArray[np.float32]

    @property
    def predictions(self) -> NDArray[np.int64]:
        """The likeliest class of each example, (N,)."""
        return self.probabilities.argmax(axis=1)


@no_grad()
def evaluate(model: nn.Module, dataset: Dataset, be: Backend) -> Evaluation:
    """Runs a classifier over a data set, in evaluation mode; the mode is put back after."""
    was_training = model.training
    model.eval()
    total, parts = 0.0, []
    try:
        for inputs, targets in DataLoader(dataset, BATCH):
            scores = model(Tensor(be.asarray(inputs), be))
            total += F.cross_entropy(
                scores, Tensor(be.asarray(targets), be), reduction="sum"
            ).item()
            parts.append(be.to_host(F.softmax(scores, 1).array))
    finally:
        model.train(was_training)
    probabilities: Any = np.concatenate(parts)
    accuracy = float((probabilities.argmax(axis=1) == dataset.targets).mean())
    return Evaluation(total / len(dataset), accuracy, probabilities)
