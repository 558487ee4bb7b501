"""Convolution and pooling: what they compute, and what the filters find.

A filter of k × k weights slides over the picture, and ⌊(n + 2p − k) / s⌋ + 1 places are left of n.
The network of the lecture, trained on clothes, shows its first filters and the maps they make.
"""

from __future__ import annotations

import numpy as np

import gpunet
from gpunet import data, nn, optim, viz
from gpunet import functional as F
from gpunet.recipes.show import Results, Show

ROWS = ("H2",)


def windows(x, k, stride, padding):
    """(C, H', W', k, k) what lies under a window of k × k at each of its places; 0 outside."""
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    view = np.lib.stride_tricks.sliding_window_view(padded, (k, k), (1, 2))
    return view[:, ::stride, ::stride]


def convolved(x, W, b, stride, padding):
    """y[f, i, j] = b[f] + Σ W[f] ⊙ (what lies under the filter), the formula of the lecture."""
    seen = windows(x, W.shape[-1], stride, padding)
    return np.einsum("chwij,fcij->fhw", seen, W) + b[:, None, None]


def network():
    """[Conv → Act → BN → Pool] × 2 → Flatten → [Dense → Act → Dropout] → Dense."""
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 5, padding="same"), nn.ReLU(), nn.BatchNorm2d(16), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 16, 3, padding="same"), nn.ReLU(), nn.BatchNorm2d(16), nn.MaxPool2d(2)),
        nn.Flatten(),
        *(nn.Linear(16 * 7 * 7, 64), nn.ReLU(), nn.Dropout(0.25)),
        nn.Linear(64, 10),
    )


def train(model, dataset, steps=300):
    loader = iter(data.DataLoader(dataset, 32, shuffle=True, seed=1))
    optimizer = optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(steps):
        pictures, labels = next(loader)
        loss = F.cross_entropy(model(gpunet.tensor(pictures)), gpunet.tensor(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@gpunet.no_grad()
def accuracy(model, dataset):
    model.eval()
    answers = [model(gpunet.tensor(x)).argmax(1).numpy() for x, _ in data.DataLoader(dataset, 500)]
    return np.mean(np.concatenate(answers) == dataset.targets)


def run(show: Show) -> Results:
    rng = np.random.default_rng(0)
    x, n = rng.normal(size=(3, 28, 28)), 28
    rows, errors = [], []
    for filters, k, stride, padding, p in (  # p: what the padding comes to
        (8, 3, 1, "valid", 0),
        (8, 3, 1, "same", 1),
        (4, 5, 1, "same", 2),
        (4, 5, 2, 2, 2),
        (16, 3, 2, 1, 1),
        (2, 7, 3, 0, 0),
    ):
        layer = nn.Conv2d(3, filters, k, stride, padding, dtype="float64")
        W, b = (weight.detach().numpy() for weight in layer.parameters())
        expected = convolved(x, W, b, stride, p)
        y = layer(gpunet.tensor(x[None])).detach().numpy()[0]
        errors.append(np.abs(y - expected).max())
        size = (n + 2 * p - k) // stride + 1
        rows.append([filters, k, stride, str(padding), size, str(y.shape), errors[-1]])
    columns = "filters", "k", "stride", "padding", "⌊(n+2p−k)/s⌋+1", "output", "difference"
    show.table("Convolutions of a picture of 3 × 28 × 28", columns, rows)

    rows = []
    for k, stride in ((2, 2), (3, 2)):
        seen = windows(x, k, stride, 0)
        for name, pooled, expected in (
            ("max", F.max_pool2d(gpunet.tensor(x), k, stride), seen.max((-2, -1))),
            ("average", F.avg_pool2d(gpunet.tensor(x), k, stride), seen.mean((-2, -1))),
        ):
            errors.append(np.abs(pooled.numpy() - expected).max())
            rows.append([show.text(name), k, stride, str(pooled.shape), errors[-1]])
    show.table("Pooling", ["kind", "k", "stride", "output", "difference"], rows)
    flat = nn.Flatten()(gpunet.tensor(x[None])).shape[1]
    show.say("Flattened, the picture has {:,} features.", flat)

    clothes, test = data.load("fashion_mnist", "train"), data.load("fashion_mnist", "test")
    model = network()
    train(model, clothes)
    share = accuracy(model, test)
    show.say("After 300 steps on pictures of clothes, {:.1%} of the test set are right.", share)
    viz.filters(model[0].weight.detach().numpy(), show.path("filters.png"), text=show.text)
    viz.feature_maps(model, test.inputs[0], show.path("feature_maps.png"), text=show.text)
    return {"differences": errors, "flat": flat, "accuracy": share}
