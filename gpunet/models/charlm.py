"""A language model of characters: an LSTM reads a text and guesses what comes next."""

from __future__ import annotations

from gpunet import nn
from gpunet.autograd.tensor import Tensor
from gpunet.errors import ArgumentError
from gpunet.functional.check import shape_error

State = tuple[Tensor, ...]


class CharLM(nn.Module):
    """Scores of the next token at each position of a text, from the tokens up to it.

    Shapes: input (N, T) of int64 in [0, vocab_size); output (N, T, vocab_size), unnormalised.

    Args:
        vocab_size: how many tokens there are.
        embedding: length of the vector that a token becomes.
        hidden, num_layers: units of a layer of the LSTM, and layers.
        dropout: share dropped in training of what a layer of the LSTM hands on to the next, and
            the last one to the scores; what goes from step to step is left alone.

    Raises:
        ArgumentError: a size below 1, or dropout outside [0, 1].

    Source: Graves, Generating sequences with recurrent neural networks, arXiv:1308.0850, section 2;
    dropout: Zaremba et al., arXiv:1409.2329, section 3.2.
    """

    def __init__(
        self,
        vocab_size: int,
        embedding: int = 128,
        hidden: int = 256,
        num_layers: int = 2,
        dropout: float = 0.0,
    ):
        sizes = vocab_size, embedding, hidden, num_layers
        if min(sizes) < 1:
            raise ArgumentError("CharLM", f"sizes must be at least 1, got {sizes}")
        self.embedding = nn.Embedding(vocab_size, embedding)
        self.lstm = nn.LSTM(embedding, hidden, num_layers, batch_first=True, dropout=dropout)
        self.dropout = nn.Dropout(dropout)
        self.scores = nn.Linear(hidden, vocab_size)

    def forward(self, tokens: Tensor) -> Tensor:
        if tokens.ndim != 2:
            shape_error("CharLM", f"tokens must have shape (N, T), got {tokens.shape}")
        return self.read(tokens, None)[0]

    def read(self, tokens: Tensor, state: State | None) -> tuple[Tensor, State]:
        """The scores after each token, and the state after the last; `state` is that before."""
        y, state = self.lstm(self.embedding(tokens), state)
        return self.scores(self.dropout(y)), state

    def step(self, tokens: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Scores of the token after the next `tokens`, for `gpunet.text`: one step of the LSTM.

        Shapes: tokens (N,), state None at first; scores (N, vocab_size).
        """
        scores, state = self.read(tokens.unsqueeze(1), state)
        return scores[:, 0], state
