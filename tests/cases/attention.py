"""Attention, by its definition: a matrix of weights for each pair of leading positions."""

import numpy as np

from gpunet.errors import ArgumentError, DTypeError, ShapeError
from tests.cases.case import SEED, Case, Edge, Invalid, constant, exactly, labels, normal
from tests.cases.dropout import OTHERS, mask


def _attention(q, k, v, m=None, p=0.0, causal=False, scale=None, gqa=False, **named):
    m, causal = named.get("attn_mask", m), named.get("is_causal", causal)
    p, scale = named.get("dropout_p", p), named.get("scale", scale)
    if named.get("enable_gqa", gqa):
        k, v = (np.repeat(x, q.shape[-3] // x.shape[-3], -3) for x in (k, v))
    scores = np.einsum("...le,...se->...ls", q, k) * (scale or q.shape[-1] ** -0.5)
    if causal:
        m = np.tri(*scores.shape[-2:], dtype=bool)
    if m is not None:
        scores = np.where(m, scores, -np.inf) if m.dtype == bool else scores + m
    top = scores.max(-1, keepdims=True, initial=-1e300)
    e = np.exp(scores - top) if scores.dtype == "float64" else np.exp(scores - top, dtype="f4")
    weights = e / np.maximum(e.sum(-1, keepdims=True), np.finfo(e.dtype).tiny)
    lead = np.broadcast_shapes(weights.shape[:-2], v.shape[:-2])
    weights = np.broadcast_to(weights, (*lead, *weights.shape[-2:]))
    if p:
        kept = mask(weights.size, p, SEED, call=1).reshape(weights.shape)
        weights = np.where(kept, weights / (1 - p), 0)
    return np.einsum("...ls,...sv->...lv", weights.astype(q.dtype), v)


def _three(*shapes):
    return [normal(*shape) for shape in shapes]


def scaled_dot_product_attention():
    f = _attention
    plain = _three((5, 4), (5, 4), (5, 4))
    heads = _three((2, 3, 5, 4), (2, 3, 7, 4), (2, 3, 7, 6))
    yield Case(f, heads)
    yield Case(f, plain)
    yield Case(f, _three((1, 1), (1, 1), (1, 1)))
    yield Case(f, _three((3, 1, 2, 4), (1, 2, 3, 4), (2, 3, 1)))
    yield Case(f, _three((2, 4), (3, 4), (5, 3, 1)))  # more values than weights
    yield Case(f, _three((1, 2, 4), (3, 1, 2, 4), (3, 5, 2, 1)), dict(is_causal=True))
    yield Case(f, _three((0, 5, 4), (0, 5, 4), (0, 5, 4)))
    yield Case(f, _three((2, 0, 4), (2, 5, 4), (2, 5, 3)))
    yield Case(f, _three((2, 3, 4), (2, 0, 4), (2, 0, 3)))  # nothing to see
    yield Case(f, heads, dict(is_causal=True))
    yield Case(f, _three((2, 7, 4), (2, 5, 4), (2, 5, 4)), dict(is_causal=True, scale=0.2))
    yield Case(f, heads, dict(attn_mask=normal(5, 7)))
    yield Case(f, heads, dict(attn_mask=normal(2, 1, 1, 7)))
    yield Case(f, heads, dict(attn_mask=constant(normal(3, 5, 1)), scale=2.0))
    seen = np.arange(35).reshape(5, 7) % 3 > 0
    seen[2] = False  # a query that sees nothing
    yield Case(f, heads, dict(attn_mask=exactly(seen)))
    yield Case(f, heads, dict(attn_mask=exactly(seen[0].reshape(1, 1, 1, 7))))
    yield Edge(f, heads, dict(attn_mask=exactly(np.where(seen, 0.0, -np.inf))))
    few = _three((2, 6, 5, 4), (2, 2, 7, 4), (2, 2, 7, 3))
    yield Case(f, few, dict(enable_gqa=True, is_causal=False))
    yield Case(f, few, dict(enable_gqa=True, attn_mask=normal(6, 5, 7)))
    yield Case(f, few, dict(enable_gqa=True, attn_mask=normal(2, 1, 5, 7)))
    yield Case(f, heads, dict(dropout_p=0.3), unlike_torch=OTHERS)
    yield Case(f, plain, dict(dropout_p=0.5, is_causal=True), unlike_torch=OTHERS)
    more = _three((2, 4), (3, 4), (5, 3, 1))
    yield Case(f, more, dict(dropout_p=0.5), unlike_torch=OTHERS)
    far = exactly([[1e4, 0.0], [0.0, -1e4]])
    yield Edge(f, [far, far, normal(2, 3)])

    yield Invalid(_three((4,), (5, 4), (5, 4)), ShapeError, "query must have at least two axes")
    rule = "query and key must have equal last axes, got 4 and 3"
    yield Invalid(_three((5, 4), (5, 3), (5, 4)), ShapeError, rule)
    rule = "key and value must be equally long, got 5 and 6"
    yield Invalid(_three((5, 4), (5, 4), (6, 4)), ShapeError, rule)
    rule = "leading axes must broadcast, got (2,), (3,), (3,)"
    yield Invalid(_three((2, 5, 4), (3, 5, 4), (3, 5, 4)), ShapeError, rule)
    rule = "attn_mask must broadcast to (..., L, S) = (2, 3, 5, 7), got (5, 6)"
    yield Invalid(heads, ShapeError, rule, dict(attn_mask=normal(5, 6)))
    rule = "attn_mask must broadcast to (..., L, S) = (5, 5), got (2, 5, 5)"
    yield Invalid(plain, ShapeError, rule, dict(attn_mask=normal(2, 5, 5)))
    rule = "attn_mask must be bool or float64 as query, got int64"
    yield Invalid(plain, DTypeError, rule, dict(attn_mask=labels(2, 5, 5)))
    rule = "is_causal must be False beside attn_mask, got True"
    yield Invalid(plain, ArgumentError, rule, dict(attn_mask=normal(5, 5), is_causal=True))
    for p in (-0.1, 1.0, float("nan")):
        rule = f"dropout_p must be in [0, 1), got {p}"
        yield Invalid(plain, ArgumentError, rule, dict(dropout_p=p))
    gqa = dict(enable_gqa=True)
    yield Invalid(plain, ShapeError, "query must have an axis of heads", gqa)
    rule = "key and value must have equally many heads, which divide query's, got 5, 2 and 2"
    yield Invalid(_three((5, 3, 4), (2, 3, 4), (2, 3, 4)), ShapeError, rule, gqa)
    wrong = [normal(5, 4), labels(3, 5, 4), normal(5, 4)]
    yield Invalid(wrong, DTypeError, "key must be floating, got int64")
