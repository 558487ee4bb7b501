"""Losses, and why cross entropy is the one for classes.

Two models that both mistake the cat are told apart by their losses, not by their errors: the
second is surer where it is right. A sigmoid that is sure and wrong gets almost no gradient from the
squared error, and from the cross entropy the largest there is.
"""

from __future__ import annotations

import numpy as np

import gpunet
from gpunet import functional as F
from gpunet import viz
from gpunet.recipes.show import Results, Show

ROWS = ("C1", "C2", "C3")

# Pig, dog, cat: the classes as one-hot rows, and what two models think of three pictures.
TARGETS = [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]
MODELS = {
    "model 1": [[0.3, 0.3, 0.4], [0.3, 0.4, 0.3], [0.1, 0.2, 0.7]],
    "model 2": [[0.1, 0.2, 0.7], [0.1, 0.7, 0.2], [0.3, 0.4, 0.3]],
}


def every_loss():
    """The losses of the lecture on a few numbers; y are predictions, z scores, t targets."""
    y, t = gpunet.tensor([0.5, 2.0, -1.0]), gpunet.tensor([1.0, 1.5, -1.0])
    p, yes = gpunet.tensor([0.9, 0.2, 0.6]), gpunet.tensor([1.0, 0.0, 1.0])
    z = gpunet.tensor([[2.0, 0.5, -1.0], [0.0, 1.0, 3.0]])
    index, one_hot = gpunet.tensor([0, 1]), gpunet.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    return {
        "MSE": F.mse_loss(y, t),
        "½Σ(y − t)²": F.mse_loss(y, t, reduction="sum") / 2,
        "BCE": F.binary_cross_entropy(p, yes),
        "CE, index": F.cross_entropy(z, index),
        "CE, one-hot": F.cross_entropy(z, one_hot),
    }


def judge(probabilities):
    """Share of errors, mean cross entropy, mean of ½Σ(y − t)² over the three pictures."""
    y, t = gpunet.tensor(probabilities), gpunet.tensor(TARGETS)
    classes = t.argmax(1)
    error = F.ne(y.argmax(1), classes).float().mean()
    cross_entropy = F.nll_loss(y.log(), classes)
    squares = F.mse_loss(y, t, reduction="sum") / 2 / len(TARGETS)
    return error.item(), cross_entropy.item(), squares.item()


def gradients(logits):
    """d/dz of both losses of y = σ(z) where the answer should be 1."""
    found = []
    for loss in (F.mse_loss, F.binary_cross_entropy):
        z = gpunet.tensor(logits, requires_grad=True)
        y = F.sigmoid(z)
        loss(y, gpunet.ones_like(y.detach()), reduction="sum").backward()
        found.append(z.grad.numpy())
    return found


def run(show: Show) -> Results:
    values = {name: loss.item() for name, loss in every_loss().items()}
    show.table(
        "The losses of the lecture",
        ("loss", "value"),
        [(show.text(name), value) for name, value in values.items()],
    )

    judged = {name: judge(probabilities) for name, probabilities in MODELS.items()}
    show.table(
        "Pig, dog, cat: two models, the same errors",
        ("model", "errors", "mean cross entropy", "mean ½Σ(y − t)²"),
        [(show.text(name), *(f"{value:.3f}" for value in row)) for name, row in judged.items()],
    )

    logits = np.linspace(-10, 10, 401)
    squared, entropy = gradients(logits)
    chosen = np.isin(logits, [-10, -5, -2, 0, 2])
    rows = np.column_stack([logits, squared, entropy])[chosen].tolist()
    columns = ("logit", "squared error", "cross entropy")
    show.table("The gradient by the logit, where the answer should be 1", columns, rows)
    viz.lines(
        {
            show.text("Size of the gradient, target 1"): {
                show.text("squared error"): abs(squared).tolist(),
                show.text("cross entropy"): abs(entropy).tolist(),
            }
        },
        show.path("gradients.png"),
        x=logits.tolist(),
        x_label=show.text("logit z"),
    )
    return {"values": values, "models": judged, "logits": logits, "gradients": (squared, entropy)}
