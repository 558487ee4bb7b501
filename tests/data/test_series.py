"""Series: CSV files, windows of them, and what is refused."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from gpunet import data
from gpunet.data import series
from gpunet.data.catalogue import CATALOGUE
from gpunet.errors import ArgumentError, DataError

DAYS = "Date,Temp\n" + "".join(f'"day {day}",{day / 4}\n' for day in range(40))


def test_the_last_column_is_the_series() -> None:
    for content in (DAYS, DAYS.rstrip(), "\ufeff" + DAYS.replace("\n", "\r\n") + "\n"):
        values = series.parse(content.encode(), "days.csv")
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values, np.arange(40) / 4)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", r"days\.csv must have a line of titles and lines of values"),
        ("Date,Temp\n", "must have a line of titles and lines of values"),
        ("Date,Temp\na,1\nb,cold\n", r"must be finite numbers, got 'cold'; days\.csv:3"),
        ("Date,Temp\na,nan\n", r"got 'nan'; days\.csv:2"),
    ],
)
def test_files_refused(content, problem) -> None:
    with pytest.raises(DataError, match=problem):
        series.parse(content.encode(), "days.csv")


@pytest.mark.parametrize("horizon", [1, 2, 4])
def test_windows_hold_every_value_once_and_know_nothing_of_the_test(horizon) -> None:
    values = np.arange(20, dtype=np.float32)
    for split, targets in (("train", range(5, 14)), ("test", range(14, 20))):
        x, t = data.windows(values, 5, horizon, 6, split)
        starts = [s for s in targets if s + horizon <= targets.stop]
        expected = [(values[s - 5 : s], values[s : s + horizon]) for s in starts]
        np.testing.assert_array_equal(x[:, :, 0], [past for past, _ in expected])
        np.testing.assert_array_equal(t, [future for _, future in expected])


def test_windows_refused() -> None:
    values = np.zeros(20, np.float32)
    for arguments, split, problem in (
        ((0, 1, 6), "train", r"sizes must be at least 1, got \(0, 1, 6\)"),
        (
            (14, 1, 6),
            "train",
            "long enough for windows of 14 \\+ 1, got 20 values, 6 .* train part",
        ),
        ((5, 7, 6), "test", "windows of 5 \\+ 7, got 20 values, 6 of them held out; the test"),
        ((15, 1, 6), "test", "windows of 15 \\+ 1"),
    ):
        with pytest.raises(ArgumentError, match=problem):
            data.windows(values, *arguments, split)


def test_a_set_of_one_series(cache, monkeypatch, tmp_path) -> None:
    name = "daily_min_temperatures"
    known = replace(
        CATALOGUE[name],
        digests={"days.csv": hashlib.sha256(DAYS.encode()).hexdigest()},
        shape=(5, 1),
        horizon=2,
        held_out=10,
    )
    monkeypatch.setitem(CATALOGUE, name, known)
    file = cache / "timeseries" / "days.csv"
    file.parent.mkdir(parents=True)
    file.write_bytes(DAYS.encode())
    train, test = (data.load(name, split) for split in ("train", "test"))
    assert (train.inputs.shape, train.targets.shape) == ((24, 5, 1), (24, 2))
    np.testing.assert_array_equal(test.targets[:, 0], np.arange(30, 39) / 4)
    np.testing.assert_array_equal(test.inputs[0, :, 0], np.arange(25, 30) / 4)
    with pytest.raises(ArgumentError, match="length is for a text in windows, got 8"):
        data.load(name, "test", 8)

    np.testing.assert_array_equal(data.read_input(known, file)[0, :, 0], np.arange(35, 40) / 4)
    short = tmp_path / "short.csv"
    short.write_text("\n".join(DAYS.splitlines()[:5]))
    with pytest.raises(DataError, match=r"short\.csv must have at least 5 values, got 4"):
        data.read_input(known, short)
    with pytest.raises(DataError, match=r"none\.csv must be readable, got: No such file"):
        data.read_input(known, tmp_path / "none.csv")
