"""Optimizers on a ravine: SGD, momentum, AdaGrad, RMSProp, Adam and L-BFGS.

On x²/20 + y² plain descent jumps from wall to wall and hardly moves along the valley. Momentum
adds up what the steps have in common, the adaptive methods give each coordinate a rate of its own,
and L-BFGS learns the curvature and is there after a few steps.
"""

from __future__ import annotations

import numpy as np

import gpunet
from gpunet import optim, viz
from gpunet.recipes.show import Results, Show

ROWS = ("F3",)
START, STEPS, BETA = (-7.0, 2.0), 30, 0.9

OPTIMIZERS = {
    "SGD": lambda p: optim.SGD(p, lr=0.95),
    # v ← βv + (1 − β)g, w ← w − ηv: an average of the gradients, from the first one on
    "Momentum, average": lambda p: optim.SGD(p, lr=0.2, momentum=BETA, dampening=BETA),
    # v ← βv + αg, w ← w − v: a sum of the steps
    "Momentum, sum": lambda p: optim.SGD(p, lr=0.1, momentum=BETA),
    "AdaGrad": lambda p: optim.Adagrad(p, lr=1.5),
    "RMSProp (0.9)": lambda p: optim.RMSprop(p, lr=0.3, alpha=0.9),
    "Adam (0.9, 0.999)": lambda p: optim.Adam(p, lr=0.3, betas=(0.9, 0.999)),
    "L-BFGS": lambda p: optim.LBFGS(p, max_iter=1, line_search_fn="strong_wolfe"),
}


def ravine(x, y):
    return x**2 / 20 + y**2


def walk(make):
    """Where the optimizer is before its first step and after each."""
    w = gpunet.tensor(START, dtype="float64", requires_grad=True)
    optimizer = make([w])

    def loss():
        optimizer.zero_grad()
        value = ravine(w[0], w[1])
        value.backward()
        return value

    places = [w.tolist()]
    for _ in range(STEPS):
        optimizer.step(loss)
        places.append(w.tolist())
    return np.array(places)


def run(show: Show) -> Results:
    paths = {show.text(name): walk(make) for name, make in OPTIMIZERS.items()}
    rows = []
    for name, path in paths.items():
        values = ravine(*path.T)
        near = np.flatnonzero(values < 0.01)
        first = int(near[0]) if len(near) else "–"
        rows.append([name, float(values[10]), float(values[-1]), str(first)])
    columns = ["optimizer", "after 10 steps", "after 30 steps", "first below 0.01"]
    show.table("x²/20 + y² from (−7, 2)", columns, rows)
    viz.loss_surface(
        ravine,
        paths,
        show.path("paths.png"),
        span=(-8.0, 5.0, -2.6, 2.6),
        title=show.text("30 steps on the ravine x²/20 + y²"),
    )
    return {"paths": dict(zip(OPTIMIZERS, paths.values(), strict=True))}
