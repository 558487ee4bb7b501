"""Attention on a pretended GPU: which kernels it starts, on which arrays, and what it keeps."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest

import gpunet
from bench import kernels
from gpunet import functional as F
from gpunet.backend.cuda.attention import tiles
from gpunet.errors import ArgumentError
from tests.kernels import needs
from tests.tolerance import EPS, bound

pytestmark = needs.compiler

FUSED = ["attention_fwd", "attention_bwd", "attention_bwd_finish"]


def attend(device, shapes, dtype="float32", heads_inside=False, **options):
    """The result and the gradients of q, k and v."""
    rng = np.random.default_rng(0)

    def heads(shape):
        values = gpunet.tensor(rng.standard_normal(shape).astype(dtype), device=device)
        if heads_inside:
            values = values.swapaxes(-2, -3).contiguous().swapaxes(-2, -3).detach()
        return values.requires_grad_()

    q, k, v = (heads(shape) for shape in shapes)
    y = F.scaled_dot_product_attention(q, k, v, **options)
    upstream = rng.standard_normal(y.shape).astype(dtype)
    y.backward(gpunet.tensor(upstream, device=device))
    return [x.numpy() for x in (y.detach(), q.grad, k.grad, v.grad)]


def started(be, shapes, **options):
    """The kernels that both passes start, after their results were found right."""
    with kernels.launches(be) as found:
        results = attend(be.device, shapes, **options)
    exact, single = (attend("cpu", shapes, dtype, **options) for dtype in ("float64", "float32"))
    for result, truth, other in zip(results, exact, single, strict=True):
        amplified = np.abs(other - truth).max() / EPS["float32"]
        assert np.abs(result - truth).max() <= bound(amplified, np.abs(truth).max(), "float32")
    return [launch.kernel for launch in found]


SHAPES = [(2, 3, 5, 8), (2, 3, 7, 8), (2, 3, 7, 6)]


@pytest.mark.parametrize("heads_inside", [False, True])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    "shapes",
    [
        SHAPES,
        [s[1:] for s in SHAPES],
        [(2, *s) for s in SHAPES],
        [(1, 2, 70, 40), (1, 2, 70, 40), (1, 2, 70, 100)],
    ],
    ids=str,
)
def test_three_launches_and_nothing_else(be, shapes, causal, heads_inside) -> None:
    assert started(be, shapes, is_causal=causal, heads_inside=heads_inside) == FUSED


def test_nothing_is_copied(be, monkeypatch) -> None:
    x = gpunet.tensor(np.random.default_rng(0).random((2, 5, 3 * 12), "f4"), device=be.device)
    q, k, v = (part.unflatten(-1, (3, 4)).transpose(1, 2) for part in x.chunk(3, -1))
    monkeypatch.setattr(be, "copy", None)
    monkeypatch.setattr(be, "matmul", None)
    y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    assert y.shape == (2, 3, 5, 4)


def test_what_the_kernels_do_not_know_is_copied(be) -> None:
    rng = np.random.default_rng(0)
    shape = 2, 2, 3, 5, 4
    made = [be.asarray(rng.random(shape, "f4")) for _ in "qkv"]
    expected, out = be.empty(shape, "f4"), be.empty(shape, "f4")
    be.attend(*made, expected, 0.5, 5)
    last = [be.copy(x.swapaxes(-1, -2)).swapaxes(-1, -2) for x in made]
    several = [be.copy(x.transpose(2, 1, 0, 3, 4)).transpose(2, 1, 0, 3, 4) for x in made]
    for views in (last, several):
        out.fill(0)
        be.attend(*views, out, 0.5, 5)
        np.testing.assert_array_equal(be.to_host(out), be.to_host(expected))


def test_one_call_for_any_number_of_scores(be, monkeypatch) -> None:
    monkeypatch.setattr("gpunet.functional.attention.SCORES", 1)
    assert started(be, SHAPES) == FUSED


@pytest.mark.parametrize(
    ("shapes", "options"),
    [
        ([(1, 3, 129), (1, 3, 129), (1, 3, 4)], {}),
        ([(1, 3, 4), (1, 3, 4), (1, 3, 129)], {}),
        ([(2, 3, 5, 8), (1, 1, 7, 8), (1, 1, 7, 6)], {}),
    ],
)
def test_what_does_not_fit_is_made_of_products(be, shapes, options) -> None:
    assert not set(started(be, shapes, **options)) & set(FUSED)


def test_a_device_of_little_shared_memory(be, monkeypatch) -> None:
    limits = replace(be.attention.limits, shared=tiles(8, 4).backward)
    monkeypatch.setattr(be.attention, "limits", limits)
    assert started(be, SHAPES) == FUSED
    monkeypatch.setattr(be.attention, "limits", replace(limits, shared=limits.shared - 1))
    assert not set(started(be, SHAPES)) & set(FUSED)


def test_the_memory_of_the_tiles() -> None:
    # Rows of 32 + 4 elements, 64 of each operand; the weights; lse and delta.
    assert tiles(32, 4).forward == 4 * (64 * 36 * 3 + 64 * 72)
    assert tiles(1, 4).backward == 4 * (64 * 36 * 4 + 64 * 72 + 2 * 64)
    # All that is needed on an H100, and of float32 up to 64 features twice as much.
    assert max(tiles(128, size).backward for size in (4, 8)) <= 227 << 10
    assert 2 * tiles(64, 4).backward <= 227 << 10


def test_a_recorded_step_goes_on_with_new_values(be) -> None:
    rng = np.random.default_rng(0)
    made = [rng.standard_normal((2, 3, 6, 4)).astype("f4") for _ in range(6)]
    given = [be.asarray(x) for x in made[:3]]
    found = [be.full((2, 3, 6, 4), 0, "float32") for _ in range(4)]

    def step() -> None:
        kept = be.attend(*given, found[0], 0.5, 1)
        be.attend_bwd(given[0], tuple(given), tuple(found[1:]), 0.5, 1, kept)

    replay = be.record(step)
    replay()
    for x, values in zip(given, made[3:], strict=True):
        x[...] = be.asarray(values)
    replay()
    again = [be.to_host(x) for x in found]
    step()
    for x, expected in zip(again, found, strict=True):
        np.testing.assert_array_equal(x, be.to_host(expected))


# --- views as arguments of a kernel


def passes(be, place):
    """Both passes, the gradients where `place` makes them of an empty buffer."""
    rng = np.random.default_rng(0)
    q, k, v, gy = (be.asarray(rng.random((2, 3, 5, 4), "f4")) for _ in range(4))
    out = be.empty((2, 3, 5, 4), "float32")
    kept = be.attend(q, k, v, out, 0.5, 5)
    buffer = be.full((2, 5, 4, 3, 4), -1.0, "float32")
    gradients = place(buffer)
    be.attend_bwd(gy, (q, k, v), gradients, 0.5, 5, kept)
    return be.to_host(buffer), [be.to_host(x) for x in gradients]


def three(buffer):
    return tuple(buffer[:, :, i].swapaxes(1, 2) for i in range(3))


def test_gradients_may_be_columns_of_one_array(be) -> None:
    buffer, parts = passes(be, three)
    apart = passes(be, lambda x: tuple(be.empty((2, 3, 5, 4), "float32") for _ in range(3)))[1]
    for part, expected in zip(parts, apart, strict=True):
        np.testing.assert_array_equal(part, expected)
    assert (buffer[:, :, 3] == -1).all()


@pytest.mark.parametrize(
    "place",
    [
        lambda x: (three(x)[0], three(x)[1], three(x)[1]),
        lambda x: (x[:, :, 0].swapaxes(1, 2), *[x.reshape(-1)[4:124].reshape(2, 3, 5, 4)] * 2),
        lambda x: (
            three(x)[0],
            three(x)[1],
            x.reshape(2, 5, 48)[:, :, 20:32].reshape(2, 5, 3, 4).swapaxes(1, 2),
        ),
    ],
    ids=["the same", "rows of another length", "in part"],
)
def test_gradients_that_overlap_are_refused(be, place) -> None:
    with pytest.raises(ArgumentError, match=re.escape("gk and gv must not overlap, got shared")):
        passes(be, place)


def test_an_axis_that_lies_across_is_refused(be) -> None:
    kernel = be.attention.kernel("attention_fwd", np.dtype("float32"))
    x, y = be.full((1, 1, 4, 4), 1.0, "f4"), be.full((1, 1, 4, 4), 1.0, "f4")
    words = "k must be contiguous along the last axis, got strides"
    with pytest.raises(ArgumentError, match=words):
        kernel((1, 1), 128, x, x.swapaxes(-1, -2), x, y, y, None, 4, math.pi)
