"""Step neurons by hand: a staircase that follows a function.

A neuron with a step function is 1 to the right of a point s, so two of them make one stair, and
five, with the weights of the lecture, three stairs. With as many stairs as one likes, each as high
as the function in its middle, the staircase comes as close to it as one likes.
"""

from __future__ import annotations

import numpy as np

import gpunet
from gpunet import functional as F
from gpunet import nn, viz
from gpunet.recipes.show import Results, Show

ROWS = ("G1",)
# Where each neuron of the first layer switches on, and its weight in the second.
LECTURE = [(0.35, 0.8), (0.7, -0.8), (0.7, 1.5), (0.0, 0.4), (0.35, -0.4)]


def f(x):
    return 0.2 + 0.4 * x**2 + 0.3 * x * np.sin(15 * x) + 0.1 * np.cos(50 * x)


class Steps(nn.Module):
    """Σ w·I{x − s > 0}: a layer of step neurons, and one neuron that adds them up."""

    def __init__(self, neurons):
        s, w = np.array(neurons).T
        self.hidden, self.out = nn.Linear(1, len(s)), nn.Linear(len(s), 1, bias=False)
        state = {"hidden.weight": np.ones((len(s), 1)), "hidden.bias": -s, "out.weight": w[None]}
        self.double().load_state_dict(state)

    def forward(self, x):
        return self.out(F.step(self.hidden(x)))


@gpunet.no_grad()
def values(neurons, x):
    return Steps(neurons)(gpunet.tensor(x[:, None])).numpy()[:, 0]


def staircase(count):
    """Neurons for `count` stairs of equal width: each adds what the next stair is higher."""
    edges = np.arange(count) / count
    heights = f(edges + 0.5 / count)
    return list(zip(edges, np.diff(heights, prepend=0.0), strict=True))


def run(show: Show) -> Results:
    stairs = np.array([0.2, 0.5, 0.9])
    rows = [[k, *LECTURE[k - 1], *values(LECTURE[:k], stairs)] for k in range(1, 6)]
    columns = ["neurons", "s", "w", "y at 0.2", "y at 0.5", "y at 0.9"]
    show.table("The network of the lecture, neuron by neuron", columns, rows)

    x = np.linspace(0.001, 1, 1000)
    network = show.text("network")
    panels = {
        show.text("neurons: {}").format(k): {"f(x)": f(x), network: values(LECTURE[:k], x)}
        for k in (1, 2, 3, 5)
    }
    errors = {}
    for count in (10, 25, 50, 200):
        y = values(staircase(count), x)
        errors[count] = float(abs(y - f(x)).max())
        panels[show.text("neurons: {}").format(count)] = {"f(x)": f(x), network: y}
    viz.lines(
        panels,
        show.path("staircase.png"),
        x=x,
        x_label="x",
        y_label="y",
        title=show.text("Step neurons, those of the lecture and stairs of equal width"),
        beneath="f(x)",
    )
    show.table("Stairs of equal width", ["neurons", "largest error"], errors.items())
    return {"stairs": values(LECTURE, stairs), "errors": errors}
