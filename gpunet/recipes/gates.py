"""Gates from one neuron, and XOR from two layers.

A neuron that fires when b + w·x is above 0 is an AND, a NAND or an OR, by hand or by learning,
since one line parts their answers. No line parts those of XOR: one neuron stays at three of four
or less, two layers of them have all four.
"""

from __future__ import annotations

import numpy as np

import gpunet
from gpunet import functional as F
from gpunet import nn, optim
from gpunet.recipes.show import Results, Show
from gpunet.viz import style

ROWS = ("A1", "A2", "A3")

X = gpunet.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
TRUTH = {"AND": [0, 0, 0, 1], "NAND": [1, 1, 1, 0], "OR": [0, 1, 1, 1], "XOR": [0, 1, 1, 0]}


def perceptron(x, w, b):
    """1 where the weighted sum is above the threshold, else 0."""
    return F.step(x @ gpunet.tensor(w) + b)


def AND(x):
    return perceptron(x, [0.5, 0.5], -0.7)


def NAND(x):
    return perceptron(x, [-0.5, -0.5], 0.7)


def OR(x):
    return perceptron(x, [0.5, 0.5], -0.2)


def XOR(x):
    return AND(F.stack([NAND(x), OR(x)], 1))


def learn(truth, epochs=25, rate=0.1):
    """Rosenblatt's rule: after a wrong answer, w += rate·(t − y)·x and b += rate·(t − y)."""
    w, b = 0.1 * np.random.default_rng(4).normal(size=2), 0.05
    for _ in range(epochs):
        for x, t in zip(X.numpy(), truth, strict=True):
            error = t - (w @ x + b > 0)
            w, b = w + rate * error * x, b + rate * error
    return w, b


def half_plane(w, b):
    return lambda x: x @ w + b > 0


def train(model, epochs=2000):
    """Gradient descent on XOR with cross entropy; returns the share it has right."""
    t = gpunet.tensor(TRUTH["XOR"], dtype="float32").reshape(4, 1)
    optimizer = optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    for _ in range(epochs):
        loss = F.binary_cross_entropy_with_logits(model(X), t)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return ((model(X) > 0) == t).float().mean().item()


@style.look()
def draw(show, planes):
    """The half planes of each gate: blue where it answers 1, red where it answers 0."""
    from matplotlib.colors import to_rgb

    tints = [style.toward(to_rgb(colour), 0.25) for colour in (style.VERMILLION, style.BLUE)]
    grid = np.stack(np.meshgrid(*[np.linspace(-0.5, 1.5, 201)] * 2), -1)
    figure = style.new_figure(9.6, 3.15)
    style.add_note(figure, 0.5, 2.95, show.text("blue circles: 1; vermillion squares: 0"))
    for place, (name, answer) in enumerate(planes.items()):
        axes = style.add_axes(figure, 0.5 + 2.3 * place, 0.8, 1.9, 1.9)
        inside = answer(grid.reshape(-1, 2)).reshape(201, 201)
        axes.contourf(grid[..., 0], grid[..., 1], inside, levels=[-0.5, 0.5, 1.5], colors=tints)
        for (x1, x2), t in zip(X.numpy(), TRUTH[name], strict=True):
            colour, marker = (style.BLUE, "o") if t else (style.VERMILLION, "s")
            axes.plot(x1, x2, marker, color=colour, markersize=8)
        axes.set(xticks=[0, 1], yticks=[0, 1], title=name, xlabel="x1", aspect="equal")
        if place == 0:
            axes.set_ylabel("x2", rotation=0)
    return show.figure("boundaries.png", figure)


def run(show: Show) -> Results:
    by_hand = {"AND": AND, "NAND": NAND, "OR": OR, "XOR": XOR}
    tables = {name: gate(X).numpy().astype(int).tolist() for name, gate in by_hand.items()}
    rows = np.column_stack([X.numpy().astype(int), *tables.values()]).tolist()
    show.table("Gates with weights set by hand", ["x1", "x2", *tables], rows)

    learned = {name: learn(TRUTH[name]) for name in ("AND", "NAND", "OR", "XOR")}
    shares = {
        name: np.mean((X.numpy() @ w + b > 0) == TRUTH[name]) for name, (w, b) in learned.items()
    }
    rows = [[name, *w, b, f"{shares[name]:.0%}"] for name, (w, b) in learned.items()]
    show.table("Gates learned from their truth tables", ["gate", "w1", "w2", "b", "right"], rows)

    one = train(nn.Linear(2, 1))
    two = train(nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1)))
    show.say("XOR by gradient descent: one neuron has {:.0%} right, two layers {:.0%}.", one, two)

    planes: dict = {name: half_plane(w, b) for name, (w, b) in learned.items()}
    planes["XOR"] = lambda x: XOR(gpunet.tensor(x, dtype="float32")).numpy()
    draw(show, planes)
    return {"by hand": tables, "learned": shares, "one neuron": one, "two layers": two}
