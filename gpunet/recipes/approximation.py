"""Any continuous function, built: the network of the approximation theorem.

From values of f and ε alone, `universal.build` makes two hidden layers of sigmoids: the first asks
which cuts x has passed, the second which piece it is in. The largest error is below ε every time,
and the neurons needed grow as 1/ε.
"""

from __future__ import annotations

import numpy as np

import gpunet
from gpunet import viz
from gpunet.models import universal
from gpunet.recipes.show import Results, Show

ROWS = ("G2",)


def lecture(x):
    return 0.2 + 0.4 * x**2 + 0.3 * x * np.sin(15 * x) + 0.1 * np.cos(50 * x)


FUNCTIONS: dict = {
    "lecture": (lecture, 0, 1),
    "sin x": (np.sin, -np.pi, np.pi),
    "|x|": (np.abs, -1, 1),
}
EPSILONS = (0.1, 0.03, 0.01)


@gpunet.no_grad()
def values(network, x):
    """The network on a dense grid, a thousand points at a time."""
    parts = np.array_split(x.astype("float32")[:, None], len(x) // 1000)
    return np.concatenate([network(gpunet.tensor(part)).numpy()[:, 0] for part in parts])


def run(show: Show) -> Results:
    rows, neurons, errors, panels = [], {}, {}, {}
    for name, (f, a, b) in FUNCTIONS.items():
        x = np.linspace(a, b, 20_001)
        for eps in EPSILONS:
            network = universal.build(f, a, b, eps)
            layers = [network[0].out_features, network[2].out_features]
            y = values(network, x)
            errors[name, eps] = float(np.abs(y - f(x)).max())
            neurons[name, eps] = sum(layers)
            rows.append([show.text(name), eps, errors[name, eps], *layers])
            if name == "lecture":
                here = slice(None, None, 20)
                panels[f"ε = {eps}"] = {"f(x)": f(x)[here], show.text("network"): y[here]}
    columns = ["function", "ε", "largest error", "neurons, layer 1", "neurons, layer 2"]
    show.table("Built, not trained", columns, rows)

    viz.lines(
        panels,
        show.path("built.png"),
        x=np.linspace(0, 1, 1001),
        x_label="x",
        y_label="y",
        title=show.text("Networks built for an error below ε"),
        beneath="f(x)",
    )
    counts = {show.text(name): [neurons[name, eps] for eps in EPSILONS[::-1]] for name in FUNCTIONS}
    viz.lines(
        {show.text("Neurons for an error below ε"): counts},
        show.path("neurons.png"),
        x=EPSILONS[::-1],
        x_label="ε",
        y_label=show.text("Neurons in both hidden layers"),
        log="xy",
    )
    return {"errors": errors, "neurons": neurons}
