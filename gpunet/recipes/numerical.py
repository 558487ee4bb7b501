"""Numerical differentiation, and the check of gradients made of it.

The error of (L(w + δ) − L(w − δ)) / 2δ falls with δ² until rounding takes over, so that the best δ
lies in between, and every number of a gradient costs two evaluations. Autograd has all of them from
one pass, and `gradcheck` compares the two: a gradient that is wrong by 1 % is caught.
"""

from __future__ import annotations

import time

import numpy as np

import gpunet
from gpunet import functional as F
from gpunet import nn, viz
from gpunet.autograd import Op, apply
from gpunet.errors import GradError
from gpunet.recipes.show import Results, Show

ROWS = ("D4",)


def loss_of(w, dtype):
    """A small network's loss as a function of one of its weights, and its derivative."""
    rng = np.random.default_rng(0)
    first = rng.normal(size=(3, 4))
    first[0, 0] = w
    W1 = gpunet.tensor(first, dtype=dtype, requires_grad=True)
    shapes = (16, 3), (4, 1), (16, 1)
    X, W2, T = (gpunet.tensor(rng.normal(size=s), dtype=dtype) for s in shapes)
    loss = F.mse_loss(F.tanh(X @ W1) @ W2, T)
    (g,) = gpunet.grad(loss, W1)
    return loss.item(), g.numpy()[0, 0]


def difference(w, delta, dtype):
    """The slope between two points: (L(w + δ) − L(w − δ)) / 2δ."""
    return (loss_of(w + delta, dtype)[0] - loss_of(w - delta, dtype)[0]) / (2 * delta)


def cost(inputs=64, hidden=32):
    """Seconds that a gradient takes by differences and by one backward pass, and both gradients."""
    model = nn.Sequential(nn.Linear(inputs, hidden, dtype="float64"), nn.Tanh())
    x, weight = gpunet.randn(8, inputs, dtype="float64"), model[0].weight

    def loss():
        return (model(x) ** 2).mean()

    loss().backward()  # the first time may compile
    model.zero_grad()
    start = time.perf_counter()
    loss().backward()
    once = time.perf_counter() - start
    numbers, flat, delta = np.empty(weight.numel()), weight.detach().reshape(-1), 1e-5
    start = time.perf_counter()
    with gpunet.no_grad():
        for i in range(len(numbers)):
            w = flat[i].item()
            flat[i] = w + delta
            above = loss().item()
            flat[i] = w - delta
            numbers[i] = (above - loss().item()) / (2 * delta)
            flat[i] = w
    return once, time.perf_counter() - start, weight.grad.numpy().reshape(-1), numbers


class WrongTanh(Op):
    """tanh with a gradient that is 1 % too large: what a slip in a derivation looks like."""

    def forward(self, be, x):
        self.saved = be.xp.tanh(x)
        return self.saved

    def backward(self, be, gy):
        return gy * (1 - self.saved**2) * 1.01


def verdict(function):
    """What `gradcheck` says of a function: "agrees", or the message of its error."""
    x = gpunet.tensor(np.linspace(-2, 2, 9), requires_grad=True)
    try:
        gpunet.gradcheck(function, [x])
    except GradError as error:
        return str(error)
    return "agrees"


def run(show: Show) -> Results:
    deltas = 10.0 ** np.arange(-12, 0.25, 0.25)
    exact = loss_of(0.5, "float64")[1]
    errors = {
        dtype: [abs(difference(0.5, delta, dtype) / exact - 1) for delta in deltas]
        for dtype in ("float64", "float32")
    }
    best = {dtype: deltas[np.argmin(values)] for dtype, values in errors.items()}
    rows = [(dtype, f"{best[dtype]:.0e}", f"{min(values):.0e}") for dtype, values in errors.items()]
    show.table("The best δ", ("dtype", "δ", "relative error"), rows)
    title = show.text("Relative error of (L(w + δ) − L(w − δ)) / 2δ")
    visible = {name: [max(v, 1e-13) for v in values] for name, values in errors.items()}
    viz.lines(
        {title: visible}, show.path("differences.png"), x=deltas.tolist(), x_label="δ", log="xy"
    )

    once, many, autograd, numbers = cost()
    columns = ("weights", "backward pass, ms", "differences, ms", "largest difference")
    row = (len(numbers), once * 1e3, many * 1e3, abs(autograd - numbers).max())
    show.table("What a gradient costs", columns, [row])

    judged = {"tanh": verdict(F.tanh), "WrongTanh": verdict(lambda x: apply(WrongTanh(), x))}
    for name, text in judged.items():
        show.say("gradcheck, {}: {}", name, show.text(text) if text == "agrees" else text)
    return {"exact": exact, "errors": errors, "gradients": (autograd, numbers), "judged": judged}
