"""Sequences: the rows I1 to I3 of docs/lectures.md."""

from __future__ import annotations

import numpy as np
import pytest
from rich.console import Console

import gpunet
from gpunet import nn
from gpunet.recipes import Show, memory
from tests.tolerance import EPS


def test_I1_recurrent_layers(demo) -> None:
    """The formulas of the lecture; one and two layers and directions, lengths of 12, 7 and 1."""
    differences = demo("recurrent")["differences"]
    assert {name for name, _ in differences} == {"RNN", "LSTM", "GRU"}
    assert len(differences) == 12
    assert max(differences.values()) < 2**6 * EPS["float64"]


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_I1_equals_pytorch(name, layers, bidirectional) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: NOT compared with it")
    options = {"num_layers": layers, "bidirectional": bidirectional, "batch_first": True}
    x, lengths = np.random.default_rng(0).normal(size=(3, 9, 4)), np.array([9, 2, 5])
    ours = getattr(nn, name)(4, 6, dtype="float64", **options)
    theirs = getattr(torch.nn, name)(4, 6, dtype=torch.float64, **options)
    theirs.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in ours.state_dict().items()})
    utils = torch.nn.utils.rnn
    packed = utils.pack_padded_sequence(torch.from_numpy(x), lengths, True, enforce_sorted=False)
    expected, _ = utils.pad_packed_sequence(theirs(packed)[0], batch_first=True)
    got = ours(gpunet.tensor(x), lengths=lengths)[0].detach().numpy()
    np.testing.assert_allclose(got, expected.detach().numpy(), atol=2**6 * EPS["float64"])


def test_I2_many_to_one(demo) -> None:
    results = demo("many_to_one")
    assert results["accuracy"] > 0.9
    assert results["after each line"][0] < 0.3  # one line does not tell


def test_I2_one_to_many(demo) -> None:
    results = demo("one_to_many")
    assert results["accuracy"] > 0.9
    assert results["words"] > 0.98


def test_I2_many_to_many(demo) -> None:
    """Better than the simple rule, and better with both directions than with one."""
    f1 = demo("tagging")["f1"]
    assert f1["after a new line"] < f1["GRU, forwards"] < f1["GRU, both directions"]
    assert f1["GRU, both directions"] > 0.85


def test_I2_sequence_to_sequence(demo, performance) -> None:
    results = demo("seq2seq")
    assert results["loss"] < 3  # nats a word, of about 1,500: e^7.3
    for (_, greedy), (_, beam) in zip(results["greedy"], results["beam"], strict=True):
        assert beam >= greedy - 1e-3
    # Attention goes along the German words.
    weights = results["weights"]
    np.testing.assert_allclose(weights.sum(1), 1, atol=2**4 * EPS["float32"])
    looked = weights.argmax(1)
    assert np.corrcoef(looked, np.arange(len(looked)))[0, 1] > 0.7
    assert [path.name for path in performance("seq2seq").figures] == ["attention.png"]


def check_memory(results, lengths) -> None:
    for length in lengths:
        assert results["accuracy"]["RNN", length] < 0.3  # by chance 1/8
        assert results["accuracy"]["LSTM", length] > 0.98
        assert results["accuracy"]["GRU", length] > 0.98
    assert results["ratio"]["RNN"] < 1e-12
    assert min(results["ratio"]["LSTM"], results["ratio"]["GRU"]) > 1e-4


def test_I3_long_memory(demo, performance) -> None:
    check_memory(demo("memory"), (50, 100))
    assert len(performance("memory").figures) == 1


@pytest.mark.exhaustive
def test_I3_longer_memory(tmp_path) -> None:
    show = Show(tmp_path, console=Console(width=100))
    check_memory(memory.run(show, lengths=(50, 100, 200, 400), steps=4000), (50, 100, 200, 400))
