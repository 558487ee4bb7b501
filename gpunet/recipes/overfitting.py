"""Overfitting, and seven ways to narrow the gap between training and validation.

Of 300 digits, some with wrong labels, a network learns nearly every one by heart, and from the
overfitting point on the validation loss rises. L1, L2, dropout, batch normalisation, early
stopping and clipped gradients each keep the two losses closer together.
"""

from __future__ import annotations

import numpy as np

import gpunet
from gpunet import data, nn, optim, viz
from gpunet import functional as F
from gpunet.data import Dataset
from gpunet.recipes.show import Results, Show

ROWS = ("F2", "F5")
EPOCHS, PATIENCE, WRONG = 40, 6, 0.25


def parts():
    """300 digits to train on, every fourth label drawn anew; 1,000 to validate; the test set."""
    rest, validation = data.load("digits", "train").split(1000 / 3823, seed=0)
    generator = np.random.default_rng(0)
    train = rest.subset(generator.choice(len(rest), 300, replace=False))
    drawn = np.where(generator.random(300) < WRONG, generator.integers(0, 10, 300), train.targets)
    train = Dataset("noisy digits", train.inputs, drawn, train.classes)
    return {"train": train, "validation": validation, "test": data.load("digits", "test")}


def network(dropout=0.0, normalise=False):
    layers: list[nn.Module] = [nn.Flatten()]
    for width in (64, 128):
        layers.append(nn.Linear(width, 128))
        layers += [nn.BatchNorm1d(128)] if normalise else []
        layers.append(nn.ReLU())
        layers += [nn.Dropout(dropout)] if dropout else []
    return nn.Sequential(*layers, nn.Linear(128, 10))


@gpunet.no_grad()
def measure(model, digits):
    """Loss and accuracy, as the network is at test time: no dropout, running averages."""
    scores = model.eval()(gpunet.tensor(digits.inputs))
    loss = F.cross_entropy(scores, gpunet.tensor(digits.targets)).item()
    model.train()
    return loss, float((scores.numpy().argmax(1) == digits.targets).mean())


def train(sets, l1=0.0, l2=0.0, clip_norm=0.0, clip_value=0.0, patience=0, **layers):
    """Trains; returns the history of the epochs, and the losses and accuracies at the end."""
    gpunet.manual_seed(0)
    model = network(**layers)
    optimizer = optim.SGD(model.parameters(), lr=0.1, weight_decay=l2)
    loader = data.DataLoader(sets["train"], batch_size=4, shuffle=True)
    history, best = [], {}
    for epoch in range(1, EPOCHS + 1):
        for inputs, targets in loader:
            loss = F.cross_entropy(model(gpunet.tensor(inputs)), gpunet.tensor(targets))
            if l1:
                loss = loss + l1 * sum(w.abs().sum() for w in model.parameters() if w.ndim == 2)
            optimizer.zero_grad()
            loss.backward()
            if clip_norm:
                nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
            if clip_value:
                nn.utils.clip_grad_value_(model.parameters(), clip_value)
            optimizer.step()
        row = {"epoch": epoch}
        for part in ("train", "validation"):
            row[f"{part}_loss"], row[f"{part}_accuracy"] = measure(model, sets[part])
        history.append(row)
        if patience:
            losses = [row["validation_loss"] for row in history]
            if losses[-1] == min(losses):
                best = {name: array.copy() for name, array in model.state_dict().items()}
            elif len(losses) - 1 - np.argmin(losses) >= patience:
                break
    if best:
        model.load_state_dict(best)
    return history, {part: measure(model, digits) for part, digits in sets.items()}


def run(show: Show) -> Results:
    sets = parts()
    ways: dict = {
        show.text("nothing"): {},
        show.text("L1: 0.001·Σ|w|"): {"l1": 0.001},
        show.text("L2: 0.005·w in the gradient"): {"l2": 0.005},
        show.text("dropout of 30 %"): {"dropout": 0.3},
        show.text("batch normalisation"): {"normalise": True},
        show.text("early stopping"): {"patience": PATIENCE},
        show.text("clipped to norm 0.5"): {"clip_norm": 0.5},
        show.text("clipped to values of 0.005"): {"clip_value": 0.005},
    }
    runs = {name: train(sets, **options) for name, options in ways.items()}
    history, _ = runs[show.text("nothing")]
    point = viz.overfitting_point(history)
    viz.learning_curve(history, show.path("overfitting.png"), text=show.text)
    show.say("Without regularisation the network overfits after epoch {}.", point)

    rows = []
    for name, (_, parts_) in runs.items():
        (loss, _), (held_out, accuracy), (_, test) = parts_.values()
        rows.append([name, loss, held_out, held_out - loss, f"{accuracy:.1%}", f"{test:.1%}"])
    columns = [
        "regularisation",
        "training loss",
        "validation loss",
        "gap",
        "accuracy",
        "test accuracy",
    ]
    show.table("Cross entropy at the end, and accuracy on validation and test", columns, rows)
    keys = ("none", "L1", "L2", "dropout", "BatchNorm", "early stopping", "norm", "value")
    gaps = dict(zip(keys, (row[3] for row in rows), strict=True))
    return {"history": history, "point": point, "gaps": gaps, "sizes": [*map(len, sets.values())]}
