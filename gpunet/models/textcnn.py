"""A convolutional network for sentences: what is said anywhere in one decides."""

from __future__ import annotations

from collections.abc import Sequence

from gpunet import functional as F
from gpunet import nn
from gpunet.autograd.tensor import Tensor
from gpunet.errors import ArgumentError
from gpunet.functional.check import shape_error
from gpunet.nn import init
from gpunet.text import PADDING, UNKNOWN


class TextCNN(nn.Module):
    """Filters slide over the words; of each the largest response counts, wherever it was.

    Shapes: input (N, T) of int64, filled up with `text.PADDING`, which is 0; output (N, classes)
    unnormalised scores. They do not depend on how much padding there is.

    Args:
        vocab_size: how many tokens there are.
        classes: how many scores.
        embedding: length of the vector that a token becomes.
        widths: how many words the filters look at.
        channels: filters of each width.
        dropout: share dropped in training of the embeddings and of the filters' largest responses.
        word_dropout: share of the words that are taken for `text.UNKNOWN` in training.

    Raises:
        ArgumentError: a size below 1, no widths, or a share outside its range.

    Source: Kim, Convolutional neural networks for sentence classification, arXiv:1408.5882; words
    dropped: Iyyer et al., Deep unordered composition rivals syntactic methods, ACL 2015.
    """

    def __init__(
        self,
        vocab_size: int,
        classes: int = 2,
        embedding: int = 128,
        widths: Sequence[int] = (3, 4, 5),
        channels: int = 100,
        dropout: float = 0.5,
        word_dropout: float = 0.0,
    ):
        sizes = vocab_size, classes, embedding, channels, *widths
        if min(sizes) < 1 or not widths:
            raise ArgumentError("TextCNN", f"sizes and widths must be at least 1, got {sizes}")
        if not 0.0 <= word_dropout < 1.0:
            rule = f"word_dropout must be in [0, 1), got {word_dropout}"
            raise ArgumentError("TextCNN", rule)
        self.word_dropout = word_dropout
        self.embedding = nn.Embedding(vocab_size, embedding, padding_idx=PADDING)
        init.uniform_(self.embedding.weight, -0.25, 0.25)
        self.embedding.weight.array[PADDING] = 0
        # So far beyond the ends that the first place sees no word: then more padding adds nothing.
        self.filters = nn.ModuleList(
            nn.Conv1d(embedding, channels, width, padding=width) for width in widths
        )
        self.dropout = nn.Dropout(dropout)
        self.scores = nn.Linear(channels * len(widths), classes)

    def forward(self, tokens: Tensor) -> Tensor:
        if tokens.ndim != 2:
            shape_error("TextCNN", f"tokens must have shape (N, T), got {tokens.shape}")
        if self.training and self.word_dropout:
            words = F.gt(tokens, PADDING)
            left = F.dropout(words.to("float32"), self.word_dropout)  # 0 where one is dropped
            lost = F.logical_and(words, F.eq(left, 0))
            tokens = tokens.masked_fill(lost, UNKNOWN)
        x = self.dropout(self.embedding(tokens)).transpose(1, 2)
        found = [layer(x).relu().amax(2) for layer in self.filters]
        return self.scores(self.dropout(F.cat(found, 1)))
