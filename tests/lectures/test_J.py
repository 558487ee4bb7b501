"""Transformers: the row J1 of docs/lectures.md."""

from __future__ import annotations

import numpy as np
import pytest

import gpunet
from gpunet import nn
from tests.tolerance import EPS


def test_J1_parts_of_a_transformer(demo) -> None:
    differences = demo("attention")["differences"]
    assert set(differences) == {
        *("attention", "multi-head attention", "layer normalisation"),
        *("positional encoding", "encoder block"),
    }
    assert max(differences.values()) < 2**7 * EPS["float64"]


@pytest.mark.parametrize("norm_first", [False, True])
def test_J1_equals_pytorch(norm_first) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: NOT compared with it")
    sizes, options = (16, 4, 32, 0.0), {"batch_first": True, "norm_first": norm_first}
    ours = nn.TransformerEncoderLayer(*sizes, dtype="float64", **options)
    theirs = torch.nn.TransformerEncoderLayer(*sizes, dtype=torch.float64, **options)
    theirs.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in ours.state_dict().items()})
    x = np.random.default_rng(0).normal(size=(2, 7, 16))
    mask = np.triu(np.ones((7, 7), bool), 1)
    got = ours(gpunet.tensor(x), gpunet.tensor(mask)).detach().numpy()
    expected = theirs(torch.from_numpy(x), torch.from_numpy(mask)).detach().numpy()
    np.testing.assert_allclose(got, expected, atol=2**7 * EPS["float64"])


def test_J1_trains_on_real_text(demo) -> None:
    results = demo("shakespeare")
    assert results["test loss"] < results["pairs"] - 0.2
    assert len(results["sample"]) == 300
    assert results["sample"].count(" ") > 20
