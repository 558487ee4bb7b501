"""Attention: weighted sums of values, the weights from how well queries and keys fit together."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from gpunet.autograd.broadcast import unbroadcast
from gpunet.autograd.op import Op, apply
from gpunet.autograd.tensor import Tensor
from gpunet.backend import Array, Backend, random
from gpunet.errors import ArgumentError, DTypeError
from gpunet.functional.check import describe, is_tensor, same_dtype, shape_error
from gpunet.functional.criterion import broadcast_shape, widened
from gpunet.functional.precision import in_half
from gpunet.functional.promotion import cast, wide

SCORES = 1 << 21  # how many are held at a time, where a backend holds them
ALL = slice(None)
Block = tuple[slice, slice, slice]  # of the first axis, of queries, of keys


class Attention(Op):
    """out = P·v with P = softmax(scale·q·kᵀ + mask), a block of queries at a time.

    Keeps q, k and v, and no weights: the backward pass computes a block of P again. It is as in
    FlashAttention, but a block holds whole rows of P, so that a plain softmax will do. A backend
    that never holds a row takes all of them as one block, and may keep something of its own.
    With gP = gout·vᵀ and gS = P ⊙ (gP − Σ gP ⊙ P) along each row:
    gv = Pᵀ·gout, gmask = gS, gq = scale·gS·k, gk = scale·gSᵀ·q.
    """

    takes_bfloat16 = True

    def __init__(self, scale: float, causal: bool, p: float):
        self.scale, self.causal, self.p = scale, causal, p

    def forward(self, be: Backend, q: Array, k: Array, v: Array, mask: Array | None) -> Array:
        self.shapes = [None if x is None else x.shape for x in (q, k, v, mask)]
        outer = max(q.ndim, k.ndim, v.ndim)  # axes of the result
        self.axes = max(3, outer)
        q, k, v, mask = operands = self._operands(q, k, v, mask)
        lead = broadcast_shape(q.shape[:-2], k.shape[:-2], v.shape[:-2])
        assert lead is not None
        self.lead = lead
        self.plain = mask is None and not self.p and q.shape[:-2] == k.shape[:-2] == v.shape[:-2]
        shape = (*lead, q.shape[-2], k.shape[-2])
        at_once = self.plain and be.attends_at_once(q, v)
        self.blocks = list(self._cut(shape, math.prod(shape) if at_once else SCORES))
        self.draws = [random.next_counter() if self.p else None for _ in self.blocks]
        shape = (*lead, q.shape[-2], v.shape[-1])
        out = _heads_inside(be, shape, q.dtype) if self.blocks else be.full(shape, 0.0, q.dtype)
        kept = []
        for block, draw in zip(self.blocks, self.draws, strict=True):
            first, queries, keys = block
            target = out[first, ..., queries, :]
            if self.plain:
                parts = _parts(q, k, v, block)
                kept.append(be.attend(*parts, target, self.scale, self._seen(block)))
                continue
            weights = self._dropped(be, self._weights(be, q, k, mask, block), draw)
            be.matmul(weights, _part(v, first, keys), target)
        self.saved = operands, kept
        return out.reshape(out.shape[self.axes - outer :])

    def backward(self, be: Backend, gy: Array) -> Any:
        operands, kept = self.saved
        q, k, v, mask = operands
        gy = gy.reshape((1,) * (self.axes - gy.ndim) + gy.shape)
        totals = [_Total(be, x, need) for x, need in zip(operands, self.needs, strict=True)]
        gq, gk, gv, gmask = totals
        for i, (block, draw) in enumerate(zip(self.blocks, self.draws, strict=True)):
            first, queries, keys = block
            g = gy[first, ..., queries, :]
            if self.plain:
                parts = _parts(q, k, v, block)
                gs = tuple([_heads_inside(be, x.shape, x.dtype) for x in parts])
                be.attend_bwd(g, parts, gs, self.scale, self._seen(block), kept[i])
                for total, gx, rows in zip(totals, gs, (queries, keys, keys), strict=False):
                    total.add(gx, first, rows)
                continue
            weights = self._weights(be, q, k, mask, block)
            if gv.wanted:
                dropped = self._dropped(be, weights, draw)
                gv.add_product(dropped.swapaxes(-1, -2), g, first, keys)
            if not (gq.wanted or gk.wanted or gmask.wanted):
                continue
            g = self._dropped(be, be.matmul(g, _part(v, first, keys).swapaxes(-1, -2)), draw)
            if gmask.wanted:
                gmask.add(be.softmax.softmax_bwd(g, weights), first, queries, keys)
            g = be.softmax.weights_bwd(g, weights, self.scale)
            if gq.wanted:
                gq.add_product(g, _part(k, first, keys), first, queries)
            if gk.wanted:
                gk.add_product(g.swapaxes(-1, -2), _part(q, first, queries), first, keys)
        return tuple(
            [total.result(shape) for total, shape in zip(totals, self.shapes, strict=True)]
        )

    def _operands(self, *operands: Array | None) -> list[Any]:
        """Views with equally many axes."""
        return [
            x if x is None else x.reshape((1,) * (self.axes - x.ndim) + x.shape) for x in operands
        ]

    def _cut(self, shape: tuple[int, ...], scores: int) -> Iterator[Block]:
        """Blocks of so many scores; a query that may see no key beyond it has none."""
        first, *between, queries, keys = shape
        if 0 in shape:
            return
        rows = max(1, min(queries, scores // (keys * math.prod(between))))
        several = max(1, scores // (keys * math.prod(between) * rows))
        for start in range(0, first, several):
            for top in range(0, queries, rows):
                bottom = min(top + rows, queries)
                seen = slice(0, min(bottom, keys) if self.causal else keys)
                yield slice(start, min(start + several, first)), slice(top, bottom), seen

    def _seen(self, block: Block) -> int:
        """Keys that the first query of a block sees; those after it see one more each."""
        _, queries, keys = block
        return queries.start + 1 if self.causal else keys.stop

    def _weights(self, be: Backend, q: Array, k: Array, mask: Any, block: Block) -> Array:
        """P of a block; a query that sees nothing has zeros."""
        first, queries, keys = block
        scores = be.matmul(_part(q, first, queries), _part(k, first, keys).swapaxes(-1, -2))
        if mask is None:
            weights = be.softmax.weights_fwd(scores, self.scale, self._seen(block))
            return self._spread(be, weights, first)
        scores = widened(be, scores)
        scores *= self.scale
        part = _part(mask, first, queries, keys)
        scores += _hiding(be, part, scores.dtype) if part.dtype == bool else part
        weights = be.softmax.softmax_fwd(scores)
        blind = be.xp.equal(scores, -math.inf).all(axis=-1, keepdims=True)
        weights = be.xp.where(blind, be.full((), 0.0, weights.dtype), weights)
        return self._spread(be, be.asarray(weights, q.dtype), first)

    def _spread(self, be: Backend, weights: Array, first: slice) -> Array:
        """The weights of a block, repeated where v alone has more leading axes."""
        shape = (first.stop - first.start, *self.lead[1:], *weights.shape[-2:])
        if weights.shape == shape:
            return weights
        return be.contiguous(be.xp.broadcast_to(weights, shape))

    def _dropped(self, be: Backend, weights: Array, draw: Any) -> Array:
        return be.dropout.dropout(weights, self.p, *draw) if self.p else weights


class _Total:
    """The gradient of an operand, added up over the blocks."""

    def __init__(self, be: Backend, operand: Any, wanted: bool):
        self.be, self.operand, self.wanted = be, operand, wanted
        self.sum: Array | None = None

    def add(self, g: Array, *where: slice) -> None:
        part = _part(self.operand, *where)
        g = unbroadcast(self.be, g, part.shape)
        if self.sum is None and part.shape == self.operand.shape:
            self.sum = g  # the only block, most often
            return
        if self.sum is None:
            self.sum = self.be.full(self.operand.shape, 0.0, g.dtype)
        _part(self.sum, *where)[...] += g

    def add_product(self, a: Array, b: Array, *where: slice) -> None:
        """Adds a·b."""
        shape = self.operand.shape
        lead = broadcast_shape(a.shape[:-2], b.shape[:-2])
        whole = _part(self.operand, *where).shape == shape
        if self.sum is None and whole and (*(lead or ()), a.shape[-2], b.shape[-1]) == shape:
            self.sum = self.be.matmul(a, b, _heads_inside(self.be, shape, a.dtype))
        else:
            self.add(self.be.matmul(a, b), *where)

    def result(self, shape: Any) -> Array | None:
        if not self.wanted:
            return None
        if self.sum is None:
            return self.be.full(shape, 0.0, self.operand.dtype)
        return self.sum.reshape(shape)


def _part(x: Array, first: slice, rows: slice = ALL, columns: slice = ALL) -> Array:
    """A view of what an operand has for a block; an axis of length 1 is there for all of it."""
    n, *_, m, k = x.shape
    return x[ALL if n == 1 else first, ..., ALL if m == 1 else rows, ALL if k == 1 else columns]


def _parts(q: Array, k: Array, v: Array, block: Block) -> tuple[Array, Array, Array]:
    first, queries, keys = block
    return _part(q, first, queries), _part(k, first, keys), _part(v, first, keys)


def _heads_inside(be: Backend, shape: tuple[int, ...], dtype: Any) -> Array:
    """A result in whose memory the heads of a position are neighbours: what follows joins them."""
    *lead, heads, length, width = (1, *shape) if len(shape) == 3 else shape
    out = be.empty((*lead, length, heads, width), dtype).swapaxes(-2, -3)
    return out[0] if len(shape) == 3 else out


def _hiding(be: Backend, seen: Array, dtype: Any) -> Array:
    """What is added to scores: 0 where a key is seen, −∞ where it is not."""
    return be.xp.where(seen, be.full((), 0.0, dtype), be.full((), -math.inf, dtype))


@in_half
def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(scale·query·keyᵀ + mask)·value, over the last two axes.

    The weights, one for each query and key, are computed in blocks and not kept, so memory grows
    with the length, not with its square. A query that may see no key gives zeros.
    Shapes: query (..., L, E), key (..., S, E), value (..., S, Ev), whose leading axes broadcast;
    attn_mask broadcasts to (..., L, S); the result (..., L, Ev). Dtypes: floating, all the same.
    Args:
        attn_mask: of bool, True where the query may see the key; of query's dtype, added to the
            scores.
        dropout_p: share of the weights that are zeroed, in [0, 1); the others grow by
            1/(1−dropout_p). It acts whenever it is not 0: there is no evaluation mode here.
        is_causal: query i sees the keys 0 to i; not beside attn_mask.
        scale: 1/√E if None.
        enable_gqa: key and value may have fewer heads (the last but two axis) than query, each of
            them for several in a row (Ainslie et al., arXiv:2305.13245).
    Differs from PyTorch: the same seed drops other weights.
    Source: Vaswani et al., arXiv:1706.03762, eq. 1; in blocks, computed again in the backward pass:
    Dao et al., arXiv:2205.14135, algorithms 1 and 4.

    >>> import gpunet
    >>> x = gpunet.eye(2)
    >>> gpunet.functional.scaled_dot_product_attention(x, x, x, is_causal=True, scale=10.0)[0]
    tensor([1., 0.], dtype=float32)
    """
    operation = "scaled_dot_product_attention"
    same_dtype(operation, query=query, key=key, value=value)
    if not 0.0 <= dropout_p < 1.0:
        raise ArgumentError(operation, f"dropout_p must be in [0, 1), got {dropout_p}")
    shape = query.shape
    if enable_gqa:
        query, key, value = _grouped(operation, query, key, value)
    _check_shapes(operation, query, key, value)
    if attn_mask is not None:
        if is_causal:
            raise ArgumentError(operation, "is_causal must be False beside attn_mask, got True")
        scores = (*shape[:-2], shape[-2], key.shape[-2])
        attn_mask = _fitting_mask(operation, query, key, attn_mask, scores, enable_gqa)
    if scale is None:
        scale = 1.0 / math.sqrt(query.shape[-1]) if query.shape[-1] else 1.0
    dtype = query.dtype
    mask = attn_mask
    if mask is not None and mask.dtype != bool:
        mask = wide(mask)
    op = Attention(float(scale), is_causal, dropout_p)
    y = cast(apply(op, wide(query), wide(key), wide(value), mask), dtype)
    return y.reshape(*shape[:-1], value.shape[-1]) if enable_gqa else y


def _check_shapes(operation: str, query: Tensor, key: Tensor, value: Tensor) -> None:
    together = {"query": query, "key": key, "value": value}
    for name, x in together.items():
        if x.ndim < 2:
            shape_error(operation, f"{name} must have at least two axes, got {x.shape}", **together)
    if query.shape[-1] != key.shape[-1]:
        got = f"{query.shape[-1]} and {key.shape[-1]}"
        shape_error(operation, f"query and key must have equal last axes, got {got}", **together)
    if key.shape[-2] != value.shape[-2]:
        got = f"{key.shape[-2]} and {value.shape[-2]}"
        shape_error(operation, f"key and value must be equally long, got {got}", **together)
    if broadcast_shape(*[x.shape[:-2] for x in together.values()]) is None:
        got = ", ".join(str(x.shape[:-2]) for x in together.values())
        shape_error(operation, f"leading axes must broadcast, got {got}", **together)


def _grouped(operation: str, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
    """Heads that share a key side by side in an axis of their own, along which it is repeated."""
    together = {"query": query, "key": key, "value": value}
    for name, x in together.items():
        if x.ndim < 3:
            rule = f"{name} must have an axis of heads where enable_gqa is set, got {x.shape}"
            shape_error(operation, rule, **together)
    heads, few = query.shape[-3], key.shape[-3]
    if few != value.shape[-3] or not few or heads % few:
        got = f"{heads}, {few} and {value.shape[-3]}"
        rule = f"key and value must have equally many heads, which divide query's, got {got}"
        shape_error(operation, rule, **together)
    return query.unflatten(-3, (few, heads // few)), key.unsqueeze(-3), value.unsqueeze(-3)


def _fitting_mask(
    operation: str, query: Tensor, key: Tensor, mask: Any, scores: tuple[int, ...], grouped: bool
) -> Tensor:
    """The mask, with its heads grouped as the queries' are."""
    is_tensor(operation, "attn_mask", mask)
    if mask.dtype != bool and mask.dtype != query.dtype:
        rule = f"attn_mask must be bool or {query.dtype} as query, got {mask.dtype}"
        raise DTypeError(operation, rule, describe(query=query, attn_mask=mask))
    if not grouped:
        lead = broadcast_shape(query.shape[:-2], key.shape[:-2])
        scores = (*(lead or ()), query.shape[-2], key.shape[-2])
    if mask.ndim < 2 or broadcast_shape(mask.shape, scores) != scores:
        rule = f"attn_mask must broadcast to (..., L, S) = {scores}, got {mask.shape}"
        shape_error(operation, rule, query=query, key=key)
    if grouped and mask.ndim > 2:
        if mask.shape[-3] == 1:
            return mask.unsqueeze(-3)
        return mask.unflatten(-3, tuple(query.shape[-4:-2]))
    return mask
