"""A table of vectors, looked up by number."""

from __future__ import annotations

from gpunet import backend
from gpunet.autograd.tensor import Tensor
from gpunet.errors import ArgumentError
from gpunet.functional.check import floating, shape_error
from gpunet.functional.embedding import embedding
from gpunet.nn import init
from gpunet.nn.module import Module, Parameter


class Embedding(Module):
    """Row x[i] of a table for each i.

    Shapes: input any, of int64 or int32 in [0, num_embeddings); output (*input.shape,
    embedding_dim); weight (num_embeddings, embedding_dim).

    The table starts normally distributed, N(0, 1), its padding row at 0, as PyTorch's does.

    Args:
        padding_idx: a row that gets no gradient, and so stays as it is.
        max_norm, norm_type, scale_grad_by_freq: see `functional.embedding`.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        device: str = "cpu",
        dtype: str = "float32",
    ):
        if num_embeddings < 0 or embedding_dim < 0:
            problem = "num_embeddings and embedding_dim must not be negative"
            raise ArgumentError("Embedding", f"{problem}, got {num_embeddings} and {embedding_dim}")
        be = backend.resolve(device)[0]
        weight = Tensor(be.empty((num_embeddings, embedding_dim), dtype), be)
        self._set_up(Parameter(weight), padding_idx, max_norm, norm_type, scale_grad_by_freq)
        self.reset_parameters()

    def _set_up(
        self,
        weight: Parameter,
        padding_idx: int | None,
        max_norm: float | None,
        norm_type: float,
        scale_grad_by_freq: bool,
    ) -> None:
        self.num_embeddings, self.embedding_dim = rows, _ = weight.shape
        if padding_idx is not None:
            if not -rows <= padding_idx < rows:
                problem = f"padding_idx must be in [{-rows}, {rows}), got {padding_idx}"
                raise ArgumentError("Embedding", problem)
            padding_idx %= rows
        self.padding_idx, self.max_norm, self.norm_type = padding_idx, max_norm, norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.weight = weight

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
    ) -> Embedding:
        """A layer with a given table, in its memory; not trained if `freeze`.

        Shapes: embeddings (num_embeddings, embedding_dim).
        """
        floating("Embedding", "embeddings", embeddings)
        if embeddings.ndim != 2:
            rule = f"embeddings must have two axes, got shape {embeddings.shape}"
            shape_error("Embedding", rule, embeddings=embeddings)
        layer = cls.__new__(cls)
        weight = Parameter(embeddings, requires_grad=not freeze)
        layer._set_up(weight, padding_idx, max_norm, norm_type, scale_grad_by_freq)
        return layer

    def reset_parameters(self) -> None:
        """Draws the table anew."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            self.weight.array[self.padding_idx] = 0

    def forward(self, x: Tensor) -> Tensor:
        return embedding(
            x,
            self.weight,
            self.padding_idx,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
        )

    def extra_repr(self) -> str:
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        for name, usual in (
            ("padding_idx", None),
            ("max_norm", None),
            ("norm_type", 2.0),
            ("scale_grad_by_freq", False),
        ):
            if getattr(self, name) != usual:
                text += f", {name}={getattr(self, name)}"
        return text
