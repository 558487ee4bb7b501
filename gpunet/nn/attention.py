"""Layers that look things up: multi-head and additive attention."""

from __future__ import annotations

import math
from typing import Any

from gpunet import backend
from gpunet import functional as F
from gpunet.autograd.tensor import Tensor
from gpunet.errors import ArgumentError, DTypeError
from gpunet.functional.check import describe, floating, is_tensor, shape_error
from gpunet.nn import init
from gpunet.nn.linear import Linear
from gpunet.nn.module import Module, Parameter


class MultiheadAttention(Module):
    """Attention of several heads, each with projections of its own: concat(head_1, ...)·Wᵒ.

    head_i = softmax(QWᵢ·(KWᵢ)ᵀ/√d + mask)·VWᵢ with d = embed_dim / num_heads.
    Shapes: query (L, N, embed_dim), key (S, N, kdim), value (S, N, vdim), or without N; with
    `batch_first`, N comes first. Output like query. Parameters have PyTorch's names.

    Args:
        embed_dim: width of queries and the output, a multiple of num_heads.
        dropout: share of the weights that are dropped in training.
        bias: whether the projections have one.
        add_bias_kv: adds a key and a value that are learned.
        add_zero_attn: adds a key and a value of zeros.
        kdim, vdim: widths of keys and values; embed_dim if None.

    Source: Vaswani et al., arXiv:1706.03762, section 3.2.2.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: str = "cpu",
        dtype: str = "float32",
    ):
        name = "MultiheadAttention"
        self.embed_dim, self.num_heads, self.dropout = embed_dim, num_heads, dropout
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        if min(embed_dim, num_heads, self.kdim, self.vdim) < 1:
            got = (embed_dim, num_heads, self.kdim, self.vdim)
            rule = "embed_dim, num_heads, kdim and vdim must be at least 1"
            raise ArgumentError(name, f"{rule}, got {got}")
        if embed_dim % num_heads:
            rule = f"num_heads must divide embed_dim {embed_dim}, got {num_heads}"
            raise ArgumentError(name, rule)
        if not 0.0 <= dropout < 1.0:
            raise ArgumentError(name, f"dropout must be in [0, 1), got {dropout}")
        self.head_dim = embed_dim // num_heads
        self.batch_first, self.add_zero_attn = batch_first, add_zero_attn
        be = backend.resolve(device)[0]

        def parameter(*shape: int) -> Parameter:
            return Parameter(Tensor(be.empty(shape, dtype), be))

        self.q_proj_weight = self.k_proj_weight = self.v_proj_weight = None
        self.in_proj_weight = self.in_proj_bias = self.bias_k = self.bias_v = None
        if self.kdim == self.vdim == embed_dim:
            self.in_proj_weight = parameter(3 * embed_dim, embed_dim)
        else:
            self.q_proj_weight = parameter(embed_dim, embed_dim)
            self.k_proj_weight = parameter(embed_dim, self.kdim)
            self.v_proj_weight = parameter(embed_dim, self.vdim)
        if bias:
            self.in_proj_bias = parameter(3 * embed_dim)
        if add_bias_kv:
            self.bias_k, self.bias_v = parameter(1, 1, embed_dim), parameter(1, 1, embed_dim)
        self.out_proj = Linear(embed_dim, embed_dim, bias, device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the projections anew; biases are 0, but for the learned key and value."""
        weights = self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight
        for weight in weights:
            if weight is not None:
                init.xavier_uniform_(weight)
        for bias in (self.in_proj_bias, self.out_proj.bias):
            if bias is not None:
                init.zeros_(bias)
        for learned in (self.bias_k, self.bias_v):
            if learned is not None:
                init.xavier_normal_(learned)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """The output, and the weights if `need_weights`; without them it is faster and smaller.

        In masks of bool, True hides a key; those of query's dtype are added to the scores.
        Shapes: key_padding_mask (N, S); attn_mask (L, S) or (N·num_heads, L, S); weights (N, L, S)
        with `average_attn_weights`, else (N, num_heads, L, S).
        Args:
            is_causal: says that attn_mask, which must be there, is the causal one.
        """
        self._check(query, key, value)
        if is_causal and attn_mask is None:
            rule = "attn_mask must be given where is_causal is set, got None"
            raise ArgumentError("MultiheadAttention", rule)
        batched = query.ndim == 3
        packed = query is key is value
        query, key, value = (self._batch_first(x) for x in (query, key, value))
        q, k, v = self._projected(query, key, value, packed)
        plain = is_causal and key_padding_mask is None and not need_weights
        causal = plain and q.shape[2] == k.shape[2] == key.shape[1]  # no key was added
        mask = None if causal else self._mask(query, key, key_padding_mask, attn_mask, batched)
        added = k.shape[2] - key.shape[1]
        if mask is not None and added:
            mask = F.pad(mask, (0, added))  # what was added is seen by all
        p = self.dropout if self.training else 0.0
        if need_weights:
            out, weights = _attend(q, k, v, mask, p)
            weights = weights.mean(1) if average_attn_weights else weights
            weights = weights if batched else weights.squeeze(0)
        else:
            out, weights = F.scaled_dot_product_attention(q, k, v, mask, p, causal), None
        out = self.out_proj(out.transpose(1, 2).reshape(query.shape))
        if not batched:
            return out.squeeze(0), weights
        return out if self.batch_first else out.transpose(0, 1), weights

    def _batch_first(self, x: Tensor) -> Tensor:
        if x.ndim == 2:
            return x.unsqueeze(0)
        return x if self.batch_first else x.transpose(0, 1)

    def _check(self, query: Tensor, key: Tensor, value: Tensor) -> None:
        name = "MultiheadAttention"
        together = {"query": query, "key": key, "value": value}
        widths = self.embed_dim, self.kdim, self.vdim
        for (what, x), width in zip(together.items(), widths, strict=True):
            floating(name, what, x)
            if x.ndim not in (2, 3) or x.ndim != query.ndim:
                rule = f"{what} must have two axes, or three as the others, got shape {x.shape}"
                shape_error(name, rule, **together)
            if x.shape[-1] != width:
                rule = f"{what} must have {width} features, got {x.shape[-1]}"
                shape_error(name, rule, **together)
        if key.shape[:-1] != value.shape[:-1]:
            rule = (
                f"key and value must be equally many, got {key.shape[:-1]} and {value.shape[:-1]}"
            )
            shape_error(name, rule, **together)
        at = 0 if self.batch_first else 1
        if query.ndim == 3 and query.shape[at] != key.shape[at]:
            rule = f"query and key must have equal batches, got {query.shape[at]} and"
            shape_error(name, f"{rule} {key.shape[at]}", **together)

    def _projected(self, query: Tensor, key: Tensor, value: Tensor, packed: bool) -> list[Tensor]:
        """Queries, keys and values of each head, (N, heads, length, head_dim)."""
        if packed and self.in_proj_weight is not None:
            projected = list(F.linear(query, self.in_proj_weight, self.in_proj_bias).chunk(3, -1))
        else:
            weights: Any = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
            if self.in_proj_weight is not None:
                weights = self.in_proj_weight.chunk(3)
            biases: Any = (None,) * 3 if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
            given = zip((query, key, value), weights, biases, strict=True)
            projected = [F.linear(x, weight, bias) for x, weight, bias in given]
        n = query.shape[0]
        if self.bias_k is not None and self.bias_v is not None:
            for i, learned in ((1, self.bias_k), (2, self.bias_v)):
                projected[i] = F.concat([projected[i], learned.expand(n, 1, -1)], 1)
        if self.add_zero_attn:
            nothing = Tensor(
                query.backend.full((n, 1, self.embed_dim), 0, query.dtype), query.backend
            )
            projected[1:] = [F.concat([x, nothing], 1) for x in projected[1:]]
        split = (self.num_heads, self.head_dim)
        return [x.reshape(n, x.shape[1], *split).transpose(1, 2) for x in projected]

    def _mask(
        self, query: Tensor, key: Tensor, padding: Tensor | None, mask: Tensor | None, batched: bool
    ) -> Tensor | None:
        """What is added to the scores (N, num_heads, L, S)."""
        (n, length, _), keys = query.shape, key.shape[1]
        if padding is not None:
            padding = _added("key_padding_mask", padding, query)
            wanted = (n, keys) if batched else (keys,)
            _same_shape("key_padding_mask", padding, [wanted])
            padding = padding.reshape(n, 1, 1, keys)
        if mask is not None:
            mask = _added("attn_mask", mask, query)
            all_heads = (n * self.num_heads, length, keys)
            _same_shape("attn_mask", mask, [(length, keys), all_heads])
            if mask.ndim == 3:
                mask = mask.reshape(n, self.num_heads, length, keys)
        return padding if mask is None else mask if padding is None else mask + padding

    def extra_repr(self) -> str:
        return f"{self.embed_dim}, {self.num_heads}, batch_first={self.batch_first}"


def _attend(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, p: float
) -> tuple[Tensor, Tensor]:
    """The result and the weights of each head."""
    scores = F.matmul(q * (1.0 / math.sqrt(q.shape[-1])), k.transpose(-1, -2))
    weights = F.dropout(F.softmax(scores if mask is None else scores + mask, -1), p)
    return F.matmul(weights, v), weights


def _added(name: str, mask: Tensor, query: Tensor) -> Tensor:
    """A mask as numbers that are added to scores."""
    is_tensor("MultiheadAttention", name, mask)
    if mask.dtype == bool:
        zeros = Tensor(mask.backend.full(mask.shape, 0, query.dtype), mask.backend)
        return zeros.masked_fill(mask, -math.inf)
    if mask.dtype != query.dtype:
        rule = f"{name} must be bool or {query.dtype} as query, got {mask.dtype}"
        raise DTypeError("MultiheadAttention", rule, describe(query=query))
    return mask


def _same_shape(name: str, mask: Tensor, allowed: list[tuple[int, ...]]) -> None:
    if mask.shape not in allowed:
        shapes = " or ".join(map(str, allowed))
        shape_error("MultiheadAttention", f"{name} must have shape {shapes}, got {mask.shape}")


class AdditiveAttention(Module):
    """Attention with a small network as the score: e = vᵀ·tanh(W·query + U·key).

    The output is the sum of the values, weighted by softmax(e) over the keys.
    Shapes: query (N, L, query_dim), key (N, S, key_dim), value (N, S, D); output (N, L, D) and
    weights (N, L, S).

    Source: Bahdanau et al., arXiv:1409.0473, appendix A.1.2.
    """

    def __init__(
        self,
        query_dim: int,
        key_dim: int,
        hidden_dim: int,
        device: str = "cpu",
        dtype: str = "float32",
    ):
        self.query_proj = Linear(query_dim, hidden_dim, False, device, dtype)
        self.key_proj = Linear(key_dim, hidden_dim, True, device, dtype)
        self.score = Linear(hidden_dim, 1, False, device, dtype)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor | None = None,
        key_padding_mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The output and the weights; `value` is `key` if None.

        Shapes: key_padding_mask (N, S) of bool, True hides a key.
        """
        name = "AdditiveAttention"
        value = key if value is None else value
        for what, x in (("query", query), ("key", key), ("value", value)):
            floating(name, what, x)
            if x.ndim != 3:
                shape_error(name, f"{what} must have shape (N, length, features), got {x.shape}")
        if key.shape[:2] != value.shape[:2] or query.shape[0] != key.shape[0]:
            rule = "query, key and value must have equal batches, key and value equal lengths"
            shape_error(name, rule, query=query, key=key, value=value)
        hidden = self.query_proj(query).unsqueeze(2) + self.key_proj(key).unsqueeze(1)
        scores = self.score(hidden.tanh()).squeeze(-1)
        if key_padding_mask is not None:
            is_tensor(name, "key_padding_mask", key_padding_mask)
            if key_padding_mask.shape != key.shape[:2] or key_padding_mask.dtype != bool:
                rule = f"key_padding_mask must be bool (N, S) = {key.shape[:2]}"
                got = f"{key_padding_mask.dtype} {key_padding_mask.shape}"
                shape_error(name, f"{rule}, got {got}")
            scores = scores.masked_fill(key_padding_mask.unsqueeze(1), -math.inf)
        weights = F.softmax(scores, -1)
        return F.matmul(weights, value), weights
