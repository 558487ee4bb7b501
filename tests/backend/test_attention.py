"""Attention in one pass against its definition, and on any number of threads the same bits."""

import math

import numpy as np
import pytest

from gpunet.backend.cpu import attention, gemm, threads
from tests.tolerance import EPS, bound

ROWS, SHORT = attention.ROWS, attention.SHORT
# Leading axes, queries, keys, features of queries and of values, keys that the first query sees.
SHAPES = [
    ((1,), 1, 1, 1, 1, 1),
    ((2, 3), 5, 7, 4, 6, 7),
    ((3,), 7, 9, 5, 2, 1),
    ((2, 2), ROWS, ROWS, 8, 8, 1),
    ((2,), ROWS + 1, ROWS + 1, 3, 5, 1),
    ((1, 2), 2 * ROWS + 3, 40, 8, 9, 40),
    ((2,), 2 * ROWS + 3, 2 * ROWS + 9, 8, 1, 4),
    ((1,), ROWS + 3, SHORT + 9, 8, 4, 5),
    ((1,), 3, 300, 2, 7, 290),
]
LAYOUTS = {
    "as it is": lambda x: x,
    "heads inside": lambda x: x.swapaxes(-2, -3).copy().swapaxes(-2, -3),
    "keys in the last axis": lambda x: x.swapaxes(-1, -2).copy().swapaxes(-1, -2),
    "every second one": lambda x: np.repeat(x, 2, -1)[..., ::2],
}


def drawn(shape, dtype):
    lead, queries, keys, features, width, _ = shape
    rng = np.random.default_rng(0)
    rows = (queries, features), (keys, features), (keys, width), (queries, width)
    return [rng.standard_normal((*lead, *axes)).astype(dtype) for axes in rows]


def passes(operands, shape):
    """The result and the gradients of q, k and v."""
    q, k, v, gy = operands
    scale, first = 1 / math.sqrt(q.shape[-1]), shape[-1]
    out, *gradients = (np.full(x.shape, np.nan, x.dtype) for x in (gy, q, k, v))
    attention.attention_fwd(q, k, v, out, scale, first)
    attention.attention_bwd(gy, q, k, v, *gradients, scale, first, None)
    return out, *gradients


def expected(operands, shape, dtype):
    """The same, computed step by step in `dtype`."""
    q, k, v, gy = (x.astype(dtype) for x in operands)
    scale, (queries, keys), first = 1 / math.sqrt(q.shape[-1]), shape[1:3], shape[-1]
    scores = scale * np.einsum("...qi,...ki->...qk", q, k)
    scores[..., np.arange(keys) >= first + np.arange(queries)[:, None]] = -np.inf
    e = np.exp(scores - scores.max(-1, keepdims=True))
    p = e / e.sum(-1, keepdims=True)
    gp = np.einsum("...qi,...ki->...qk", gy, v)
    gs = scale * p * (gp - (gp * p).sum(-1, keepdims=True))
    return (
        np.einsum("...qk,...ki->...qi", p, v),
        np.einsum("...qk,...ki->...qi", gs, k),
        np.einsum("...qk,...qi->...ki", gs, q),
        np.einsum("...qk,...qi->...ki", p, gy),
    )


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_definition(shape, dtype, layout) -> None:
    operands = [LAYOUTS[layout](x) for x in drawn(shape, dtype)]
    in_double, in_single = (expected(operands, shape, d) for d in ("float64", "float32"))
    for got, exact, single in zip(passes(operands, shape), in_double, in_single, strict=True):
        amplified = np.abs(single - exact).max() / EPS["float32"]
        assert np.abs(got - exact).max() <= bound(amplified, np.abs(exact).max(), dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_number_of_threads_changes_no_bit(monkeypatch, dtype) -> None:
    monkeypatch.setattr(gemm, "SHARED_WORK", 0)
    shape = ((3, 2), ROWS + 5, ROWS + 7, 6, 5, 3)
    found = []
    for count in ("1", "2", "5"):
        monkeypatch.setenv("GPUNET_NUM_THREADS", count)
        threads.close()
        found.append([y.tobytes() for y in passes(drawn(shape, dtype), shape)])
    threads.close()
    assert found[1] == found[2] == found[0]


def test_nan_stays_in_its_row() -> None:
    shape = ((1, 2), 5, 7, 4, 6, 7)
    q, k, v, gy = drawn(shape, "float32")
    q[0, 1, 3, 0] = np.nan
    out = passes((q, k, v, gy), shape)[0]
    assert np.isnan(out[0, 1, 3]).all()
    out[0, 1, 3] = 0
    assert not np.isnan(out).any()
