"""A small language model of the GPT kind, in the shape and the names of nanoGPT."""

from __future__ import annotations

import math

from gpunet import functional as F
from gpunet import nn
from gpunet.autograd import creation
from gpunet.autograd.tensor import Tensor
from gpunet.errors import ArgumentError
from gpunet.functional.activation import GELU
from gpunet.functional.check import shape_error
from gpunet.nn import init

Cache = tuple[Tensor, Tensor]  # keys and values of the tokens read, (N, heads, T, width of a head)
State = tuple[Tensor, list[Cache]]


class GPT(nn.Module):
    """Scores of the next token at each position of a text, from the tokens up to it.

    Shapes: input (N, T) of int64 in [0, vocab_size), T at most block_size; output
    (N, T, vocab_size) unnormalised scores. Keys of `state_dict` are nanoGPT's.

    Args:
        vocab_size: how many tokens there are.
        block_size: the longest text it reads.
        n_layer, n_head, n_embd: blocks, heads of each, and width, a multiple of n_head.
        dropout: share dropped in training after the embedding and each part of a block.
        bias: whether dense layers and norms have one.
        tie_weights: whether the scores are products with the embedding of each token.

    Raises:
        ArgumentError: sizes below 1, or n_head that does not divide n_embd.

    Source: Radford et al., Language models are unsupervised multitask learners, 2019, section 2.3;
    github.com/karpathy/nanoGPT, model.py.
    """

    def __init__(
        self,
        vocab_size: int,
        block_size: int = 64,
        n_layer: int = 4,
        n_head: int = 4,
        n_embd: int = 128,
        dropout: float = 0.0,
        bias: bool = True,
        tie_weights: bool = True,
    ):
        sizes = vocab_size, block_size, n_layer, n_head, n_embd
        if min(sizes) < 1 or n_embd % n_head:
            rule = "sizes must be at least 1, and n_head divide n_embd"
            raise ArgumentError("GPT", f"{rule}, got {sizes}")
        self.block_size = block_size
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(vocab_size, n_embd),
                "wpe": nn.Embedding(block_size, n_embd),
                "drop": nn.Dropout(dropout),
                "h": nn.ModuleList([Block(n_head, n_embd, dropout, bias) for _ in range(n_layer)]),
                "ln_f": nn.LayerNorm(n_embd, bias=bias),
            }
        )
        self.lm_head = nn.Linear(n_embd, vocab_size, bias=False)
        if tie_weights:
            self.transformer["wte"].weight = self.lm_head.weight
        for name, parameter in self.named_parameters():
            if name.endswith("c_proj.weight"):  # the ends of the 2·n_layer residual branches
                init.normal_(parameter, std=0.02 / math.sqrt(2 * n_layer))
            elif parameter.ndim > 1:
                init.normal_(parameter, std=0.02)
            elif name.endswith("bias"):
                init.zeros_(parameter)

    def forward(self, idx: Tensor) -> Tensor:
        if idx.ndim != 2 or idx.shape[1] > self.block_size:
            rule = f"idx must have shape (N, T) with T at most {self.block_size}"
            shape_error("GPT", f"{rule}, got {idx.shape}")
        return self._read(idx, None)[0]

    def _read(self, idx: Tensor, past: list[Cache] | None) -> tuple[Tensor, list[Cache]]:
        """The scores after each token, and the keys and values of each block; `past` are those of
        the tokens before.
        """
        net, start = self.transformer, past[0][0].shape[2] if past else 0
        places = creation.arange(start, start + idx.shape[1], device=idx.device)
        x, caches = net["drop"](net["wte"](idx) + net["wpe"](places)), []
        for i, block in enumerate(net["h"]):
            x, cache = block(x, past[i] if past else None)
            caches.append(cache)
        return self.lm_head(net["ln_f"](x)), caches

    def step(self, tokens: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Scores of the token after the next `tokens`, for `gpunet.text`.

        The state is what was read, the last block_size tokens of it, with its keys and values: a
        step computes those of one token. When the block is full, each token's place moves by one,
        and everything is computed anew.
        Shapes: tokens (N,), state None at first; scores (N, vocab_size).
        """
        last = tokens.unsqueeze(1)
        if state is None:
            window, past, unread = last, None, last
        elif state[0].shape[1] < self.block_size:
            window, past, unread = F.concat([state[0], last], 1), state[1], last
        else:
            window = F.concat([state[0][:, 1:], last], 1)
            past, unread = None, window
        scores, caches = self._read(unread, past)
        return scores[:, -1], (window, caches)


class Block(nn.Module):
    """Attention, then two dense layers, each added to what went in, which is normalised first."""

    def __init__(self, n_head: int, n_embd: int, dropout: float, bias: bool):
        self.ln_1 = nn.LayerNorm(n_embd, bias=bias)
        self.attn = CausalSelfAttention(n_head, n_embd, dropout, bias)
        self.ln_2 = nn.LayerNorm(n_embd, bias=bias)
        self.mlp = MLP(n_embd, dropout, bias)

    def forward(self, x: Tensor, past: Cache | None = None) -> tuple[Tensor, Cache]:
        y, cache = self.attn(self.ln_1(x), past)
        x = x + y
        return x + self.mlp(self.ln_2(x)), cache


class CausalSelfAttention(nn.Module):
    """Each position looks at itself and those before it.

    `past` are the keys and values of positions that were read before; one more may then be read.
    """

    def __init__(self, n_head: int, n_embd: int, dropout: float, bias: bool):
        self.n_head, self.dropout = n_head, dropout
        self.c_attn = nn.Linear(n_embd, 3 * n_embd, bias)
        self.c_proj = nn.Linear(n_embd, n_embd, bias)
        self.resid_dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, past: Cache | None = None) -> tuple[Tensor, Cache]:
        n, length, width = x.shape
        heads = (n, length, self.n_head, width // self.n_head)
        q, k, v = (y.reshape(heads).transpose(1, 2) for y in self.c_attn(x).chunk(3, -1))
        if past is not None:
            k, v = F.concat([past[0], k], 2), F.concat([past[1], v], 2)
        p = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=p, is_causal=past is None)
        return self.resid_dropout(self.c_proj(y.transpose(1, 2).reshape(x.shape))), (k, v)


class MLP(nn.Module):
    """Two dense layers with GELU between them, four times as wide there."""

    def __init__(self, n_embd: int, dropout: float, bias: bool):
        self.c_fc = nn.Linear(n_embd, 4 * n_embd, bias)
        self.c_proj = nn.Linear(4 * n_embd, n_embd, bias)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.c_proj(self.c_fc(x, GELU())))
