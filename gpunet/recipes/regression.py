"""Regression by one neuron: linear and Poisson.

With the identity and the mean squared error a neuron is linear regression, and gradient descent
walks to the solution that the normal equations give in closed form. With exp and the Poisson
likelihood the same neuron estimates a rate of events, and finds the coefficients behind the data.
"""

from __future__ import annotations

import numpy as np

import gpunet
from gpunet import functional as F
from gpunet import nn, optim
from gpunet.recipes.show import Results, Show
from gpunet.viz import style

ROWS = ("B1", "B3")


def descend(neuron, loss, X, y, lr, steps):
    """Full-batch gradient descent; returns (w, b) after every step."""
    X, y = gpunet.tensor(X), gpunet.tensor(y)
    optimizer = optim.SGD(neuron.parameters(), lr=lr)
    path = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss(neuron(X).flatten(), y).backward()
        optimizer.step()
        path.append(np.append(neuron.weight.detach().numpy(), neuron.bias.detach().numpy()))
    return np.array(path)


def linear():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(200, 3))
    y = X @ [2.0, -1.0, 0.5] + 3.0 + 0.5 * rng.normal(size=200)
    path = descend(nn.Linear(3, 1, dtype="float64"), F.mse_loss, X, y, lr=0.1, steps=100)
    ones = np.column_stack([X, np.ones(200)])
    closed = np.linalg.solve(ones.T @ ones, ones.T @ y)  # the normal equations
    errors = np.linalg.norm(path - closed, axis=1) / np.linalg.norm(closed)
    return path[-1], closed, errors


def poisson():
    rng = np.random.default_rng(2)
    x = rng.uniform(-2, 2, 5000)
    truth = np.array([0.8, 0.5])
    counts = rng.poisson(np.exp(truth[0] * x + truth[1])).astype(float)
    # The neuron gives the logarithm of the rate, so its output goes through exp.
    neuron = nn.Linear(1, 1, dtype="float64")
    path = descend(neuron, F.poisson_nll_loss, x[:, None], counts, lr=0.1, steps=400)
    return x, counts, truth, path[-1]


@style.look()
def draw(show, errors, x, counts, truth, found):
    figure = style.new_figure(9.4, 3.5)
    left = style.add_axes(figure, 0.8, 0.6, 3.6, 2.4)
    left.semilogy(np.arange(1, len(errors) + 1), errors, color=style.BLUE, linewidth=1.8)
    left.set_title(show.text("Linear: distance from the closed form"))
    left.set(xlabel=show.text("step"), ylabel=show.text("relative error"))
    left.yaxis.set_major_formatter("{x:g}")
    left.grid(axis="y")
    right = style.add_axes(figure, 5.2, 0.6, 3.9, 2.4)
    right.plot(x[:1000], counts[:1000], ".", color=style.LIGHT, markersize=3, alpha=0.5)
    at = np.linspace(-2, 2, 201)
    right.plot(at, np.exp(truth[0] * at + truth[1]), color=style.BLUE, linewidth=4, alpha=0.4)
    right.plot(at, np.exp(found[0] * at + found[1]), color=style.VERMILLION, linewidth=1.4)
    right.set_title(show.text("Poisson: counts and their mean"))
    right.set(xlabel="x", ylabel=show.text("count"), xticks=range(-2, 3))
    right.text(-1.9, 13.2, show.text("true"), color=style.BLUE)
    right.text(-1.9, 11.6, show.text("found"), color=style.VERMILLION)
    right.grid(axis="y")
    return show.figure("regression.png", figure)


def run(show: Show) -> Results:
    reached, closed, errors = linear()
    names = ("w1", "w2", "w3", "b")
    rows = [
        (n, f"{one:.6f}", f"{two:.6f}") for n, one, two in zip(names, reached, closed, strict=True)
    ]
    columns = ("parameter", "gradient descent", "closed form")
    show.table("Linear regression, after 100 steps", columns, rows)
    show.say("Relative error: {:.1e}.", errors[-1])

    x, counts, truth, found = poisson()
    rows = [(n, f"{one:.3f}", f"{two:.3f}") for n, one, two in zip("wb", found, truth, strict=True)]
    show.table("Poisson regression on 5,000 counts", ("parameter", "found", "true"), rows)
    draw(show, errors, x, counts, truth, found)
    return {
        "reached": reached, "closed": closed,
        "x": x, "counts": counts, "true": truth, "found": found,
    }  # fmt: skip
