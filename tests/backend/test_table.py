"""The table that compiled code reads of many arrays, held against what NumPy says of them."""

import numpy as np
import pytest

from gpunet.backend.cpu.table import begin

SHAPES = [(3, 4), (), (0, 2), (2, 1, 5), (7,)]


def arrays(dtype: str) -> list[np.ndarray]:
    return [np.ones(shape, dtype) for shape in SHAPES]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_addresses_sizes_and_counts(dtype) -> None:
    # What is a view, or read-only, has its data elsewhere than in memory of its own.
    parameters = [p[...] for p in arrays(dtype)]
    gradients = [np.frombuffer(bytes(p.nbytes), dtype).reshape(p.shape) for p in arrays(dtype)]
    products, steps = ([np.full(1, value) for _ in SHAPES] for value in (0.5, 3.0))
    table, total = begin([parameters, gradients, [], products, steps], 2)
    assert table.shape == (6, len(SHAPES))
    assert total == sum(p.size for p in parameters)
    for row, each in ((0, parameters), (1, gradients), (3, products), (4, steps)):
        assert table[row].tolist() == [a.ctypes.data for a in each]
    assert not table[2].any()
    assert table[5].tolist() == [p.size for p in parameters]
    assert [product.item() for product in products] == [0.5] * len(SHAPES)
    assert [step.item() for step in steps] == [4.0] * len(SHAPES)


def test_without_counts() -> None:
    parameters = arrays("float32")
    table, total = begin([parameters, parameters, [], []], 1)
    assert not table[2:4].any()
    assert total == sum(p.size for p in parameters)


@pytest.mark.parametrize(
    ("place", "bad"),
    [
        (0, np.ones((4, 6), "float32")[:, ::2]),
        (0, np.ones((4, 3), "float32").T),
        (1, np.ones(11, "float32")),
        (1, np.ones((4, 3), "float64")),
        (1, np.ones((4, 3), "int32")),
        (1, np.frombuffer(bytes(52), "i1")[1:49].view("float32").reshape(3, 4)),
        (2, np.ones(1, "float32")),
        (2, np.ones(2)),
    ],
    ids="strided transposed size float64 int32 unaligned count_float32 count_of_2".split(),
)
def test_what_does_not_fit(place, bad) -> None:
    lists = [arrays("float32"), arrays("float32"), [np.zeros(1) for _ in SHAPES]]
    lists[place][0] = bad
    _, total = begin(lists, 1)
    assert total == -1 - place
    assert [step.tolist() for step in lists[2][1:]] == [[0.0]] * (len(SHAPES) - 1)
