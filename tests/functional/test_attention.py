"""Attention in several blocks is attention in one."""

import sys

import numpy as np
import pytest

import gpunet
from gpunet import functional as F
from gpunet.autograd.memory import arrays_of
from tests.tolerance import EPS

attention = sys.modules["gpunet.functional.attention"]


def run(shapes, mask, **options):
    rng = np.random.default_rng(0)
    inputs = [gpunet.tensor(rng.standard_normal(s), requires_grad=True) for s in shapes]
    if mask is not None:
        inputs.append(gpunet.tensor(mask, requires_grad=mask.dtype != bool))
    y = F.scaled_dot_product_attention(*inputs, **options)
    y.backward(gpunet.tensor(rng.standard_normal(y.shape)))
    blocks = len(y.origin[0].blocks) if hasattr(y.origin[0], "blocks") else 0
    return blocks, [y.detach().numpy()] + [x.grad.numpy() for x in inputs if x.requires_grad]


SHAPES = [(4, 3, 7, 2), (4, 3, 9, 2), (4, 3, 9, 5)]
MASK = np.random.default_rng(1).standard_normal((7, 9))


@pytest.mark.parametrize("scores", [1, 9, 60], ids=lambda n: f"{n} scores")
@pytest.mark.parametrize(
    ("shapes", "mask", "options"),
    [
        (SHAPES, None, {}),
        (SHAPES, None, {"is_causal": True}),
        (SHAPES, MASK, {}),
        (SHAPES, MASK[:, :1], {}),
        (SHAPES, np.repeat(MASK[None, None], 4, 0), {}),
        (SHAPES, MASK > 0, {}),
        ([(1, 7, 2), (4, 9, 2), (1, 9, 5)], None, {}),
        ([(7, 2), (9, 2), (9, 5)], None, {"is_causal": True}),
    ],
)
def test_blocks(monkeypatch, scores, shapes, mask, options) -> None:
    one, whole = run(shapes, mask, **options)
    monkeypatch.setattr(attention, "SCORES", scores)
    several, pieces = run(shapes, mask, **options)
    assert one == 1
    assert several > 1
    for got, expected in zip(pieces, whole, strict=True):
        bound = 2**6 * EPS["float64"] * (1 + np.abs(expected).max())
        assert np.abs(got - expected).max() <= bound


def test_each_block_drops_weights_of_its_own_and_the_same_again_backward(monkeypatch) -> None:
    monkeypatch.setattr(attention, "SCORES", 64)
    gpunet.manual_seed(3)
    x = gpunet.tensor(np.zeros((4, 8, 8)))  # all weights are 1/8
    v = gpunet.tensor(np.broadcast_to(np.eye(8), (4, 8, 8)).copy(), requires_grad=True)
    y = F.scaled_dot_product_attention(x, x, v, dropout_p=0.5)
    weights = y.detach().numpy()
    assert set(np.unique(weights)) == {0.0, 0.25}
    assert len({w.tobytes() for w in weights}) == 4
    y.backward(gpunet.tensor(np.ones((4, 8, 8))))
    expected = np.repeat(weights.sum(1)[..., None], 8, -1)
    np.testing.assert_array_equal(v.grad.numpy(), expected)


def test_no_weights_are_kept() -> None:
    x = gpunet.tensor(np.ones((1, 2048, 4), "float32"), requires_grad=True)
    y = F.scaled_dot_product_attention(x, x, x)
    assert sum(a.size for a in arrays_of(y.origin[0].saved)) <= 3 * x.numel()
