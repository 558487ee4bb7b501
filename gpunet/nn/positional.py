"""Positions, added to what stands at them."""

from __future__ import annotations

import math

from gpunet import backend
from gpunet.autograd.tensor import Tensor
from gpunet.errors import ArgumentError
from gpunet.functional.check import floating, shape_error
from gpunet.nn import init
from gpunet.nn.module import Buffer, Module, Parameter


class _PositionalEncoding(Module):
    """Base: adds the first rows of a table. Shapes as in the subclasses."""

    def __init__(self, embed_dim: int, max_length: int, batch_first: bool):
        if embed_dim < 1 or max_length < 1:
            rule = "embed_dim and max_length must be at least 1"
            raise ArgumentError(type(self).__name__, f"{rule}, got {embed_dim} and {max_length}")
        self.embed_dim, self.max_length, self.batch_first = embed_dim, max_length, batch_first

    def _rows(self) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        name = type(self).__name__
        floating(name, "x", x)
        if x.ndim not in (2, 3) or x.shape[-1] != self.embed_dim:
            order = "(N, L, E)" if self.batch_first else "(L, N, E)"
            rule = f"x must have shape {order} or (L, E) with E = {self.embed_dim}"
            shape_error(name, f"{rule}, got {x.shape}")
        length = x.shape[1 if x.ndim == 3 and self.batch_first else 0]
        if length > self.max_length:
            rule = f"x must have at most max_length = {self.max_length} positions, got {length}"
            shape_error(name, rule, x=x)
        rows = self._rows()[:length]
        return x + (rows if x.ndim == 2 or self.batch_first else rows.unsqueeze(1))

    def extra_repr(self) -> str:
        return f"{self.embed_dim}, {self.max_length}, batch_first={self.batch_first}"


class SinusoidalPositionalEncoding(_PositionalEncoding):
    """x + PE with PE[t, 2i] = sin(t / 10000^(2i/E)) and PE[t, 2i+1] the cosine of the same.

    Shapes: input and output (L, N, E), with `batch_first` (N, L, E), or (L, E).

    Args:
        embed_dim: E.
        max_length: of an input.

    Source: Vaswani et al., arXiv:1706.03762, section 3.5.
    """

    def __init__(
        self,
        embed_dim: int,
        max_length: int = 5000,
        batch_first: bool = False,
        device: str = "cpu",
        dtype: str = "float32",
    ):
        super().__init__(embed_dim, max_length, batch_first)
        be = backend.resolve(device)[0]
        time = be.xp.arange(max_length, dtype="float64")[:, None]
        pair = be.xp.arange((embed_dim + 1) // 2, dtype="float64")
        angle = time * be.xp.exp(pair * (-2.0 * math.log(10000.0) / embed_dim))
        table = be.full((max_length, embed_dim), 0, dtype)
        table[:, 0::2] = be.cast(be.xp.sin(angle), dtype)
        table[:, 1::2] = be.cast(be.xp.cos(angle), dtype)[:, : embed_dim // 2]
        self.pe = Buffer(Tensor(table, be), persistent=False)

    def _rows(self) -> Tensor:
        return self.pe


class LearnedPositionalEncoding(_PositionalEncoding):
    """x + weight[t] at position t, the weight learned; it starts as N(0, 0.02²), as GPT-2's does.

    Shapes: input and output (L, N, E), with `batch_first` (N, L, E), or (L, E); weight
    (max_length, E).
    """

    def __init__(
        self,
        embed_dim: int,
        max_length: int,
        batch_first: bool = False,
        device: str = "cpu",
        dtype: str = "float32",
    ):
        super().__init__(embed_dim, max_length, batch_first)
        be = backend.resolve(device)[0]
        self.weight = Parameter(Tensor(be.empty((max_length, embed_dim), dtype), be))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the table anew."""
        init.normal_(self.weight, std=0.02)

    def _rows(self) -> Tensor:
        return self.weight
