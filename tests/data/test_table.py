"""Tables of features: which columns, which lines, and what is refused."""

import numpy as np
import pytest

from gpunet import data
from gpunet.data import table
from gpunet.errors import DataError
from tests.data.test_real_data import needs_data

PLAIN = "\n".join(f"{i},{10 * i},{'ab'[i % 2]}" for i in range(1, 11)).encode()
TITLED = b"day,x,y,count\n" + b"\n".join(b"d,%d,%d,%d" % (i, i + 1, i + 2) for i in range(1, 6))


def test_every_fifth_line_is_to_test_on() -> None:
    x, t = table.parse(PLAIN, "p.csv", ("one", "two"), ("a", "b"), "test")
    np.testing.assert_array_equal(x, [[5, 50], [10, 100]])
    assert t.tolist() == [1, 0]
    x, t = table.parse(PLAIN, "p.csv", ("one", "two"), ("a", "b"), "train")
    assert x[:, 0].tolist() == [1, 2, 3, 4, 6, 7, 8, 9]
    assert (x.dtype, t.dtype) == ("float32", "int64")


def test_columns_are_found_by_their_titles() -> None:
    x, t = table.parse(TITLED, "t.csv", ("y", "x"), (), "train")
    np.testing.assert_array_equal(x, [[2, 1], [3, 2], [4, 3], [5, 4]])
    assert t.tolist() == [3, 4, 5, 6]
    assert t.dtype == "float32"


@pytest.mark.parametrize(
    ("content", "classes", "message"),
    [
        (b"", ("a",), r"p\.csv must have at least 5 lines, got 0"),
        (b"1,2,a\n1,?,a\n", ("a",), r"features must be finite numbers, got '\?'; p\.csv:2"),
        (b"1,nan,a\n", ("a",), r"got 'nan'; p\.csv:1"),
        (b"1\n", ("a",), r"got 'nothing'; p\.csv:1"),
        (b"1,2,a\n\n1,2,c\n", ("a", "b"), r"the class must be one of a, b, got 'c'; p\.csv:2"),
        (b"1,2,many\n", (), r"got 'many'; p\.csv:1"),
    ],
)
def test_what_is_no_table_is_refused(content, classes, message) -> None:
    with pytest.raises(DataError, match=message):
        table.parse(content, "p.csv", ("one", "two"), classes, "train")


@needs_data
@pytest.mark.parametrize(
    ("name", "shape", "counts"),
    [
        ("iris", (120, 4), [50, 50, 50]),
        ("wine", (143, 13), [59, 71, 48]),
    ],
)
def test_flowers_and_wines(name, shape, counts) -> None:
    train, test = data.load(name, "train"), data.load(name, "test")
    assert train.inputs.shape == shape
    assert (np.bincount(train.targets) + np.bincount(test.targets)).tolist() == counts
    assert data.describe(name).shape == shape[1:]
    assert len(data.describe(name).columns) == shape[1]


@needs_data
def test_bicycles() -> None:
    """The counts of the file's first days, and all of them in two years."""
    train, test = data.load("bike_sharing", "train"), data.load("bike_sharing", "test")
    assert train.targets[:4].tolist() == [985, 801, 1349, 1562]
    assert test.targets[0] == 1600
    assert train.targets.sum() + test.targets.sum() == 3_292_679
    assert train.inputs.shape == (585, 11)
