"""The loader's order is a function of seed and epoch, and an interrupted epoch goes on exactly."""

import gc
import threading

import numpy as np
import pytest

from gpunet.data import DataLoader, Dataset
from gpunet.data.transforms import Transform
from gpunet.errors import ArgumentError, CheckpointError
from tests.process import python


def numbers(count: int = 23) -> Dataset:
    """Example i holds i, and so does its label."""
    values = np.arange(count)
    inputs = np.repeat(values[:, None], 3, axis=1).astype(np.float32)
    return Dataset("numbers", inputs, values, tuple(map(str, values)))


def epoch(loader: DataLoader) -> list[int]:
    """The labels of one pass; each input must have come along with its label."""
    labels = []
    for inputs, targets in loader:
        np.testing.assert_array_equal(inputs, np.repeat(targets[:, None], 3, axis=1))
        labels += targets.tolist()
    return labels


def test_without_shuffle_batches_follow_the_set() -> None:
    loader = DataLoader(numbers(10), batch_size=4)
    batches = [targets.tolist() for _, targets in loader]
    assert batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert len(loader) == 3


def test_shuffle_hands_out_every_example_once_an_epoch() -> None:
    loader = DataLoader(numbers(), batch_size=5, shuffle=True)
    first, second = epoch(loader), epoch(loader)
    assert sorted(first) == sorted(second) == list(range(23))
    assert first != second
    assert first != sorted(first)


def test_same_seed_same_orders_other_seed_other_orders() -> None:
    def three_epochs(seed: int) -> list[list[int]]:
        loader = DataLoader(numbers(), batch_size=5, shuffle=True, seed=seed)
        return [epoch(loader) for _ in range(3)]

    assert three_epochs(3) == three_epochs(3)
    assert three_epochs(3) != three_epochs(4)


def test_an_epoch_has_its_order_whatever_ran_before() -> None:
    through = DataLoader(numbers(), batch_size=5, shuffle=True, seed=3)
    for _ in range(4):
        epoch(through)
    straight = DataLoader(numbers(), batch_size=5, shuffle=True, seed=3)
    straight.epoch = 4
    assert epoch(straight) == epoch(through)


def test_batch_size_does_not_change_the_order() -> None:
    orders = [epoch(DataLoader(numbers(), n, shuffle=True, seed=3)) for n in (1, 7, 23, 100)]
    assert orders[1:] == orders[:-1]


def test_drop_last_leaves_out_the_smaller_batch() -> None:
    loader = DataLoader(numbers(10), batch_size=4, drop_last=True)
    assert [targets.tolist() for _, targets in loader] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert len(loader) == 2
    assert len(DataLoader(numbers(8), batch_size=4, drop_last=True)) == 2


def test_batches_are_fresh_arrays() -> None:
    data = numbers(8)
    for inputs, targets in DataLoader(data, batch_size=4):
        inputs[:], targets[:] = -1, -1
    np.testing.assert_array_equal(data.targets, np.arange(8))
    np.testing.assert_array_equal(data.inputs[:, 0], np.arange(8))


def test_batches_of_a_transposed_set_are_contiguous() -> None:
    inputs = np.asfortranarray(np.arange(12, dtype=np.float32).reshape(4, 3))
    data = Dataset("columns", inputs, np.zeros(4, np.int64), ("one",))
    batch, _ = next(iter(DataLoader(data, batch_size=2)))
    assert batch.flags.c_contiguous
    np.testing.assert_array_equal(batch, [[0, 1, 2], [3, 4, 5]])


@pytest.mark.parametrize("stop", [0, 1, 3, 5])
def test_an_interrupted_epoch_goes_on_at_the_next_batch(stop: int) -> None:
    whole = DataLoader(numbers(), batch_size=5, shuffle=True, seed=9)
    whole.epoch = 2
    expected = [targets.tolist() for _, targets in whole]

    interrupted = DataLoader(numbers(), batch_size=5, shuffle=True, seed=9)
    interrupted.epoch = 2
    seen = [targets.tolist() for _, (_, targets) in zip(range(stop), interrupted, strict=False)]
    state = interrupted.state_dict()
    assert state == {"epoch": 2, "position": stop}

    resumed = DataLoader(numbers(), batch_size=5, shuffle=True, seed=9)
    resumed.load_state_dict(state)
    assert resumed.state_dict() == state
    seen += [targets.tolist() for _, targets in resumed]

    assert seen == expected
    assert resumed.state_dict() == whole.state_dict() == {"epoch": 3, "position": 0}
    assert epoch(resumed) == epoch(whole)


def test_state_counts_the_batches_handed_out() -> None:
    loader = DataLoader(numbers(), batch_size=5)
    assert loader.state_dict() == {"epoch": 0, "position": 0}
    states = [loader.state_dict()["position"] for _ in loader]
    assert states == [1, 2, 3, 4, 5]
    assert loader.state_dict() == {"epoch": 1, "position": 0}


def test_a_pass_that_was_left_starts_again_at_the_first_batch() -> None:
    loader = DataLoader(numbers(), batch_size=5, shuffle=True)
    first = next(iter(loader))[1].tolist()
    assert epoch(loader)[:5] == first
    assert loader.epoch == 1


def test_a_transform_changes_an_interrupted_epoch_as_it_would_a_whole_one() -> None:
    def noisy(seed: int) -> DataLoader:
        return DataLoader(
            numbers(),
            batch_size=5,
            shuffle=True,
            seed=seed,
            transform=lambda x, t, draws: (x + draws.uniform(0, 1, x.shape[1:]), t),
        )

    whole = [inputs for inputs, _ in noisy(3)]
    resumed = noisy(3)
    resumed.load_state_dict({"epoch": 0, "position": 2})
    for expected, (inputs, _) in zip(whole[2:], resumed, strict=True):
        np.testing.assert_array_equal(inputs, expected)
    noise = [inputs % 1 for inputs, _ in noisy(3)]
    assert not np.allclose(noise[0], noise[1])
    assert not np.allclose(noise[0], next(iter(resumed))[0] % 1)


def threads() -> int:
    return sum(thread.name.startswith("gpunet-loader") for thread in threading.enumerate())


def refuse(at: int) -> Transform:
    """A transform that fails on the batch that example `at` is in."""

    def transform(inputs, targets, draws):
        if at in targets:
            raise ZeroDivisionError(f"example {at}")
        return inputs, targets

    return transform


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_workers_make_the_same_batches_and_leave_no_thread(workers) -> None:
    alone = DataLoader(numbers(), batch_size=2, shuffle=True, seed=3)
    helped = DataLoader(numbers(), batch_size=2, shuffle=True, seed=3, workers=workers)
    for _ in range(2):
        for (x, t), (y, u) in zip(alone, helped, strict=True):
            assert threads() <= workers
            np.testing.assert_array_equal(x, y)
            np.testing.assert_array_equal(t, u)
            assert helped.state_dict() == alone.state_dict()
    assert threads() == 0


def test_workers_are_ahead_but_not_without_end() -> None:
    made = []
    loader = DataLoader(
        numbers(),
        batch_size=1,
        workers=2,
        transform=lambda x, t, _: made.append(int(t[0])) or (x, t),
    )
    batches = iter(loader)
    next(batches)
    done = threading.Event()
    while len(made) < 5 and not done.wait(0.01):
        pass  # one handed out, two a worker ahead
    assert not done.wait(0.1)
    assert sorted(made) == [0, 1, 2, 3, 4]
    next(batches)
    batches.close()
    assert len(made) <= 6


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_an_error_is_raised_where_its_batch_is_due(workers) -> None:
    loader = DataLoader(numbers(), 5, transform=refuse(12), workers=workers)
    batches = iter(loader)
    assert [next(batches)[1].tolist() for _ in range(2)] == [[*range(5)], [*range(5, 10)]]
    with pytest.raises(ZeroDivisionError, match="example 12") as caught:
        next(batches)
    assert loader.state_dict() == {"epoch": 0, "position": 2}
    assert any(entry.name == "transform" for entry in caught.traceback)
    del caught
    assert threads() == 0


def test_a_pass_that_is_left_stops_its_workers() -> None:
    loader = DataLoader(numbers(), 1, workers=3)
    for _, targets in loader:
        if targets[0] == 4:
            break
    gc.collect()
    assert threads() == 0
    assert epoch(loader) == list(range(23))


def test_a_program_that_leaves_a_pass_open_ends(tmp_path) -> None:
    code = (
        "import numpy as np; from gpunet.data import DataLoader, Dataset\n"
        "d = Dataset('d', np.ones((99, 1), np.float32), np.zeros(99, np.int64), ('a',))\n"
        "batches = iter(DataLoader(d, 1, workers=2)); next(batches); print('left')"
    )
    assert python("-c", code, cwd=tmp_path) == "left\n"


def test_targets_of_places_come_along() -> None:
    pixels = np.arange(24).reshape(6, 2, 2)
    inputs = pixels[:, None].astype(np.float32)
    data = Dataset("maps", inputs, pixels, tuple(map(str, range(24))))
    for workers in (0, 2):
        for x, t in DataLoader(data, 4, shuffle=True, workers=workers):
            assert (t.dtype, t.shape) == (np.int64, (len(x), 2, 2))
            np.testing.assert_array_equal(x[:, 0], t)


@pytest.mark.parametrize(
    "state",
    [{}, {"epoch": 1}, {"epoch": -1, "position": 0}, {"epoch": 0, "position": 6}],
)
def test_a_state_that_does_not_fit_is_refused(state: dict[str, int]) -> None:
    loader = DataLoader(numbers(), batch_size=5)
    with pytest.raises(CheckpointError, match=r"epoch >= 0 and position in 0\.\.5, got"):
        loader.load_state_dict(state)
    assert loader.state_dict() == {"epoch": 0, "position": 0}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"batch_size": -2}, "batch_size must be at least 1, got -2"),
        ({"batch_size": 4, "seed": -1}, "seed must be at least 0, got -1"),
        ({"batch_size": 4, "workers": -1}, "workers must be at least 0, got -1"),
        ({"batch_size": 24, "drop_last": True}, "batch_size must be at most the 23 examples"),
    ],
)
def test_impossible_arguments_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        DataLoader(numbers(), **arguments)
