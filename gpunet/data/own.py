"""Data of one's own, told by its path: a folder of pictures, a table (.csv), any other file a text.

A folder of pictures holds a folder for each class; or `train` and `test`, which hold them. Where
nothing says what is to test on, it is the fifth of every five pictures of a class or lines of a
table, and the last tenth of a text.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from gpunet.data import table, texts
from gpunet.data.catalogue import Description
from gpunet.data.dataset import Dataset
from gpunet.data.folder import classes_in, image_folder, pictures_in
from gpunet.data.image import picture_shape
from gpunet.errors import DataError

WINDOW = 64  # characters of a text, where nobody says how many


def describe(path: str | os.PathLike[str], size: int | None = None) -> Description:
    """What is known of the data at `path`.

    Args:
        size: pixels of the sides that pictures are scaled to; without it they get the height and
            width of the first one. They are grey if that is, else colour.

    Raises:
        DataError: it is not there, cannot be read, or holds nothing to learn from.
    """
    path = Path(path)
    if not path.is_dir():
        content = read_file(path)
        if path.suffix.lower() == ".csv":
            columns, classes = table.titles(content, str(path))
            return Description(
                shape=(len(columns),), classes=classes, columns=columns, digests={}, format="table"
            )
        characters = tuple(sorted(set(_text(content, path))))
        return Description(shape=(WINDOW,), classes=characters, digests={}, format="text")
    root = _part(path, "train")
    classes = classes_in(root)
    channels, height, width = picture_shape(pictures_in(root / classes[0])[0])
    shape = (channels, size or height, size or width)
    return Description(shape=shape, classes=classes, digests={}, format="folder")


def load(
    path: str | os.PathLike[str], split: str, length: int | None = None, size: int | None = None
) -> Dataset:
    """The data at `path`, as `data.load` has sets by name.

    Args:
        split: "train" or "test".
        length: characters in a window of a text, 64 by default.
        size: see `describe`.

    Raises:
        DataError: as `describe`, or the parts have other classes; the message names the file.
    """
    path, known = Path(path), describe(path, size)
    if known.format == "table":
        content = read_file(path)
        inputs, labels = table.parse(content, str(path), known.columns, known.classes, split)
        return Dataset(path.stem, inputs, labels, known.classes)
    if known.format == "text":
        text = _text(read_file(path), path)
        return texts.windows(path.stem, text, known.classes, length or WINDOW, split)
    part = _part(path, split)
    found = image_folder(part, known.shape)
    if found.classes != known.classes:
        rule = f"{part} must have the classes of {_part(path, 'train')}, {', '.join(known.classes)}"
        raise DataError("data", f"{rule}, got {', '.join(found.classes)}")
    if part != path:
        return found
    place = np.arange(len(found)) - np.searchsorted(found.targets, found.targets)  # in its class
    return found.subset(np.flatnonzero(((place + 1) % table.EVERY == 0) == (split == "test")))


def _part(path: Path, split: str) -> Path:
    """The folder of the classes of one part."""
    return path / split if (path / "train").is_dir() else path


def read_file(path: Path) -> bytes:
    """What is in a file of the user's.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        problem = f"{path} must be readable, got: {error.strerror}"
        raise DataError("data", problem) from error


def _text(content: bytes, path: Path) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError("data", f"{path} must be a text in UTF-8, got: {error}") from error
