"""A folder of pictures as a data set."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gpunet.data import image_folder
from gpunet.errors import ArgumentError, DataError


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Two classes: dogs are grey 50 and 100, a cat is 200; and files that are no pictures."""
    root = tmp_path / "pets"
    for name, value in (("dog/b.png", 100), ("dog/a.JPG", 50), ("cat/x.png", 200)):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 7), (value,) * 3).save(root / name)
    (root / "dog" / "notes.txt").write_text("good dogs")
    (root / "dog" / ".hidden.png").write_bytes(b"")
    (root / ".cache").mkdir()
    return root


def test_folders_are_classes_and_files_pictures(pets) -> None:
    data = image_folder(pets, (1, 4, 6))
    assert (data.name, data.classes) == ("pets", ("cat", "dog"))
    assert data.inputs.shape == (3, 1, 4, 6)
    assert data.targets.tolist() == [0, 1, 1]
    grey = np.array([200, 50, 100])[:, None, None, None]
    np.testing.assert_allclose(255 * data.inputs, np.broadcast_to(grey, (3, 1, 4, 6)), atol=1)
    assert image_folder(pets, (3, 4, 6)).inputs.shape == (3, 3, 4, 6)


def test_a_broken_file_is_named(pets) -> None:
    whole = (pets / "cat" / "x.png").read_bytes()
    (pets / "dog" / "c.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError) as caught:
        image_folder(pets, (1, 4, 6))
    assert f"{pets / 'dog' / 'c.png'} must be a readable image, got" in str(caught.value)


def test_a_class_without_pictures_is_named(pets) -> None:
    (pets / "eel").mkdir()
    with pytest.raises(DataError, match=r"eel must hold pictures \(\.bmp, .*\), got none"):
        image_folder(pets, (1, 4, 6))


def test_what_holds_no_classes_is_refused(pets) -> None:
    with pytest.raises(DataError, match="cat must hold a folder for each class, got none"):
        image_folder(pets / "cat", (1, 4, 6))
    with pytest.raises(DataError, match=r"path must be a folder, got .*nowhere"):
        image_folder(pets / "nowhere", (1, 4, 6))


def test_another_number_of_channels_is_refused(pets) -> None:
    with pytest.raises(ArgumentError, match=r"shape must be .*, got \(2, 4, 6\)"):
        image_folder(pets, (2, 4, 6))
