"""Long memory: a simple RNN forgets the first symbol, LSTM and GRU keep it.

One of eight symbols is to be named after a long row of others that do not matter. The gradient of
the simple RNN shrinks by a factor at each step back, and it stays at chance; gates that begin
almost shut let it pass, and LSTM and GRU learn the task.
"""

from __future__ import annotations

import numpy as np

import gpunet
from gpunet import functional as F
from gpunet import nn, optim, viz
from gpunet.recipes.show import Results, Show

ROWS = ("I3",)

KINDS = {"RNN": nn.RNN, "LSTM": nn.LSTM, "GRU": nn.GRU}
SYMBOLS, HIDDEN = 8, 32


def batch(rng, length):
    """x (length + 2, N, 10): a marked symbol, others, the question; and which it was, (N,)."""
    rows = rng.integers(0, SYMBOLS, (length + 1, 32))
    x = np.zeros((length + 2, 32, SYMBOLS + 2), np.float32)
    np.put_along_axis(x[:-1], rows[..., None], 1, 2)
    x[0, :, -2] = x[-1, :, -1] = 1  # the mark, the question
    return gpunet.tensor(x), gpunet.tensor(rows[0])


class Listener(nn.Module):
    """A recurrent layer, and scores of the symbols from its last state."""

    def __init__(self, name, length):
        self.layer, self.scores = KINDS[name](SYMBOLS + 2, HIDDEN), nn.Linear(HIDDEN, SYMBOLS)
        if name != "RNN":
            self.shut(name, length)

    def shut(self, name, length):
        """Gates begin so that a unit keeps what it has for 1 to `length` steps.

        Source: Tallec, Ollivier, "Can recurrent neural networks warp time?", arXiv:1804.11188.
        """
        bias = self.layer.bias_ih_l0.detach().numpy().copy()
        keep = np.log(np.random.default_rng(0).uniform(1, length, HIDDEN))
        bias[HIDDEN : 2 * HIDDEN] = keep  # the forget gate of the LSTM, the update gate of the GRU
        if name == "LSTM":
            bias[:HIDDEN] = -keep  # its input gate
        self.layer.load_state_dict({"bias_ih_l0": gpunet.tensor(bias)}, strict=False)

    def forward(self, x):
        return self.scores(self.layer(x)[0][-1])


def train(model, length, steps):
    """Until 99 % of the last 20 batches are right; returns how many it took, and the share."""
    rng = np.random.default_rng(1)
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    right = []
    for step in range(1, steps + 1):
        x, first = batch(rng, length)
        scores = model(x)
        loss = F.cross_entropy(scores, first)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        right.append((scores.argmax(1) == first).float().mean().item())
        if np.mean(right[-20:]) > 0.99 and step >= 20:
            break
    return step, np.mean(right[-20:])


def gradient_norms(model, length):
    """|∂L/∂x_t| for each step t, the mean of a batch: what the loss still knows of step t."""
    x, first = batch(np.random.default_rng(2), length)
    x.requires_grad = True
    F.cross_entropy(model(x), first).backward()
    return np.linalg.norm(x.grad.numpy().astype(np.float64), axis=2).mean(1)


def run(show: Show, lengths=(50, 100), steps=1000, steps_rnn=300) -> Results:
    accuracy, norms, rows = {}, {}, []
    for name in KINDS:
        rows.append([name])
        for length in lengths:
            gpunet.manual_seed(1)
            model = Listener(name, length)
            if length == max(lengths):
                norms[name] = gradient_norms(model, length)
            count, share = train(model, length, steps_rnn if name == "RNN" else steps)
            accuracy[name, length] = share
            rows[-1].append(f"{share:.0%} ({count})")
    columns = [show.text("layer"), *(f"T = {length}" for length in lengths)]
    show.table("Symbols named rightly after T others, by chance 12.5 % (batches)", columns, rows)
    ratio = {name: each[0] / each[-2] for name, each in norms.items()}
    show.say(
        "From the last of {} symbols to the first, the untrained gradient of the simple RNN "
        "changes by a factor of {:.0e}, that of the LSTM by {:.0e}, that of the GRU by {:.0e}.",
        *(max(lengths), *ratio.values()),
    )
    viz.lines(
        {show.text("Gradient of the loss by the input of each step"): norms},
        show.path("gradient_through_time.png"),
        x=range(max(lengths) + 2),
        x_label=show.text("step t"),
        y_label="‖∂L/∂xₜ‖",
        log="y",
    )
    return {"accuracy": accuracy, "norms": norms, "ratio": ratio}
