"""Pictures of one's own: a folder of folders, one a class."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from gpunet.data.dataset import Dataset
from gpunet.data.image import Framing, read_image
from gpunet.errors import DataError

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".pgm", ".ppm", ".tif", ".tiff", ".webp")


def image_folder(
    path: str | os.PathLike[str], shape: tuple[int, ...], framing: Framing | None = None
) -> Dataset:
    """The pictures in the folders `path/CLASS/`, in the order of their names.

    Folders are the classes, sorted by name; the data set is called as `path` is. Files are told by
    the ends of their names (.png, .jpg, ...); others, and hidden ones, are passed over.

    Args:
        path: the folder that holds a folder for each class.
        shape: (C, H, W) that each picture is scaled to, grey (C = 1) or colour (C = 3).
        framing: see `read_image`.

    Raises:
        ArgumentError: C is neither 1 nor 3.
        DataError: there is no such folder, no class in it or no picture in one, or a file is no
            readable image; the message names it.
        MissingPackageError: Pillow is not installed.
    """
    root = Path(path)
    classes, pictures, labels = classes_in(root), [], []
    for label, name in enumerate(classes):
        files = pictures_in(root / name)
        pictures += [read_image(file, shape, framing) for file in files]
        labels += [label] * len(files)
    return Dataset(root.name, np.concatenate(pictures), np.array(labels, np.int64), classes)


def classes_in(root: Path) -> tuple[str, ...]:
    """The names of the folders in a folder, sorted."""
    if not root.is_dir():
        raise DataError("image_folder", f"path must be a folder, got {root}")
    names = sorted(f.name for f in root.iterdir() if f.is_dir() and not f.name.startswith("."))
    if not names:
        raise DataError("image_folder", f"{root} must hold a folder for each class, got none")
    return tuple(names)


def pictures_in(folder: Path) -> list[Path]:
    """The files of pictures in a folder, sorted."""
    files = sorted(f for f in folder.iterdir() if _is_picture(f))
    if not files:
        known = ", ".join(SUFFIXES)
        raise DataError("image_folder", f"{folder} must hold pictures ({known}), got none")
    return files


def _is_picture(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()
