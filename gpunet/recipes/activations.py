"""Activation functions and their derivatives.

A step has no slope to learn by, and the sigmoid is a step made smooth: σ(1) is 0.731, σ(2) is
0.881. Where a derivative, drawn in vermillion, is near 0 the gradient ends; functions of the ReLU
family keep it near 1 wherever they fire.
"""

from __future__ import annotations

import numpy as np

import gpunet
from gpunet import functional as F
from gpunet import viz
from gpunet.recipes.show import Results, Show
from gpunet.viz import style

ROWS = ("A4",)

FUNCTIONS = (
    *(F.step, F.sigmoid, F.tanh, F.softsign),
    *(F.relu, F.leaky_relu, F.elu, F.selu),
    *(F.softplus, F.gelu, F.silu, F.mish),
    *(F.relu6, F.hardtanh, F.hardsigmoid, F.hardswish),
)


def curve(f, x):
    """Values of f at x, and its derivative there, from one backward pass."""
    x = gpunet.tensor(x, requires_grad=True)
    y = f(x)
    y.sum().backward()
    return y.detach().numpy(), x.grad.numpy()


@style.look()
def draw_step_and_sigmoid(show):
    x = np.linspace(-5, 5, 1001)
    figure = style.new_figure(5.6, 3.4)
    axes = style.add_axes(figure, 0.6, 0.6, 4.7, 2.3)
    style.add_title(figure, show.text("Step and sigmoid"))
    axes.plot(x, curve(F.step, x)[0], "--", color=style.VERMILLION, linewidth=1.6)
    axes.plot(x, curve(F.sigmoid, x)[0], color=style.BLUE, linewidth=1.8)
    axes.text(-0.3, 0.93, show.text("step"), color=style.VERMILLION, ha="right")
    axes.text(1.3, 0.4, "σ(x) = 1 / (1 + exp(−x))", color=style.BLUE)
    for place in (1.0, 2.0):
        y = curve(F.sigmoid, [place])[0].item()
        axes.plot(place, y, "o", color=style.BLUE, markersize=5)
        axes.text(place + 0.15, y - 0.08, f"σ({place:g}) ≈ {y:.3f}", color=style.BLUE)
    axes.set(xlabel="x", xlim=(-5, 5), yticks=[0, 0.5, 1])
    axes.grid(axis="y")
    return show.figure("sigmoid.png", figure)


def run(show: Show) -> Results:
    values = {x: curve(F.sigmoid, [x])[0].item() for x in (-2.0, -1.0, 0.0, 1.0, 2.0)}
    rows = [(x, curve(F.step, [x])[0].item(), y) for x, y in values.items()]
    show.table("A step, and the sigmoid that smooths it", ("x", "step", "σ(x)"), rows)

    slopes = {f.__name__: curve(f, [-4.0, 0.5, 4.0])[1] for f in FUNCTIONS}
    show.table(
        "Derivatives: what is left of a gradient on its way back",
        ("function", "at −4", "at ½", "at 4"),
        [(name, *slope.tolist()) for name, slope in slopes.items()],
    )
    draw_step_and_sigmoid(show)
    viz.function_curves(
        {f.__name__: f for f in FUNCTIONS},
        show.path("activations.png"),
        title=show.text("Activation functions and their derivatives"),
        legend=(show.text("function"), show.text("derivative")),
    )
    return {"sigmoid": values, "slopes": slopes}
