"""Backpropagation by hand, beside what autograd finds.

Every formula of the lecture is written out in NumPy: one neuron, the recursion from layer to layer,
sums, products, and the exercise at the board. Autograd gives the same numbers to the last digits,
and two networks that descend by either stay together.
"""

from __future__ import annotations

import numpy as np

import gpunet
from gpunet import functional as F
from gpunet import nn, optim, viz
from gpunet.recipes.show import Results, Show

ROWS = ("D1", "D2", "D3", "D6", "D7")
HOW = ("autograd", "hand")


def leaf(array):
    return gpunet.tensor(array, requires_grad=True)


def by_autograd(loss, *leaves):
    return [g.numpy() for g in gpunet.grad(loss, leaves)]


def one_neuron(rng):
    """L = ½(ŷ − y)², ŷ = σ(wᵀx + b): ∂L/∂w = (ŷ − y)·σ'(z)·x, ∂L/∂b = (ŷ − y)·σ'(z)."""
    x, w, b, y = rng.normal(size=4), rng.normal(size=4), np.array(0.3), 1.0
    tw, tb = leaf(w), leaf(b)
    found = by_autograd((F.sigmoid(tw @ gpunet.tensor(x) + tb) - y) ** 2 / 2, tw, tb)
    a = 1 / (1 + np.exp(-(w @ x + b)))
    delta = (a - y) * a * (1 - a)
    return {"∂L/∂w": (found[0], delta * x), "∂L/∂b": (found[1], delta)}


def recursion(rng):
    """dZ = dA ⊙ f'(Z), dW = dZᵀ·A_prev, db = Σ dZ, dA_prev = dZ·W, from the last on."""
    X, T = rng.normal(size=(8, 4)), rng.normal(size=(8, 2))
    layers = [nn.Linear(m, n, dtype="float64") for m, n in ((4, 6), (6, 5), (5, 2))]
    x = leaf(X)
    leaves = [x, *(p for layer in layers for p in (layer.weight, layer.bias))]
    A = x
    for layer in layers:
        A = F.tanh(layer(A))
    found = by_autograd(F.mse_loss(A, gpunet.tensor(T), reduction="sum") / 2, *leaves)

    outputs = [X]
    for layer in layers:
        W, b = layer.weight.detach().numpy(), layer.bias.detach().numpy()
        outputs.append(np.tanh(outputs[-1] @ W.T + b))
    dA, by_hand = outputs[-1] - T, list[np.ndarray]()
    for layer in reversed(layers):
        dZ = dA * (1 - outputs.pop() ** 2)
        by_hand = [dZ.T @ outputs[-1], dZ.sum(0), *by_hand]
        dA = dZ @ layer.weight.detach().numpy()
    names = ["∂L/∂X", *(f"{kind}{n}" for n in (1, 2, 3) for kind in ("∂L/∂W", "∂L/∂b"))]
    return dict(zip(names, zip(found, [dA, *by_hand], strict=True), strict=True))


def sum_and_product(rng):
    """A sum passes dY on, added up over broadcast axes; X·W passes dY·Wᵀ and Xᵀ·dY."""
    X, W, b, dY = (rng.normal(size=s) for s in ((5, 3), (3, 2), 2, (5, 2)))
    x, w, bias = leaf(X), leaf(W), leaf(b)
    (((x @ w) + bias) * gpunet.tensor(dY)).sum().backward()
    return {
        "X·W, by X": (x.grad.numpy(), dY @ W.T),
        "X·W, by W": (w.grad.numpy(), X.T @ dY),
        "+ b, by b": (bias.grad.numpy(), dY.sum(0)),
    }


def board(rng, steps=200, lr=0.05):
    """ŷ = tanh(ReLU(X·W1 + b1)·W2 + b2) and the mean squared error; SGD by hand and by gpunet."""
    X = rng.normal(size=(64, 2))
    Y = np.tanh(X[:, :1] * X[:, 1:])
    params = [rng.normal(size=s) for s in ((2, 16), 16, (16, 1), 1)]
    leaves = [leaf(p.copy()) for p in params]
    optimizer, losses = optim.SGD(leaves, lr=lr), []
    for _ in range(steps):
        W1, b1, W2, b2 = leaves
        out = F.tanh(F.relu(gpunet.tensor(X) @ W1 + b1) @ W2 + b2)
        loss = F.mse_loss(out, gpunet.tensor(Y))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

        W1, b1, W2, b2 = params
        Z1 = X @ W1 + b1
        A1 = np.maximum(Z1, 0)
        out = np.tanh(A1 @ W2 + b2)
        losses.append((loss.item(), ((out - Y) ** 2).mean()))
        d2 = 2 * (out - Y) / len(X) * (1 - out**2)
        d1 = d2 @ W2.T * (Z1 > 0)
        steps_back = X.T @ d1, d1.sum(0), A1.T @ d2, d2.sum(0)
        params = [p - lr * g for p, g in zip(params, steps_back, strict=True)]
    names = ("W1", "b1", "W2", "b2")
    pairs = zip([p.detach().numpy() for p in leaves], params, strict=True)
    return dict(zip(names, pairs, strict=True)), np.array(losses)


def run(show: Show) -> Results:
    rng = np.random.default_rng(0)
    found = {
        "one neuron": one_neuron(rng), "layer by layer": recursion(rng),
        "sums and products": sum_and_product(rng),
    }  # fmt: skip
    found["board"], losses = board(rng)
    rows = []
    for part, pairs in found.items():
        for name, (one, two) in pairs.items():
            rows.append((show.text(part), name, f"{abs(one - two).max():.0e}"))
    show.table("By autograd and by hand", ("part", "gradient", "largest difference"), rows)
    curves = {show.text(f"SGD by {how}"): losses[:, i] for i, how in enumerate(HOW)}
    names = {"x_label": show.text("step"), "beneath": next(iter(curves))}
    viz.lines({show.text("Loss at the board"): curves}, show.path("board.png"), **names)
    return {**found, "losses": losses}
