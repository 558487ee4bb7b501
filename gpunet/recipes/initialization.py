"""First weights: Xavier's and He's variances, and a signal through 20 layers.

Every rule of `nn.init` draws weights with the variance that its formula promises, uniform or
normal. With the rule that fits the activation the signal comes through all layers, with weights too
small it fades, and with weights too large ReLU explodes and tanh is stuck at −1 and 1.
"""

from __future__ import annotations

import numpy as np

import gpunet
from gpunet import data, nn, viz
from gpunet import functional as F
from gpunet.recipes.show import Results, Show

ROWS = ("E5",)
DEPTH, WIDTH = 20, 256
N_IN, N_OUT = 600, 400

XAVIER, HE = 2 / (N_IN + N_OUT), 2 / N_IN
RULES = {  # the rule, and the variance that it promises
    "Xavier, uniform": (nn.init.xavier_uniform_, XAVIER),
    "Xavier, normal": (nn.init.xavier_normal_, XAVIER),
    "He, uniform": (lambda w: nn.init.kaiming_uniform_(w, nonlinearity="relu"), HE),
    "He, normal": (lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu"), HE),
}


def normal(std):
    return lambda w: nn.init.normal_(w, std=std)


def outputs(x, activation, draw):
    """What each of 20 layers with these first weights and no biases puts out for x."""
    seen = []
    with gpunet.no_grad():
        for _ in range(DEPTH):
            layer = nn.Linear(x.shape[1], WIDTH, bias=False)
            draw(layer.weight)
            x = activation(layer(x))
            seen.append(x.numpy())
    return seen


def run(show: Show) -> Results:
    results: Results = {"variance": {}, "bound": {}}
    rows = []
    for name, (draw, promised) in RULES.items():
        weight = gpunet.empty(N_OUT, N_IN)
        w = draw(weight).numpy()
        results["variance"][name] = (float(w.var()), promised)
        results["bound"][name] = (float(abs(w).max()), (3 * promised) ** 0.5)
        rows.append(
            [show.text(name), promised, float(w.var()), float(w.mean()), float(abs(w).max())]
        )
    columns = ["rule", "variance promised", "variance drawn", "mean", "largest"]
    show.table("400 × 600 weights", columns, rows)

    digits = data.load("digits", "train").inputs[:500].reshape(-1, 64)
    x = gpunet.tensor((digits - digits.mean()) / digits.std())
    he, xavier = RULES["He, normal"][0], nn.init.xavier_normal_
    tanh, relu = F.tanh, F.relu
    networks = {
        show.text("tanh, Xavier's weights"): outputs(x, tanh, xavier),
        show.text("tanh, too small: N(0, 0.02²)"): outputs(x, tanh, normal(0.02)),
        show.text("tanh, too large: N(0, 0.5²)"): outputs(x, tanh, normal(0.5)),
        show.text("ReLU, He's weights"): outputs(x, relu, he),
        show.text("ReLU, Xavier's weights"): outputs(x, relu, xavier),
        show.text("ReLU, too large: N(0, 0.12²)"): outputs(x, relu, normal(0.12)),
    }
    viz.activation_spread(
        networks,
        show.path("spread.png"),
        title=show.text("Activations of 500 digits, layer by layer"),
        x_label=show.text("Layer"),
        note=show.text("bands: 1–99 %, 10–90 %, 25–75 % of the values; line: median"),
    )
    spreads = {name: [float(h.std()) for h in layers] for name, layers in networks.items()}
    rows = [[name, s[0], s[9], s[19], s[19] / s[0]] for name, s in spreads.items()]
    columns = ["network", "layer 1", "layer 10", "layer 20", "20 / 1"]
    show.table("Standard deviation of the activations", columns, rows)
    keys = ("tanh", "tanh small", "tanh large", "ReLU", "ReLU Xavier", "ReLU large")
    results["spread"] = dict(zip(keys, spreads.values(), strict=True))
    last = networks[show.text("tanh, too large: N(0, 0.5²)")][-1]
    results["saturated"] = float(np.mean(abs(last) > 0.99))
    return results
