"""Many to many, in step: capitals put back into Shakespeare.

The text goes in without capitals; a GRU in both directions says of each letter whether it was one.
It helps to look ahead: the colon behind a name tells that somebody speaks, whose name is in
capitals.
"""

from __future__ import annotations

import numpy as np

import gpunet
from gpunet import data, nn, optim, viz
from gpunet import functional as F
from gpunet.recipes.show import Results, Show

ROWS = ("I2",)


class Tagger(nn.Module):
    """Letters (N, T) -> scores (N, T) that each of them is a capital."""

    def __init__(self, letters, hidden=64, bidirectional=True):
        self.embedding = nn.Embedding(letters, 32)
        self.gru = nn.GRU(32, hidden, batch_first=True, bidirectional=bidirectional)
        self.score = nn.Linear(hidden * (1 + bidirectional), 1)

    def forward(self, letters):
        return self.score(self.gru(self.embedding(letters))[0]).squeeze(-1)


def load(split, length=80):
    """Windows without capitals, which of their letters were capitals, and the vocabulary."""
    dataset = data.load("tinyshakespeare", split, length)
    number = {letter: i for i, letter in enumerate(dataset.classes)}
    small = np.array([number[letter.lower()] for letter in dataset.classes])
    return small[dataset.inputs], small[dataset.inputs] != dataset.inputs, dataset.classes


def train(model, letters, capitals, steps=500):
    rng = np.random.default_rng(1)
    optimizer = optim.Adam(model.parameters(), lr=4e-3)
    losses = []
    for _ in range(steps):
        chosen = rng.integers(0, len(letters), 32)
        scores = model(gpunet.tensor(letters[chosen]))
        loss = F.binary_cross_entropy_with_logits(
            scores, gpunet.tensor(capitals[chosen], dtype="float32")
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def f1(found, truth):
    """The harmonic mean of precision and recall: 2·|both| / (|found| + |truth|)."""
    return 2 * (found & truth).sum() / (found.sum() + truth.sum())


def after_a_new_line(letters, classes):
    """The simple rule to compare with: what follows a new line is a capital."""
    return np.pad(letters == classes.index("\n"), ((0, 0), (1, 0)))[:, :-1]


def run(show: Show) -> Results:
    letters, capitals, classes = load("train")
    test, truth, _ = load("test")
    found = {"after a new line": after_a_new_line(test, classes)}
    losses = {}
    for name, both in (("GRU, forwards", False), ("GRU, both directions", True)):
        model = Tagger(len(classes), bidirectional=both)
        losses[name] = train(model, letters, capitals)
        with gpunet.no_grad():
            found[name] = model(gpunet.tensor(test)).numpy() > 0
    scores = {name: f1(each, truth) for name, each in found.items()}
    rows = [
        [show.text(name), f"{(each == truth).mean():.2%}", f"{scores[name]:.3f}"]
        for name, each in found.items()
    ]
    show.table("Capitals of the test text", ["tagger", "letters right", "F1"], rows)

    small = np.array([classes[i] for i in test[:6].reshape(-1)])
    answer = found["GRU, both directions"][:6].reshape(-1)
    restored = "".join(np.where(answer, np.char.upper(small), small))
    show.say("In goes\n\n{}\n\nand out comes\n\n{}", "".join(small), restored)
    smooth = {show.text(k): np.convolve(v, np.ones(20) / 20, "valid") for k, v in losses.items()}
    viz.lines(
        {show.text("Loss (nats a letter, mean of 20 batches)"): smooth},
        show.path("tagging.png"),
        x=range(20, len(next(iter(losses.values()))) + 1),
        x_label=show.text("batch"),
        log="y",
    )
    return {"f1": scores, "restored": restored, "losses": losses}
