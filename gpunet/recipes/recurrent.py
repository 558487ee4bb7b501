"""Recurrent layers from their formulas: the simple RNN, LSTM and GRU.

Each step is written out as in the lecture, and the layers give the same to rounding. Stacked
layers, both directions and sequences of unequal length come from the same step.
"""

from __future__ import annotations

import numpy as np

import gpunet
from gpunet import nn
from gpunet.recipes.show import Results, Show
from gpunet.viz import style

ROWS = ("I1",)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def rnn_step(x, state, W, U, b, c):
    """h_t = tanh(W_xh·x_t + W_hh·h_{t−1} + b)."""
    h = np.tanh(W @ x + b + U @ state[0] + c)
    return (h,)


def lstm_step(x, state, W, U, b, c):
    """Gates i, f, o and the candidate g; C_t = f ⊙ C_{t−1} + i ⊙ g, h_t = o ⊙ tanh(C_t)."""
    h, C = state
    i, f, g, o = np.split(W @ x + b + U @ h + c, 4)
    C = sigmoid(f) * C + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(C), C


def gru_step(x, state, W, U, b, c):
    """Reset r, update z, candidate n = tanh(W·x + r ⊙ (U·h)); h_t = (1 − z) ⊙ n + z ⊙ h_{t−1}."""
    (h,) = state
    (wr, wz, wn), (ur, uz, un) = np.split(W @ x + b, 3), np.split(U @ h + c, 3)
    z, n = sigmoid(wz + uz), np.tanh(wn + sigmoid(wr + ur) * un)
    return ((1 - z) * n + z * h,)


def through_time(step, xs, layer, suffix, reverse):
    """(T, H) the states of one direction of one layer over a sequence xs (T, D)."""
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    parameters = [getattr(layer, name + suffix).detach().numpy() for name in names]
    state = (np.zeros(layer.hidden_size),) * (2 if step is lstm_step else 1)
    states = []
    for x in xs[::-1] if reverse else xs:
        state = step(x, state, *parameters)
        states.append(state[0])
    return np.array(states[::-1] if reverse else states)


def by_hand(step, xs, layer):
    """The output of a stack: each layer reads the states of the one below, of all directions."""
    for k in range(layer.num_layers):
        ways = [(f"_l{k}", False), (f"_l{k}_reverse", True)][: 1 + layer.bidirectional]
        xs = np.concatenate([through_time(step, xs, layer, *way) for way in ways], 1)
    return xs


KINDS = {"RNN": (nn.RNN, rnn_step), "LSTM": (nn.LSTM, lstm_step), "GRU": (nn.GRU, gru_step)}


@gpunet.no_grad()
def run(show: Show) -> Results:
    rng = np.random.default_rng(0)
    x, lengths = rng.normal(size=(3, 12, 5)), np.array([12, 7, 1])  # three sequences
    differences = {}
    for name, (kind, step) in KINDS.items():
        for what, options in (
            ("one layer", {}),
            ("two layers", {"num_layers": 2}),
            ("two directions", {"bidirectional": True}),
            ("both", {"num_layers": 2, "bidirectional": True}),
        ):
            layer = kind(5, 8, batch_first=True, dtype="float64", **options)
            y = layer(gpunet.tensor(x), lengths=lengths)[0].numpy()
            expected = np.zeros_like(y)  # zeros stand behind the end of a sequence
            for row, (sequence, length) in enumerate(zip(x, lengths, strict=True)):
                expected[row, :length] = by_hand(step, sequence[:length], layer)
            differences[name, what] = np.abs(y - expected).max()
    columns = ["one layer", "two layers", "two directions", "both"]
    rows = [[name, *(differences[name, what] for what in columns)] for name in KINDS]
    show.table(
        "Largest difference from the formulas, sequences of 12, 7 and 1 steps",
        ["layer", *columns],
        rows,
    )

    draw(show)
    return {"differences": differences}


@style.look()
def draw(show):
    """How long each kind remembers, untrained: the states after a single impulse at step 5."""
    impulse = np.zeros((1, 40, 1))
    impulse[0, 5] = 3
    figure = style.new_figure(9.8, 3.4)
    for place, (name, (kind, _)) in enumerate(KINDS.items()):
        layer = kind(1, 8, batch_first=True, bias=False, dtype="float64")
        axes = style.add_axes(figure, 0.7 + 3.1 * place, 0.6, 2.5, 1.85)
        axes.axhline(0, color=style.LIGHT, linewidth=0.8)
        axes.plot(layer(gpunet.tensor(impulse))[0].numpy()[0], color=style.BLUE, linewidth=1.2)
        axes.set(title=name, xlabel=show.text("step"), xlim=(0, 39))
        if place == 0:
            axes.set_ylabel(show.text("states h"))
    style.add_title(figure, show.text("Eight untrained units answer an impulse at step 5"))
    show.figure("impulse.png", figure)
