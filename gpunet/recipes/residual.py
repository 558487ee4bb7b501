"""Residual connections: 44 layers that learn, and 44 that do not.

Two networks with the same 44 layers and weights learn the digits for two epochs; in one of them,
each pair of layers adds what it finds to its input, f(x) + x. That one reads the digits, the plain
one hardly begins.
"""

from __future__ import annotations

import numpy as np

import gpunet
from gpunet import data, models, nn, optim
from gpunet import functional as F
from gpunet.recipes.show import Results, Show
from gpunet.viz import style

ROWS = ("H3",)

DEPTH = 44
COLOURS = {"plain": style.VERMILLION, "residual": style.BLUE}


def train(model, dataset, epochs=2):
    """SGD with momentum; returns the loss of each batch, and the gradients' norms in the first."""
    loader = data.DataLoader(dataset, 64, shuffle=True, seed=1)
    optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    losses, norms = [], None
    for _ in range(epochs):
        for pictures, digits in loader:
            loss = F.cross_entropy(model(gpunet.tensor(pictures)), gpunet.tensor(digits))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            norms = norms or gradient_norms(model)
    return losses, norms


def gradient_norms(model):
    """Of the weights of each convolution, the first layer's first."""
    weights = [m.weight for m in model.modules() if isinstance(m, nn.Conv2d)]
    return [nn.utils.get_total_norm(w.grad).item() for w in weights if w.grad is not None]


@gpunet.no_grad()
def accuracy(model, dataset):
    model.eval()
    answers = model(gpunet.tensor(dataset.inputs)).argmax(1).numpy()
    return np.mean(answers == dataset.targets)


def run(show: Show) -> Results:
    train_set, test_set = data.load("digits", "train"), data.load("digits", "test")
    losses, norms, shares, rows = {}, {}, {}, []
    for name in ("plain", "residual"):
        gpunet.manual_seed(1)  # the same first weights
        model = models.ResNet(DEPTH, in_channels=1, residual=name == "residual")
        losses[name], norms[name] = train(model, train_set)
        shares[name] = accuracy(model, test_set)
        weights = sum(p.numel() for p in model.parameters())
        last = np.mean(losses[name][-20:])
        rows.append(
            [show.text(name), DEPTH, show.text("{:,}").format(weights), last, f"{shares[name]:.1%}"]
        )
    columns = ["network", "layers", "parameters", "loss of the last 20 batches", "test accuracy"]
    show.table("The same layers, with and without shortcuts", columns, rows)
    show.say(
        "With residual connections {:.1%} of the test digits are right, without them {:.1%}.",
        shares["residual"],
        shares["plain"],
    )
    draw(show, losses, norms)
    return {"accuracy": shares, "losses": losses, "norms": norms}


@style.look()
def draw(show, losses, norms):
    """Left the loss of each batch, right the gradient of each layer at the first step."""
    figure = style.new_figure(9.6, 3.4)
    left = style.add_axes(figure, 0.7, 0.6, 3.9, 2.2)
    right = style.add_axes(figure, 5.5, 0.6, 3.9, 2.2)
    for name, colour in COLOURS.items():
        smooth = np.convolve(losses[name], np.ones(5) / 5, "valid")
        left.plot(range(5, len(smooth) + 5), smooth, color=colour)
        left.text(len(smooth), smooth[-1] + 0.15, show.text(name), color=colour, ha="right")
        right.semilogy(range(1, len(norms[name]) + 1), norms[name], ".-", color=colour)
    left.set(title=show.text("Loss (mean of 5 batches)"), xlabel=show.text("batch"), ylim=0)
    right.set(title=show.text("Norm of the first gradient"), xlabel=show.text("convolution"))
    right.yaxis.set_major_formatter("{x:g}")
    for axes in (left, right):
        axes.grid(axis="y")
    show.figure("residual.png", figure)
