"""The output by task: a number, a yes or no, one of several classes.

The same layer learns three real tables, and only its end differs: the identity with the squared
error for bicycles rented on a day, a sigmoid with binary cross entropy for one species of iris, a
softmax with cross entropy for three sorts of wine. Each is judged on lines it has not seen, beside
an answer that ignores the features.
"""

from __future__ import annotations

import numpy as np

import gpunet
from gpunet import data, nn, optim
from gpunet import functional as F
from gpunet.recipes.show import Results, Show
from gpunet.viz import style

ROWS = ("B5",)


def tables(name):
    """Features of mean 0 and deviation 1 on the training set, and targets, of both parts."""
    train, test = data.load(name, "train"), data.load(name, "test")
    mean, deviation = train.inputs.mean(0), train.inputs.std(0)
    scaled = [(part.inputs - mean) / deviation for part in (train, test)]
    return scaled[0], train.targets, scaled[1], test.targets


def fit(X, t, outputs, loss, epochs=300):
    """A layer of `outputs` neurons that has learned the targets by Adam on the whole table."""
    layer = nn.Linear(X.shape[1], outputs)
    optimizer = optim.Adam(layer.parameters(), lr=0.05)
    X, t = gpunet.tensor(X), gpunet.tensor(t)
    for _ in range(epochs):
        optimizer.zero_grad()
        scores = layer(X)
        loss(scores if outputs > 1 else scores.flatten(), t).backward()
        optimizer.step()
    return layer


def number():
    """Thousands of bicycles: y = a, mean squared error."""
    X, t, X_test, t_test = tables("bike_sharing")
    y = fit(X, t / 1000, 1, F.mse_loss)(gpunet.tensor(X_test)).flatten()
    return y.detach().numpy(), t_test / 1000, np.full(len(t_test), t.mean() / 1000)


def yes_or_no():
    """Iris virginica, or another: y = σ(a), binary cross entropy."""
    X, t, X_test, t_test = tables("iris")
    yes = (t == 2).astype(np.float32)
    layer = fit(X, yes, 1, F.binary_cross_entropy_with_logits)
    return F.sigmoid(layer(gpunet.tensor(X_test))).flatten().detach().numpy(), t_test == 2


def one_of_three():
    """The sort of a wine: y = softmax(a), cross entropy."""
    X, t, X_test, t_test = tables("wine")
    layer = fit(X, t, 3, F.cross_entropy)
    return F.softmax(layer(gpunet.tensor(X_test)), 1).detach().numpy(), t_test


@style.look()
def draw(show, bicycles, flowers, wines):
    figure = style.new_figure(11.4, 3.9)
    one, two, three = (style.add_axes(figure, 0.7 + 3.7 * i, 0.6, 3.0, 2.6) for i in range(3))
    y, t, _ = bicycles
    one.plot([0, 9], [0, 9], color=style.LIGHT, linewidth=1)
    one.plot(t, y, ".", color=style.BLUE, markersize=4)
    one.set(xlim=(0, 9), ylim=(0, 9), xlabel=show.text("rented, thousands"))
    one.set_title(show.text("Identity: bicycles"))
    one.set_ylabel(show.text("estimated, thousands"))
    p, yes = flowers
    order = np.argsort(p)
    for mark, colour, chosen in (("s", style.VERMILLION, ~yes), ("o", style.BLUE, yes)):
        places = np.flatnonzero(chosen[order])
        two.plot(places, p[order][places], mark, color=colour, markersize=4.5)
    two.axhline(0.5, color=style.LIGHT, linewidth=1)
    two.text(0.5, 0.88, "virginica", color=style.BLUE)
    two.text(0.5, 0.76, show.text("others"), color=style.VERMILLION)
    two.set(xlabel=show.text("flowers of the test set"), yticks=[0, 0.5, 1], xticks=[])
    two.set_title(show.text("Sigmoid: is it Iris virginica?"))
    shares, sorts = wines
    colours = [style.BLUE, style.VERMILLION, style.GREEN]
    for k in range(3):
        three.bar(range(len(sorts)), shares[:, k], 0.9, shares[:, :k].sum(1), color=colours[k])
    centres = [np.flatnonzero(sorts == k).mean() for k in range(3)]
    three.set_xticks(centres, ["1", "2", "3"], fontsize=style.NORMAL)
    for label, colour in zip(three.get_xticklabels(), colours, strict=True):
        label.set_color(colour)
    three.set(xlabel=show.text("wines of the test set, by sort"), yticks=[0, 0.5, 1])
    three.set_title(show.text("Softmax: which sort of wine?"))
    return show.figure("outputs.png", figure)


def run(show: Show) -> Results:
    bicycles, flowers, wines = number(), yes_or_no(), one_of_three()
    y, t, mean = bicycles
    errors = np.sqrt([((y - t) ** 2).mean(), ((mean - t) ** 2).mean()])
    right = [((flowers[0] > 0.5) == flowers[1]).mean(), 1 - flowers[1].mean()]
    sorts = [(wines[0].argmax(1) == wines[1]).mean(), np.bincount(wines[1]).max() / len(wines[1])]
    rows = [
        (show.text("bicycles"), "identity", "MSE", *(f"{e:.2f} k" for e in errors)),
        (show.text("iris"), "sigmoid", "BCE", *(f"{share:.1%}" for share in right)),
        (show.text("wine"), "softmax", "CE", *(f"{share:.1%}" for share in sorts)),
    ]
    columns = ("data", "output", "loss", "on the test set", "without features")
    show.table("One layer, three ends (error of the bicycles; share that is right)", columns, rows)
    draw(show, bicycles, flowers, wines)
    return {"errors": errors, "right": right, "sorts": sorts, "shares": wines[0]}
