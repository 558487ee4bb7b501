"""Classification by one neuron, and by one neuron a class.

Logistic regression minimises −log σ(y·wᵀx) over labels ±1; many small steps of SGD and a few long
ones of L-BFGS end at the same line. With a softmax over several neurons the plane is parted between
as many classes, again by straight lines.
"""

from __future__ import annotations

import numpy as np

import gpunet
from gpunet import functional as F
from gpunet import nn, optim
from gpunet.recipes.show import Results, Show
from gpunet.viz import style

ROWS = ("B2", "B4")


def clouds(centres, count, seed):
    """`count` points around each centre, with the numbers of their classes."""
    rng = np.random.default_rng(seed)
    X = np.concatenate([centre + rng.normal(size=(count, 2)) for centre in np.array(centres)])
    return X, np.repeat(np.arange(len(centres)), count)


def logistic_loss(neuron, X, y):
    """The mean of −log σ(y·(wᵀx + b))."""
    return -F.logsigmoid(y * neuron(X).flatten()).mean()


def gradient_by_formula(neuron, X, y):
    """The mean of −y·x·(1 − σ(y·(wᵀx + b))), in NumPy."""
    w, b = neuron.weight.detach().numpy()[0], neuron.bias.item()
    share = 1 - 1 / (1 + np.exp(-y * (X @ w + b)))
    return -(y * share) @ X / len(X)


def minimise(model, loss):
    """L-BFGS with a line search, to the last digit; returns the parameters."""
    optimizer = optim.LBFGS(
        model.parameters(), max_iter=100, tolerance_grad=1e-10, tolerance_change=0,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure():
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    optimizer.step(closure)
    return [p.detach().numpy().copy() for p in model.parameters()]


def descend(neuron, X, y, epochs=60):
    """SGD on mini-batches of 20, with steps that shrink from epoch to epoch."""
    optimizer = optim.SGD(neuron.parameters(), lr=1.0)
    schedule = optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.92)
    rng = np.random.default_rng(0)
    for _ in range(epochs):
        for chosen in np.split(rng.permutation(len(X)), len(X) // 20):
            optimizer.zero_grad()
            logistic_loss(neuron, gpunet.tensor(X[chosen]), gpunet.tensor(y[chosen])).backward()
            optimizer.step()
        schedule.step()
    return [p.detach().numpy().copy() for p in neuron.parameters()]


@style.look()
def draw(show, panels):
    """Each point in the colour of its class, each part of the plane in that of its answer."""
    from matplotlib.colors import to_rgb

    figure = style.new_figure(8.9, 3.9)
    grid = np.stack(np.meshgrid(*[np.linspace(-4, 6, 300)] * 2), -1)
    colours = [style.VERMILLION, style.BLUE, style.GREEN]
    tints = [style.toward(to_rgb(colour), 0.22) for colour in colours]
    for place, (title, X, classes, answers) in enumerate(panels):
        axes = style.add_axes(figure, 0.6 + 4.3 * place, 0.55, 3.7, 2.8)
        parts, K = answers(grid.reshape(-1, 2)).reshape(300, 300), classes.max() + 1
        levels = np.arange(K + 1) - 0.5
        axes.contourf(grid[..., 0], grid[..., 1], parts, levels=levels, colors=tints[:K])
        for k in range(K):
            axes.plot(*X[classes == k].T, "os^"[k], color=colours[k], markersize=3, alpha=0.8)
        axes.set(title=show.text(title), xlim=(-4, 6), ylim=(-4, 6), xlabel="x1")
        axes.set(xticks=[-3, 0, 3], yticks=[-3, 0, 3], ylabel="x2")
    return show.figure("classes.png", figure)


def run(show: Show) -> Results:
    X, classes = clouds([(-0.8, -0.5), (1.2, 1.0)], 200, seed=3)
    y = 2.0 * classes - 1
    neuron = nn.Linear(2, 1, dtype="float64")
    logistic_loss(neuron, gpunet.tensor(X), gpunet.tensor(y)).backward()
    gradients = neuron.weight.grad.numpy()[0], gradient_by_formula(neuron, X, y)
    rows = [("autograd", *gradients[0].tolist()), (show.text("formula"), *gradients[1].tolist())]
    show.table("The gradient of the logistic loss", ("found by", "w1", "w2"), rows)
    sgd = descend(nn.Linear(2, 1, dtype="float64"), X, y)
    lbfgs = minimise(neuron, lambda: logistic_loss(neuron, gpunet.tensor(X), gpunet.tensor(y)))
    rows = [("SGD", *sgd[0][0], sgd[1][0]), ("L-BFGS", *lbfgs[0][0], lbfgs[1][0])]
    show.table("Logistic regression", ("trained by", "w1", "w2", "b"), rows)

    X3, classes3 = clouds([(-1.5, -1), (2, -0.5), (0.2, 2.5)], 150, seed=4)
    layer = nn.Linear(2, 3, dtype="float64")
    X3t, classes3t = gpunet.tensor(X3), gpunet.tensor(classes3)
    W, b = minimise(layer, lambda: F.cross_entropy(layer(X3t), classes3t))
    right = ((X3 @ W.T + b).argmax(1) == classes3).mean()
    show.say("Softmax regression has {:.1%} of three classes right.", right)
    answers = [
        ("Logistic", X, classes, lambda x: (x @ lbfgs[0][0] + lbfgs[1] > 0).astype(int)),
        ("Softmax", X3, classes3, lambda x: (x @ W.T + b).argmax(1)),
    ]
    draw(show, answers)
    return {
        "X": X, "y": y, "gradients": gradients, "sgd": sgd, "lbfgs": lbfgs,
        "X3": X3, "classes": classes3, "softmax": (W, b),
    }  # fmt: skip
