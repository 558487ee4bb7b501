"""Gradients that vanish or explode in 100 layers, and what helps.

With small first weights the gradient loses half of itself in every tanh layer, and with large ones
it grows until nothing can be learned. ReLU with He's weights, Xavier's weights, normalisation and
residual paths each bring the first layer's gradient back to within a few powers of ten of the last
one's, and clipping bounds what has exploded.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import gpunet
from gpunet import data, nn, viz
from gpunet import functional as F
from gpunet.recipes.show import Results, Show
from gpunet.train.diagnostics import gradient_norms

ROWS = ("E1", "E2", "E3")
DEPTH, WIDTH = 100, 64


class Residual(nn.Module):
    """x + f(x): the gradient has a way around f."""

    def __init__(self, f):
        self.f = f

    def forward(self, x):
        return x + self.f(x)


def network(activation=nn.Tanh, draw=None, normalise=False, residual=False):
    """100 hidden layers; `draw` fills their weights, which are uniform in ±1/√64 without it."""
    layers = []
    for _ in range(DEPTH):
        linear = nn.Linear(WIDTH, WIDTH)
        if draw:
            draw(linear.weight)
        norm = [nn.BatchNorm1d(WIDTH)] if normalise else []
        block = nn.Sequential(linear, *norm, activation())
        layers.append(Residual(block) if residual else block)
    return nn.Sequential(*layers, nn.Linear(WIDTH, 10))


def backward(model, digits):
    """One backward pass for 128 digits; returns |∂L/∂W| of each hidden layer."""
    x = gpunet.tensor(digits.inputs.reshape(-1, 64))
    F.cross_entropy(model(x), gpunet.tensor(digits.targets)).backward()
    return layer_norms(model)


def layer_norms(model):
    """The norms that the diagnostics give, of the hidden layers' weights alone."""
    weights = [name for name, p in model.named_parameters() if p.shape == (WIDTH, WIDTH)]
    norms = gradient_norms(model)
    return np.array([norms[name] for name in weights])


def large(weight):
    nn.init.normal_(weight, std=3 / WIDTH**0.5)


def he(weight):
    nn.init.kaiming_normal_(weight, nonlinearity="relu")


def run(show: Show) -> Results:
    t = gpunet.tensor([0.0, 1.0, 2.0, 5.0, 10.0, 15.0], dtype="float64", requires_grad=True)
    F.tanh(t).sum().backward()
    slopes = dict(zip(t.tolist(), t.grad.tolist(), strict=True))
    show.table("Far from 0, tanh has no slope", ["t", "tanh′(t)"], slopes.items())

    digits = data.load("digits", "train").subset(range(128))
    small, big = show.text("small weights, tanh"), show.text("large weights, tanh")
    norms = {small: backward(network(), digits)}
    exploded = network(draw=large)
    norms[big] = backward(exploded, digits)
    axes: dict[str, Any] = {
        "x_label": show.text("Layer, counted from the input"),
        "y_label": show.text("Norm of the gradient of the weights"),
        "log": "y",
    }
    title = show.text("100 layers, gradients before the first step")
    viz.lines({title: norms}, show.path("depth.png"), **axes)

    remedies = {
        show.text("ReLU, He's weights"): backward(network(nn.ReLU, he), digits),
        show.text("tanh, Xavier's weights"): backward(network(draw=nn.init.xavier_normal_), digits),
        show.text("tanh, batch normalisation"): backward(network(normalise=True), digits),
        show.text("tanh, residual paths"): backward(network(residual=True), digits),
    }
    nn.utils.clip_grad_norm_(exploded.parameters(), max_norm=1.0)
    remedies[show.text("large weights, clipped")] = layer_norms(exploded)

    norms.update(remedies)
    rows = [[name, g[0], g[-1], g[0] / g[-1], g.max()] for name, g in norms.items()]
    columns = ["network", "first layer", "last layer", "first / last", "largest"]
    show.table("Gradient norms in the same 100 layers", columns, rows)
    viz.lines({title: norms}, show.path("remedies.png"), **axes)
    show.say(
        "Clipping keeps the direction of the whole gradient and bounds its length: {:.2g} before, "
        "{:.2g} after. The ratio of the layers stays, so it is a remedy for explosions alone.",
        np.linalg.norm(norms[big]),
        np.linalg.norm(remedies[show.text("large weights, clipped")]),
    )
    keys = ("small", "large", "ReLU", "Xavier", "BatchNorm", "residual", "clipped")
    return {"slopes": slopes, **dict(zip(keys, norms.values(), strict=True))}
