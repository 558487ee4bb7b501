"""The same function, trained: the error falls as neurons grow.

A network of one hidden layer is fitted to the lecture's function by L-BFGS: with more neurons it
follows more of its waves. For sin x the best straight line is far off everywhere, while ten neurons
lie on the curve.
"""

from __future__ import annotations

import numpy as np

import gpunet
from gpunet import functional as F
from gpunet import nn, optim, viz
from gpunet.recipes.show import Results, Show

ROWS = ("G3",)
NEURONS = (1, 3, 10, 30)
STEPS = 400


def lecture(x):
    return 0.2 + 0.4 * x**2 + 0.3 * x * np.sin(15 * x) + 0.1 * np.cos(50 * x)


def fit(f, a, b, neurons):
    """Trains a hidden layer of tanh on 201 points of f; returns its values there."""
    gpunet.manual_seed(0)
    x = np.linspace(a, b, 201)
    hidden = nn.Linear(1, neurons)
    model = nn.Sequential(hidden, nn.Tanh(), nn.Linear(neurons, 1)).double()
    # Steep neurons, spread over [−1, 1], are a better start than the usual ones at 0.
    nn.init.uniform_(hidden.weight, -neurons, neurons)
    centres = gpunet.tensor(np.linspace(-1, 1, neurons))
    hidden.load_state_dict({"weight": hidden.weight, "bias": -(hidden.weight[:, 0] * centres)})
    scaled = gpunet.tensor((2 * x - a - b)[:, None] / (b - a))
    target = gpunet.tensor(f(x)[:, None])
    optimizer = optim.LBFGS(model.parameters(), max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        value = F.mse_loss(model(scaled), target)
        value.backward()
        return value

    optimizer.step(loss)
    return model(scaled).detach().numpy()[:, 0]


def rms(error):
    return float(np.sqrt(np.mean(error**2)))


def run(show: Show) -> Results:
    x = np.linspace(0, 1, 201)
    network = show.text("network")
    errors, panels, rows = {}, {}, []
    for neurons in NEURONS:
        y = fit(lecture, 0, 1, neurons)
        errors[neurons] = rms(y - lecture(x))
        rows.append([neurons, errors[neurons], float(abs(y - lecture(x)).max())])
        title = show.text("neurons: {}").format(neurons)
        panels[title] = {"f(x)": lecture(x), network: y}
    columns = ["neurons", "root mean square error", "largest error"]
    show.table("The lecture's function, one hidden layer", columns, rows)
    axes = {"x_label": "x", "y_label": "y"}
    title = show.text("The lecture's function, learned")
    viz.lines(panels, show.path("trained.png"), x=x, title=title, beneath="f(x)", **axes)

    x = np.linspace(-np.pi, np.pi, 201)
    line = np.polyval(np.polyfit(x, np.sin(x), 1), x)
    ten = fit(np.sin, -np.pi, np.pi, 10)
    sine = {"line": rms(line - np.sin(x)), "network": rms(ten - np.sin(x))}
    show.say("sin x: the best line is off by {:.2g}, ten neurons by {:.1g}.", *sine.values())
    curves = {"sin x": np.sin(x), show.text("best line"): line, show.text("ten neurons"): ten}
    title = show.text("sin x, by a line and by a network")
    viz.lines({title: curves}, show.path("sine.png"), x=x, beneath="sin x", **axes)
    return {"errors": errors, "sine": sine}
