"""The real sets, number by number: the packed digits always, the others where they are at hand."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from gpunet import data
from gpunet.errors import DataError
from gpunet.text import CharVocabulary

GIVEN = os.environ.get("GPUNET_DATA")
needs_data = pytest.mark.skipif(not GIVEN, reason="GPUNET_DATA is not set: no raw files to read")


def test_the_digits_are_those_that_were_packed() -> None:
    content = hashlib.sha256()
    for split in ("train", "test"):
        digits = data.load("digits", split)
        content.update((digits.inputs * 16).astype(np.uint8).tobytes())
        content.update(digits.targets.astype(np.uint8).tobytes())
    assert content.hexdigest() == "3ec8e42fc84dcd1331e3178ceac8ab51dfa0e753d4680138b6698884029e2592"


@pytest.mark.parametrize(
    ("split", "counts"),
    [
        ("train", [376, 389, 380, 389, 387, 376, 377, 387, 380, 382]),
        ("test", [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]),
    ],
)
def test_the_digits_have_the_published_class_counts(split: str, counts: list[int]) -> None:
    digits = data.load("digits", split)
    assert digits.inputs.shape == (sum(counts), 1, 8, 8)
    np.testing.assert_array_equal(np.bincount(digits.targets), counts)
    assert (digits.inputs.min(), digits.inputs.max()) == (0, 1)
    assert digits.classes == tuple("0123456789")


def test_the_nearest_neighbour_reaches_its_published_accuracy() -> None:
    train, test = (data.load("digits", split) for split in ("train", "test"))
    known, asked = (d.inputs.reshape(len(d), -1).astype(np.float64) for d in (train, test))
    distance = (known**2).sum(1) - 2 * asked @ known.T
    accuracy = (train.targets[distance.argmin(1)] == test.targets).mean()
    assert round(100 * accuracy, 2) == 98.00  # optdigits.names, k = 1


def test_a_damaged_package_asks_to_be_installed_again(monkeypatch) -> None:
    read_bytes = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read_bytes(path)[:-1])
    with pytest.raises(DataError, match=r"digits\.npz must have SHA-256 .* install gpunet again"):
        data.load("digits", "train")


@needs_data
@pytest.mark.parametrize(("split", "file"), [("train", "optdigits.tra"), ("test", "optdigits.tes")])
def test_the_digits_are_the_raw_files(split: str, file: str) -> None:
    table = np.loadtxt(Path(GIVEN) / "uci_tabular" / file, delimiter=",", dtype=np.int64)
    digits = data.load("digits", split)
    np.testing.assert_array_equal(digits.inputs.reshape(-1, 64) * 16, table[:, :64])
    np.testing.assert_array_equal(digits.targets, table[:, 64])


@needs_data
@pytest.mark.parametrize(
    ("name", "split", "count", "first", "mean", "deviation"),
    [
        ("mnist", "train", 60_000, [5, 0, 4, 1, 9, 2], 0.1307, 0.3081),
        ("mnist", "test", 10_000, [7, 2, 1, 0, 4, 1], 0.1325, 0.3105),
        ("fashion_mnist", "train", 60_000, [9, 0, 0, 3, 0, 2], 0.2860, 0.3530),
        ("fashion_mnist", "test", 10_000, [9, 2, 1, 1, 6, 1], 0.2868, 0.3524),
    ],
)
def test_the_downloaded_sets_have_their_known_numbers(
    name: str, split: str, count: int, first: list[int], mean: float, deviation: float
) -> None:
    loaded = data.load(name, split)
    assert loaded.inputs.shape == (count, 1, 28, 28)
    assert loaded.targets[:6].tolist() == first
    assert round(float(loaded.inputs.mean(dtype=np.float64)), 4) == mean
    assert round(float(loaded.inputs.std(dtype=np.float64)), 4) == deviation
    assert (loaded.inputs.min(), loaded.inputs.max()) == (0, 1)


@needs_data
@pytest.mark.parametrize(
    ("split", "counts"),
    [
        ("train", [505, 460, 519, 486, 519, 488, 519, 486, 520, 498]),
        ("test", [103, 89, 100, 103, 90, 86, 112, 102, 106, 109]),
    ],
)
def test_the_part_of_cifar_has_its_class_counts(split: str, counts: list[int]) -> None:
    loaded = data.load("cifar10_subset", split)
    assert loaded.inputs.shape == (sum(counts), 3, 32, 32)
    np.testing.assert_array_equal(np.bincount(loaded.targets), counts)
    # Those of all 50,000 are 0.4914, 0.4822, 0.4465 and 0.2470, 0.2435, 0.2616.
    mean, std = loaded.inputs.mean((0, 2, 3)), loaded.inputs.std((0, 2, 3))
    np.testing.assert_allclose(mean, [0.4914, 0.4822, 0.4465], atol=0.01)
    np.testing.assert_allclose(std, [0.2470, 0.2435, 0.2616], atol=0.01)


@needs_data
@pytest.mark.parametrize(
    ("split", "count", "dice"),
    [("train", 160, 0.876), ("test", 40, 0.894)],
)
def test_otsu_finds_as_much_of_the_nuclei_as_is_known(split: str, count: int, dice: float) -> None:
    nuclei = data.load("nuclei", split)
    assert nuclei.inputs.shape == (count, 1, 256, 256)
    assert nuclei.targets.shape == (count, 256, 256)
    found = []
    for picture, mask in zip(nuclei.inputs[:, 0], nuclei.targets, strict=True):
        grey = np.rint(255 * picture).astype(int)
        above = grey > otsu(np.bincount(grey.ravel(), minlength=256))
        found.append(2 * (above & (mask == 1)).sum() / (above.sum() + mask.sum()))
    assert round(float(np.mean(found)), 3) == dice


@needs_data
def test_shakespeare_is_what_nanogpt_prepares() -> None:
    """Its `prepare.py` tells: 65 characters, 1,003,854 to train on and 111,540 to validate."""
    text = (Path(GIVEN) / "tinyshakespeare" / "input.txt").read_text()
    train, test = (data.load("tinyshakespeare", split) for split in ("train", "test"))
    assert train.inputs.shape == ((1_003_854 - 1) // 64, 64)
    assert test.inputs.shape == ((111_540 - 1) // 64, 64)
    letters = CharVocabulary.of(text[:1_003_854])
    assert train.classes == test.classes == tuple(letters.tokens)
    assert letters.decode(train.inputs[0]) == text[:64]
    assert letters.decode(test.targets[-1]) == text[1_003_854 + 64 * 1741 + 1 :][:64]
    # A character by the last one alone, the counts of the training text: a bigram model.
    pairs = np.bincount(65 * train.inputs.ravel() + train.targets.ravel(), minlength=65 * 65)
    p = pairs.reshape(65, 65) + 1.0
    p /= p.sum(1, keepdims=True)
    assert round(-np.log(p[test.inputs, test.targets]).mean(), 2) == 2.48


def otsu(counts: np.ndarray) -> int:
    """The grey value that divides a histogram into two parts of the largest variance between."""
    grey = np.arange(len(counts))
    below = np.cumsum(counts) / counts.sum()
    mean = np.cumsum(counts * grey) / counts.sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        between = (mean[-1] * below - mean) ** 2 / (below * (1 - below))
    return int(np.nan_to_num(between).argmax())
