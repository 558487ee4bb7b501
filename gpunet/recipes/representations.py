"""Representation learning: digits as pixels, and in the last hidden layer.

As pixels, pictures of one digit point in rather different directions, so the compactness
hypothesis hardly holds. The last hidden layer of a trained network turns them the same way, and
the classes part.
"""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np

import gpunet
from gpunet import data, nn, optim, viz
from gpunet import functional as F
from gpunet.recipes.show import Results, Show

ROWS = ("G4",)
EPOCHS = 15


def train(digits):
    """Three layers; returns what stands before the last one, and the whole network."""
    body = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 32), nn.Tanh())
    model = nn.Sequential(body, nn.Linear(32, 10))
    optimizer = optim.Adam(model.parameters(), lr=0.003)
    loader = data.DataLoader(digits, batch_size=64, shuffle=True)
    for _ in range(EPOCHS):
        for inputs, targets in loader:
            loss = F.cross_entropy(model(gpunet.tensor(inputs)), gpunet.tensor(targets))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return body, model


def cosines(x, labels):
    """Mean cosine of two different pictures of one class, and of two pictures of two classes.

    Vectors are taken from their common mean: brightness that all pictures share says nothing.
    """
    x = x - x.mean(axis=0)
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    similarity = x @ x.T
    same = labels[:, None] == labels
    others = ~np.eye(len(x), dtype=bool)
    return float(similarity[same & others].mean()), float(similarity[~same].mean())


def run(show: Show) -> Results:
    body, model = train(data.load("digits", "train"))
    test = data.load("digits", "test").subset(range(600))
    labels = test.targets
    with gpunet.no_grad():
        x = gpunet.tensor(test.inputs)
        scores, hidden = model(x).numpy(), body(x).numpy()
    spaces = {
        show.text("pixels"): test.inputs.reshape(len(test), -1),
        show.text("last hidden layer"): hidden,
    }
    figures = {name: cosines(v, labels) for name, v in spaces.items()}
    rows = [[name, *pair] for name, pair in figures.items()]
    columns = ["space", "same digit", "different digits"]
    show.table("Mean cosine between pictures of the test set", columns, rows)
    show.say("The network has {:.1%} of them right.", (scores.argmax(1) == labels).mean())
    title = show.text("600 digits of the test set, two principal components")
    viz.projection(spaces, labels, test.classes, show.path("projection.png"), title=title)
    title = show.text("The same digits by t-SNE: who is near to whom")
    if find_spec("sklearn"):  # an extra of gpunet
        flat = {name: viz.tsne(vectors) for name, vectors in spaces.items()}
        viz.projection(flat, labels, test.classes, show.path("neighbours.png"), title=title)
    keys = ("pixels", "hidden")
    return dict(zip(keys, figures.values(), strict=True))
