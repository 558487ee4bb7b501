"""A Dataset is sound or is not made."""

import numpy as np
import pytest

from gpunet.data import Dataset
from gpunet.errors import ArgumentError, DataError, DTypeError

CLASSES = ("cat", "dog")


def inputs(count: int = 4) -> np.ndarray:
    return np.arange(count * 6, dtype=np.float32).reshape(count, 1, 2, 3)


def make(count: int = 4) -> Dataset:
    return Dataset("pets", inputs(count), np.arange(count) % 2, CLASSES)


def test_length_and_repr() -> None:
    assert len(make(4)) == 4
    assert repr(make(4)) == "Dataset('pets', inputs (4, 1, 2, 3), 2 classes)"


@pytest.mark.parametrize(
    ("count", "labels", "message"),
    [
        (
            4,
            [0, 1, 1],
            "targets must have shape (N, ...) for inputs (N, ...), got (3,) for (4, 1, 2, 3)",
        ),
        (
            4,
            [[0], [1], [1], [0]],
            "targets of images (N, C, H, W) must have shape (N,) or (N, H, W), "
            "got (4, 1) for (4, 1, 2, 3)",
        ),
        (4, np.zeros((4, 3, 2)), "or (N, H, W), got (4, 3, 2) for (4, 1, 2, 3)"),
        (2, [[[0, 1, 0], [0, 0, 1]], [[1, 1, 1], [1, 0, 2]]], "got 2 at index 1, 1, 2"),
        (0, [], "must hold at least one example, got inputs of shape (0, 1, 2, 3)"),
        (4, [0, 1, 2, 7], "labels must be in 0..1, got 2 at index 2"),
        (4, [0, -1, 0, 9], "labels must be in 0..1, got -1 at index 1"),
    ],
)
def test_unsound_sets_are_refused(count: int, labels: list[int], message: str) -> None:
    with pytest.raises(DataError) as caught:
        Dataset("pets", inputs(count), np.array(labels, np.int64), CLASSES)
    assert message in str(caught.value)
    assert str(caught.value).endswith("data set 'pets'")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_first_value_that_is_not_finite_is_named(value: float) -> None:
    values = inputs(4)
    values[2, 0, 1, 0] = value
    values[3] = np.nan
    with pytest.raises(DataError) as caught:
        Dataset("pets", values, np.zeros(4, np.int64), CLASSES)
    assert f"inputs must be finite, got {value} at index (2, 0, 1, 0)" in str(caught.value)


def test_a_value_that_is_not_finite_is_found_in_a_later_block(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gpunet.data.dataset.BLOCK", 5)
    values = inputs(4)
    values[3, 0, 1, 2] = np.nan  # the very last value, in a block that is not full
    with pytest.raises(DataError, match=r"got nan at index \(3, 0, 1, 2\)"):
        Dataset("pets", values, np.zeros(4, np.int64), CLASSES)


def test_other_dtypes_are_refused() -> None:
    with pytest.raises(DTypeError, match="inputs must be float32 or int64, got float64"):
        Dataset("pets", inputs().astype(np.float64), np.zeros(4, np.int64), CLASSES)
    with pytest.raises(DTypeError, match="targets must be float32 or int64, got int32"):
        Dataset("pets", inputs(), np.zeros(4, np.int32), CLASSES)


def test_targets_may_be_values() -> None:
    values = np.linspace(-1, 1, 8, dtype=np.float32).reshape(4, 2)
    data = Dataset("prices", inputs(), values, ())
    assert repr(data) == "Dataset('prices', inputs (4, 1, 2, 3), targets (4, 2))"
    np.testing.assert_array_equal(data.subset([2]).targets, values[2:3])
    values[3, 1] = np.inf
    with pytest.raises(DataError, match=r"targets must be finite, got inf at index \(3, 1\)"):
        Dataset("prices", inputs(), values, ())


def test_tokens_are_integers_from_0_on() -> None:
    tokens = np.arange(6).reshape(2, 3)
    data = Dataset("text", tokens, tokens % 2, CLASSES)
    np.testing.assert_array_equal(data.subset([1]).inputs, [[3, 4, 5]])
    with pytest.raises(DataError, match="tokens must be at least 0, got -1 at index 0, 1; data"):
        Dataset("text", tokens - 2 * (tokens == 1), tokens % 2, CLASSES)


def test_subset_copies_the_chosen_examples_in_their_order() -> None:
    data = make(4)
    part = data.subset([3, 0, 3])
    np.testing.assert_array_equal(part.inputs, inputs(4)[[3, 0, 3]])
    np.testing.assert_array_equal(part.targets, [1, 0, 1])
    assert (part.name, part.classes) == ("pets", CLASSES)
    part.inputs[:] = 0
    np.testing.assert_array_equal(data.inputs, inputs(4))


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ([0, 4], "indices must be in 0..3, got 4 at index 1"),
        ([-1], "indices must be in 0..3, got -1 at index 0"),
        ([True, False, True, False], "indices must be a list of integers, got bool"),
        ([0.0, 1.0], "indices must be a list of integers, got float64"),
        ([[0, 1]], "of shape (1, 2)"),
    ],
)
def test_subset_refuses_what_is_no_index(indices: list, message: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        make(4).subset(indices)
    assert message in str(caught.value)


def test_an_empty_subset_is_refused_as_an_empty_set() -> None:
    with pytest.raises(DataError, match="must hold at least one example"):
        make(4).subset([])


def test_split_parts_are_disjoint_complete_and_keep_the_order() -> None:
    data = Dataset(
        "row", np.arange(50, dtype=np.float32)[:, None], np.zeros(50, np.int64), ("one",)
    )
    train, validation = data.split(0.3, seed=7)
    assert (len(train), len(validation)) == (35, 15)
    both = np.concatenate([train.inputs, validation.inputs])[:, 0]
    np.testing.assert_array_equal(np.sort(both), np.arange(50))
    assert (np.diff(train.inputs[:, 0]) > 0).all()
    assert (np.diff(validation.inputs[:, 0]) > 0).all()


def test_split_depends_on_the_seed_alone() -> None:
    data = make(40)
    first, again, other = (data.split(0.5, seed=s)[1].inputs for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("fraction", [0.0, 0.01, 0.99, 1.0, -0.5])
def test_split_leaves_no_part_empty(fraction: float) -> None:
    with pytest.raises(
        ArgumentError, match="fraction must leave both parts at least one of 4 examples"
    ):
        make(4).split(fraction, seed=0)
