"""The forward pass in matrix form.

A layer is a product of matrices, a shift and an activation, so three layers are three lines, and
their numbers stand in the picture. Without the activation two layers collapse into one, and most
of a network on pixels is the weights of its first layer.
"""

from __future__ import annotations

import numpy as np

import gpunet
from gpunet import functional as F
from gpunet import nn
from gpunet.recipes.show import Results, Show
from gpunet.train.summary import summarize
from gpunet.viz import style

ROWS = ("A5", "A6", "A7", "A8")

# The network of the lecture, 2 → 3 → 2 → 2: weights are (in, out) as they stand on its slides.
WEIGHTS = (
    [[0.1, 0.3, 0.5], [0.2, 0.4, 0.6]],
    [[0.1, 0.4], [0.2, 0.5], [0.3, 0.6]],
    [[0.1, 0.3], [0.2, 0.4]],
)
BIASES = ([0.1, 0.2, 0.3], [0.1, 0.2], [0.1, 0.2])
CLASSES = 10


def products():
    A, B = gpunet.tensor([[1, 2], [3, 4]]), gpunet.tensor([[5, 6], [7, 8]])
    x, W = gpunet.tensor([1, 2]), gpunet.tensor([[1, 3, 5], [2, 4, 6]])
    return (A @ B).numpy(), (x @ W).numpy()


def network():
    """The same network as layers; `nn.Linear` keeps its weight as (out, in)."""
    layers = []
    for W, b in zip(WEIGHTS, BIASES, strict=True):
        layer = nn.Linear(len(W), len(b), dtype="float64")
        layer.load_state_dict({"weight": np.array(W).T, "bias": np.array(b)})
        layers += [layer, nn.Sigmoid()]
    return nn.Sequential(*layers[:-1])  # the identity at the output


def forward(x):
    """The outputs of all layers, by hand: A = Z·W + B, then Z = σ(A), and the last A as it is."""
    outputs = [x]
    for W, b in zip(WEIGHTS, BIASES, strict=True):
        a = outputs[-1] @ gpunet.tensor(W, dtype="float64") + gpunet.tensor(b, dtype="float64")
        outputs.append(F.sigmoid(a))
    return [*outputs[:-1], a]


def collapse():
    """Two linear layers, and the one that they are."""
    first, second = nn.Linear(4, 5, dtype="float64"), nn.Linear(5, 3, dtype="float64")
    x = gpunet.randn(6, 4, dtype="float64")
    W = second.weight @ first.weight
    b = second.weight @ first.bias + second.bias
    return second(first(x)).detach().numpy(), F.linear(x, W, b).detach().numpy()


@style.look()
def draw(show, outputs):
    """Circles are neurons with their outputs; a line is as wide as its weight."""
    figure = style.new_figure(8.4, 4.4)
    style.add_title(figure, show.text("A forward pass, layer by layer"))
    note = show.text("in circles: outputs of neurons; a line is as wide as its weight is large")
    style.add_note(figure, 0.25, 0.65, note)
    axes = style.add_axes(figure, 0.2, 0.2, 8.0, 3.6)
    axes.set(xlim=(-0.5, 3.5), ylim=(-1.6, 1.55))
    axes.axis("off")
    places = [[(i, (len(z) - 1) / 2 - j) for j in range(len(z))] for i, z in enumerate(outputs)]
    for left, right, W in zip(places, places[1:], WEIGHTS, strict=False):
        for (x1, y1), row in zip(left, W, strict=True):
            for (x2, y2), w in zip(right, row, strict=True):
                axes.plot([x1, x2], [y1, y2], color=style.LIGHT, linewidth=6 * w, zorder=1)
    names = ["input", "σ", "σ", "identity"]
    for i, (column, z) in enumerate(zip(places, outputs, strict=True)):
        colour = style.GREY if i == 0 else style.GREEN if i == 3 else style.BLUE
        for (x, y), value in zip(column, z.tolist(), strict=True):
            axes.scatter(x, y, s=1900, color=style.PAPER, edgecolor=colour, linewidth=2, zorder=2)
            axes.text(x, y, f"{value:.3g}", ha="center", va="center", zorder=3)
        axes.text(i, -1.5, show.text(names[i]), ha="center", color=style.GREY)
    return show.figure("forward.png", figure)


def run(show: Show) -> Results:
    AB, xW = products()
    show.say("A·B = {}, x·W = {}", AB.tolist(), xW.tolist())

    x = gpunet.tensor([1.0, 0.5], dtype="float64")
    outputs = [z.numpy() for z in forward(x)]
    rows = [(f"{len(z)}", "  ".join(f"{value:.4f}" for value in z)) for z in outputs]
    show.table("The layers of a forward pass", ("neurons", "outputs"), rows)
    draw(show, outputs)

    two, one = collapse()
    show.say("Two linear layers and one: the largest difference is {:.0e}.", abs(two - one).max())

    sizes = [nn.Linear(100 * 100, 300), nn.Linear(300, 300), nn.Linear(300, CLASSES)]
    lines = summarize(nn.Sequential(nn.Flatten(), *sizes), gpunet.zeros(1, 1, 100, 100))
    counts = [(line.name, line.kind, line.weights, line.biases) for line in lines[1:]]
    cells = [
        (name, kind, show.text("{:,}").format(weights), biases)
        for name, kind, weights, biases in counts
    ]
    show.table("Parameters", ("layer", "kind", "weights", "biases"), cells)
    return {
        "products": (AB, xW), "outputs": outputs, "network": network()(x).detach().numpy(),
        "two layers": two, "one layer": one, "counts": counts,
    }  # fmt: skip
