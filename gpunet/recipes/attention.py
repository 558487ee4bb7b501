"""The parts of a transformer: attention, heads, positions, layer norms.

Each part is written out, and the layers give the same to rounding. The pictures show what is added
at each position, and that an untrained head looks everywhere, but not ahead where that is
forbidden.
"""

from __future__ import annotations

import numpy as np

import gpunet
from gpunet import functional as F
from gpunet import nn
from gpunet.recipes.show import Results, Show
from gpunet.viz import style

ROWS = ("J1",)


def softmax(s):
    e = np.exp(s - s.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def attention(q, k, v):
    """softmax(QKᵀ/√d)·V."""
    return softmax(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])) @ v


def multi_head(x, W, heads):
    """concat(head_1, ..., head_h)·Wᵒ, each head with its own projections of x (T, E)."""
    q, k, v = np.split(x @ W["in_proj_weight"].T + W["in_proj_bias"], 3, -1)
    each = [np.split(part, heads, -1) for part in (q, k, v)]
    found = np.concatenate([attention(*qkv) for qkv in zip(*each, strict=True)], -1)
    return found @ W["out_proj.weight"].T + W["out_proj.bias"]


def layer_norm(x, gamma, beta, eps=1e-5):
    """γ·(x − μ)/√(σ² + ε) + β, mean and variance of each vector."""
    return gamma * (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps) + beta


def positions(length, width):
    """sin(t / 10000^(2i/E)) at even places, the cosine of the same at odd ones."""
    angle = np.arange(length)[:, None] / 10000 ** (np.arange(0, width, 2) / width)
    return np.stack([np.sin(angle), np.cos(angle)], -1).reshape(length, width)


def encoder_block(x, W, heads):
    """x + attention, normalised; then x + two dense layers with ReLU between, normalised."""
    own = {k.removeprefix("self_attn."): w for k, w in W.items() if k.startswith("self_attn")}
    x = layer_norm(x + multi_head(x, own, heads), W["norm1.weight"], W["norm1.bias"])
    hidden = np.maximum(x @ W["linear1.weight"].T + W["linear1.bias"], 0)
    y = hidden @ W["linear2.weight"].T + W["linear2.bias"]
    return layer_norm(x + y, W["norm2.weight"], W["norm2.bias"])


@gpunet.no_grad()
def differences():
    """The layers against the formulas, in double precision."""
    rng = np.random.default_rng(0)
    length, width, heads = 10, 16, 4
    x, q, k, v = rng.normal(size=(4, length, width))
    many = nn.MultiheadAttention(width, heads, dtype="float64")
    block = nn.TransformerEncoderLayer(width, heads, 32, dropout=0.0, dtype="float64")
    norm = nn.LayerNorm(width, dtype="float64")
    place = nn.SinusoidalPositionalEncoding(width, dtype="float64")
    W, M = block.state_dict(), many.state_dict()
    t, Q, K, V = map(gpunet.tensor, (x, q, k, v))
    pairs = {
        "attention": (F.scaled_dot_product_attention(Q, K, V), attention(q, k, v)),
        "multi-head attention": (many(t, t, t)[0], multi_head(x, M, heads)),
        "layer normalisation": (norm(t), layer_norm(x, np.ones(width), np.zeros(width))),
        "positional encoding": (place(t), x + positions(length, width)),
        "encoder block": (block(t), encoder_block(x, W, heads)),
    }
    return {name: np.abs(got.numpy() - expected).max() for name, (got, expected) in pairs.items()}


def run(show: Show) -> Results:
    found = differences()
    rows = [[show.text(name), value] for name, value in found.items()]
    show.table("Largest difference from the formulas", ["part", "difference"], rows)
    worst = max(found.values())
    show.say("All parts are as the formulas say, but for rounding: at most {:.1e}.", worst)
    draw(show)
    return {"differences": found}


@style.look()
@gpunet.no_grad()
def draw(show):
    """Left what is added at each position, right the weights of a head without and with a mask."""
    figure = style.new_figure(9.8, 3.2)
    left = style.add_axes(figure, 0.7, 0.6, 3.4, 2.0)
    left.imshow(positions(64, 48).T, cmap=style.signed_shades(), aspect="auto", vmin=-1, vmax=1)
    left.set(title=show.text("Positional encoding"), xlabel=show.text("position"))
    left.set_ylabel(show.text("feature"))
    place = nn.SinusoidalPositionalEncoding(48)
    x = place(gpunet.tensor(np.random.default_rng(0).normal(size=(16, 48)), dtype="float32"))
    head = nn.MultiheadAttention(48, 1)
    ahead = gpunet.tensor(np.triu(np.ones((16, 16), bool), 1))
    for at, (title, mask) in enumerate((("Attention to all", None), ("Causal attention", ahead))):
        axes = style.add_axes(figure, 5.0 + 2.5 * at, 0.6, 2.0, 2.0)
        weights = head(x, x, x, attn_mask=mask)[1].numpy()
        axes.imshow(weights, cmap=style.shades(style.BLUE), vmin=0, vmax=0.3)
        axes.set(title=show.text(title), xlabel=show.text("looks at position"))
        if at == 0:
            axes.set_ylabel(show.text("position"))
    show.figure("attention.png", figure)
