"""Data of one's own, by path: pictures, tables, texts, which part is which, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gpunet.data import own
from gpunet.errors import ArgumentError, DataError

TABLE = "length,width,kind\n" + "".join(f"{i},{i / 2},{'ab'[i % 2]}\n" for i in range(1, 11))


def draw(file: Path, value: int, colour: bool = False) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (6, 4), (value, 0, 0) if colour else (value,) * 3).save(file)


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Eleven cats of grey 0 to 10, five dogs of grey 100 to 104."""
    for name, first, count in (("cat", 0, 11), ("dog", 100, 5)):
        for i in range(count):
            draw(tmp_path / "pets" / name / f"{i:02}.png", first + i)
    return tmp_path / "pets"


def greys(inputs) -> list[int]:
    return np.rint(255 * inputs[:, 0, 0, 0]).astype(int).tolist()


def test_the_fifth_picture_of_five_of_a_class_is_to_test_on(pets) -> None:
    train, test = own.load(pets, "train"), own.load(pets, "test")
    assert (train.name, train.classes) == ("pets", ("cat", "dog"))
    assert greys(test.inputs) == [4, 9, 104]
    assert test.targets.tolist() == [0, 0, 1]
    assert greys(train.inputs) == [0, 1, 2, 3, 5, 6, 7, 8, 10, 100, 101, 102, 103]


def test_a_folder_may_say_what_is_to_test_on(pets, tmp_path) -> None:
    root = tmp_path / "parted"
    for split, name in (("train", "cat"), ("train", "dog"), ("test", "cat"), ("test", "dog")):
        draw(root / split / name / "x.png", len(split))
    assert greys(own.load(root, "train").inputs) == [5, 5]
    assert greys(own.load(root, "test").inputs) == [4, 4]
    draw(root / "test" / "eel" / "x.png", 1)
    with pytest.raises(
        DataError, match=r"test must have the classes of .*train, cat, dog, got cat"
    ):
        own.load(root, "test")


def test_pictures_have_the_shape_of_the_first_or_the_size_asked_for(pets) -> None:
    assert own.describe(pets).shape == (1, 4, 6)
    assert own.describe(pets, 8).shape == (1, 8, 8)
    assert own.load(pets, "test", size=8).inputs.shape == (3, 1, 8, 8)
    draw(pets / "cat" / "00.png", 200, colour=True)
    assert own.describe(pets).shape == (3, 4, 6)


def test_a_table(tmp_path) -> None:
    file = tmp_path / "sheet.csv"
    file.write_text(TABLE)
    known, train, test = own.describe(file), own.load(file, "train"), own.load(file, "test")
    assert (known.columns, known.classes) == (("length", "width"), ("a", "b"))
    assert (known.shape, train.name) == ((2,), "sheet")
    np.testing.assert_array_equal(test.inputs, [[5, 2.5], [10, 5]])
    assert test.targets.tolist() == [1, 0]
    assert len(train) == 8
    file.write_text(TABLE.partition("\n")[2])  # without titles
    assert own.describe(file).columns == ("column 1", "column 2")
    np.testing.assert_array_equal(own.load(file, "test").inputs, test.inputs)


def test_a_text(tmp_path) -> None:
    file = tmp_path / "poem.md"
    file.write_text("ёж abc" * 100, encoding="utf-8")
    assert own.describe(file).classes == (" ", "a", "b", "c", "ж", "ё")
    train, test = own.load(file, "train", 9), own.load(file, "test", 9)
    assert (train.inputs.shape, test.inputs.shape) == ((59, 9), (6, 9))
    np.testing.assert_array_equal(train.targets[0, :-1], train.inputs[0, 1:])
    assert own.load(file, "train").inputs.shape == (8, 64)
    with pytest.raises(ArgumentError, match="less than the 60 characters of 'poem', test, got 60"):
        own.load(file, "test", 60)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.txt", None, "none.txt must be readable, got: No such file"),
        ("bytes.txt", b"\xff\xfe\x00", "bytes.txt must be a text in UTF-8, got: 'utf-8' codec"),
        ("empty.csv", b"", "empty.csv must have columns of features and of classes, got no lines"),
        ("one.csv", b"a\nb\n", "must have columns of features and of classes, got 1 in its first"),
    ],
)
def test_what_holds_nothing_to_learn_from_is_refused(tmp_path, name, content, message) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        own.describe(tmp_path / name)
