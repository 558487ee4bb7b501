"""Images: the rows H1 to H3 of docs/lectures.md."""

from __future__ import annotations

import numpy as np
import pytest

import gpunet
from gpunet import functional as F
from gpunet import nn
from tests.tolerance import EPS


def test_H1_handwritten_digits(demo, performance) -> None:
    results = demo("digits")
    p = results["probabilities"]
    assert p.shape == (10_000, 10)  # of the real MNIST's test set
    np.testing.assert_allclose(p.sum(1), 1, atol=2**4 * EPS["float32"])
    np.testing.assert_array_equal(results["answers"], p.argmax(1))
    assert results["accuracy"] > 0.97
    assert {path.name for path in performance("digits").figures} == {"digits.png", "confusion.png"}


def test_H2_convolution_and_pooling(demo, performance) -> None:
    results = demo("convolution")
    assert len(results["differences"]) == 10
    assert max(results["differences"]) < 2**7 * EPS["float64"]  # sums of at most 147 products
    assert results["flat"] == 3 * 28 * 28
    assert results["accuracy"] > 0.8
    names = {path.name for path in performance("convolution").figures}
    assert names == {"filters.png", "feature_maps.png"}


@pytest.mark.parametrize(
    ("filters", "kernel", "stride", "padding"),
    [
        (1, 1, 1, 0),
        (8, 3, 1, "same"),
        (4, 5, 1, "valid"),
        (6, (3, 5), (2, 1), (1, 2)),
        (2, 4, 3, 2),
    ],
)
def test_H2_equals_pytorch(filters, kernel, stride, padding) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: NOT compared with it")
    x = np.random.default_rng(0).normal(size=(2, 3, 14, 15))
    ours = nn.Conv2d(3, filters, kernel, stride, padding, dtype="float64")
    theirs = torch.nn.Conv2d(3, filters, kernel, stride, padding, dtype=torch.float64)
    theirs.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in ours.state_dict().items()})
    a, b = ours(gpunet.tensor(x)), theirs(torch.from_numpy(x))
    close = {"rtol": 0, "atol": 2**7 * EPS["float64"]}
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), **close)
    for one, other in (
        (F.max_pool2d(a, 2), torch.nn.functional.max_pool2d(b, 2)),
        (F.avg_pool2d(a, 3, 2), torch.nn.functional.avg_pool2d(b, 3, 2)),
        (F.flatten(a, 1), torch.flatten(b, 1)),
    ):
        np.testing.assert_allclose(one.detach().numpy(), other.detach().numpy(), **close)


def test_H3_residual_connections(demo, performance) -> None:
    results = demo("residual")
    assert results["accuracy"]["residual"] > 0.9
    assert results["accuracy"]["plain"] < results["accuracy"]["residual"] - 0.2
    last = {name: np.mean(losses[-20:]) for name, losses in results["losses"].items()}
    assert last["plain"] > 2 * last["residual"]
    assert len(performance("residual").figures) == 1
