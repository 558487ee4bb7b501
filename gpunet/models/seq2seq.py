"""Translation: a recurrent encoder, a recurrent decoder, and attention between them."""

from __future__ import annotations

import math
from typing import NamedTuple

from gpunet import functional as F
from gpunet import nn
from gpunet.autograd.tensor import Tensor
from gpunet.errors import ArgumentError
from gpunet.functional.check import shape_error
from gpunet.nn import init
from gpunet.text import PADDING


class State(NamedTuple):
    """What the decoder goes on from: the source as read, where it is padding, its own states."""

    memory: Tensor
    hidden: Tensor
    lower: Tensor
    upper: Tensor | None


class Seq2Seq(nn.Module):
    """Scores of the next token of a translation, from the source and the tokens up to it.

    The encoder is a GRU in both directions. The decoder is two GRUs: the lower one reads the
    translation, its states look the source up by additive attention, and the upper one reads both.
    Since the lower one does not wait for what was looked up, each part runs over all positions at
    once. The scores are products with the embeddings of the target's tokens.

    Shapes: source (N, S) and target (N, T) of int64, filled up with `text.PADDING`, which is 0;
    output (N, T, target_vocab) unnormalised scores.

    Args:
        source_vocab, target_vocab: how many tokens there are.
        embedding: length of the vector that a token becomes.
        hidden: units of the encoder, half in each direction, and of each GRU of the decoder; even.
        attention: units of the network that rates the positions of the source.
        dropout: share dropped in training of embeddings, of what the encoder hands on, between the
            parts of the decoder, and before the scores.

    Raises:
        ArgumentError: a size below 1, an odd `hidden`, or dropout outside [0, 1].

    Source: Bahdanau et al., arXiv:1409.0473, section 3 (attention, encoder); Wu et al.,
    arXiv:1609.08144, section 3 (attention from the lowest layer of the decoder); Press and Wolf,
    arXiv:1608.05859 (shared embeddings).
    """

    def __init__(
        self,
        source_vocab: int,
        target_vocab: int,
        embedding: int = 256,
        hidden: int = 256,
        attention: int = 128,
        dropout: float = 0.3,
    ):
        sizes = source_vocab, target_vocab, embedding, hidden, attention
        if min(sizes) < 1 or hidden % 2:
            rule = "sizes must be at least 1, and hidden even"
            raise ArgumentError("Seq2Seq", f"{rule}, got {sizes}")
        self.scale = math.sqrt(embedding)
        self.source = nn.Embedding(source_vocab, embedding, padding_idx=PADDING)
        self.target = nn.Embedding(target_vocab, embedding, padding_idx=PADDING)
        self.encoder = nn.GRU(embedding, hidden // 2, batch_first=True, bidirectional=True)
        self.bridge = nn.Linear(hidden, hidden)
        self.lower = nn.GRU(embedding, hidden, batch_first=True)
        self.attention = nn.AdditiveAttention(hidden, hidden, attention)
        self.upper = nn.GRU(2 * hidden, hidden, batch_first=True)
        self.readout = nn.Linear(2 * hidden, embedding)
        self.scores = nn.Linear(embedding, target_vocab)
        self.scores.weight = self.target.weight
        self.dropout = nn.Dropout(dropout)
        for table in (self.source, self.target):
            init.normal_(table.weight, std=1 / self.scale)
            table.weight.array[PADDING] = 0

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        for name, tokens in (("source", source), ("target", target)):
            if tokens.ndim != 2 or len(tokens) != len(source):
                rule = "source and target must have shapes (N, S) and (N, T)"
                shape_error("Seq2Seq", f"{rule}, got {name} {tokens.shape}")
        return self.read(target, self.encode(source))[0]

    def encode(self, source: Tensor) -> State:
        """Reads the source; the state that a translation begins with."""
        hidden = F.eq(source, PADDING)
        lengths = F.logical_not(hidden).sum(1)
        memory, last = self.encoder(self._embedded(self.source, source), lengths=lengths)
        lower = self.bridge(F.cat([last[0], last[1]], 1)).tanh().unsqueeze(0)
        return State(self.dropout(memory), hidden, lower, None)

    def read(self, target: Tensor, state: State) -> tuple[Tensor, Tensor, State]:
        """Scores after each token of the target, what each looked at (N, T, S), the state after."""
        x, lower = self.lower(self._embedded(self.target, target), state.lower)
        x = self.dropout(x)
        found, weights = self.attention(x, state.memory, key_padding_mask=state.hidden)
        y, upper = self.upper(F.cat([x, found], -1), state.upper)
        y = self.readout(F.cat([self.dropout(y), found], -1)).tanh()
        return self.scores(self.dropout(y)), weights, state._replace(lower=lower, upper=upper)

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Scores of the token after the next `tokens`, for `gpunet.text`; begins with `encode`.

        Shapes: tokens (N,); scores (N, target_vocab).
        """
        scores, _, state = self.read(tokens.unsqueeze(1), state)
        return scores[:, 0], state

    def _embedded(self, table: nn.Embedding, tokens: Tensor) -> Tensor:
        return self.dropout(table(tokens) * self.scale)
