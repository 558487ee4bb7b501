"""The computation graph, drawn from the backward pass.

Autograd remembers what was computed from what: for logistic regression that x and w give z, z gives
a, and a the loss. Backwards along the arrows each value gets its gradient, which stands in the
picture beside the value itself.
"""

from __future__ import annotations

import numpy as np

import gpunet
from gpunet import functional as F
from gpunet import nn, viz
from gpunet.recipes.show import Results, Show

ROWS = ("D5",)


def logistic_regression():
    """z := wᵀx, a := σ(z), L := −log a, with the values that all of them have."""
    x = gpunet.tensor([1.0, 2.0], requires_grad=True)
    w = gpunet.tensor([0.5, -0.25], requires_grad=True)
    z = w @ x
    a = F.sigmoid(z)
    L = -F.log(a)
    return L, {"x": x, "w": w, "z": z, "a": a, "L": L}


def two_layers():
    """A network of two layers on eight objects: Z¹ = X·W¹ᵀ + b¹, A¹ = σ(Z¹), and so on."""
    rng = np.random.default_rng(0)
    X = gpunet.tensor(rng.normal(size=(8, 4)), dtype="float32", requires_grad=True)
    y = gpunet.tensor(rng.integers(0, 3, 8))
    first, second = nn.Linear(4, 5), nn.Linear(5, 3)
    Z1 = first(X)
    A1 = F.sigmoid(Z1)
    Z2 = second(A1)
    L = F.cross_entropy(Z2, y)
    parameters = {"W¹": first.weight, "b¹": first.bias, "W²": second.weight, "b²": second.bias}
    return L, {"X": X, **parameters, "Z¹": Z1, "A¹": A1, "Z²": Z2, "L": L}


def run(show: Show) -> Results:
    L, names = logistic_regression()
    paths = [show.path("logistic.svg"), show.path("logistic.png")]
    for path in paths:
        viz.graph(L, path, names=names, values=True)
    values = {name: t.detach().numpy().tolist() for name, t in names.items()}
    tensors = list(names.values())
    found = gpunet.grad(L, tensors, retain_graph=True)
    gradients = {name: g.numpy().tolist() for name, g in zip(names, found, strict=True)}
    rows = [(name, f"{values[name]}", f"{gradients[name]}") for name in names]
    show.table("Logistic regression, value by value", ("node", "value", "gradient"), rows)

    L2, names2 = two_layers()
    viz.graph(L2, show.path("two_layers.png"), names=names2)
    show.say("Two layers: a loss of {:.4f}, {} values in the picture.", L2.item(), len(names2))
    return {"values": values, "gradients": gradients, "two layers": list(names2)}
