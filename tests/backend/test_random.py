"""Randomness: a function of the seed alone, and taken up again exactly where it was put down."""

import json

import numpy as np
import pytest

import gpunet
from gpunet import nn
from gpunet.backend.random import RandomState, random
from gpunet.errors import ArgumentError


def weights() -> list[bytes]:
    model = nn.Sequential(nn.Linear(7, 5), nn.ReLU(), nn.Linear(5, 3))
    nn.init.xavier_normal_(model[0].weight)
    return [parameter.array.tobytes() for parameter in model.parameters()]


def test_same_seed_same_weights() -> None:
    gpunet.manual_seed(3)
    first = weights()
    assert weights() != first
    gpunet.manual_seed(3)
    assert weights() == first
    gpunet.manual_seed(4)
    assert weights() != first


def test_the_stream_is_numpys_philox() -> None:
    """So that weights are the same in another version, and on another machine."""
    gpunet.manual_seed(5)
    expected = np.random.Generator(np.random.Philox(5)).uniform(-0.5, 0.5, (3, 4)).astype("float32")
    np.testing.assert_array_equal(nn.Linear(4, 3, bias=False).weight.array, expected)


def test_counters_are_never_used_twice() -> None:
    state = RandomState(9)
    assert [state.next_counter() for _ in range(3)] == [(9, 1), (9, 2), (9, 3)]
    state.seed(9)
    assert state.next_counter() == (9, 1)


@pytest.mark.parametrize("drawn", [0, 1, 2, 3, 7])
def test_state_goes_on_exactly_after_json(drawn) -> None:
    """Also amid a block of four words, and with half a word left over."""
    state = RandomState(11)
    for _ in range(drawn):
        state.host.random()
        state.host.integers(0, 10, dtype="int32")
        state.next_counter()
    saved = json.dumps(state.state_dict())
    expected = [*state.host.random(5), *state.host.integers(0, 99, 5, dtype="int32")]
    other = RandomState(12)
    other.load_state_dict(json.loads(saved))
    got = [*other.host.random(5), *other.host.integers(0, 99, 5, dtype="int32")]
    assert got == expected
    assert other.next_counter() == (11, drawn + 1)


def test_dropout_follows_the_seed() -> None:
    x, layer = gpunet.tensor(np.ones(100, "float32")), nn.Dropout(0.5)
    gpunet.manual_seed(1)
    first, second = layer(x).array, layer(x).array
    gpunet.manual_seed(1)
    np.testing.assert_array_equal(layer(x).array, first)
    assert (first != second).any()


@pytest.mark.parametrize("seed", [0, 2**63 - 1])
def test_seeds_at_the_ends(seed) -> None:
    gpunet.manual_seed(seed)
    nn.Dropout(0.5)(gpunet.tensor([1.0] * 8))
    assert random.state_dict()["seed"] == seed


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_seeds_outside_are_refused(seed) -> None:
    before = random.state_dict()
    with pytest.raises(ArgumentError, match=rf"seed: must be in \[0, 2\*\*63\), got {seed}"):
        gpunet.manual_seed(seed)
    assert random.state_dict() == before
