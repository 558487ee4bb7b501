"""Load a data set by name, from wherever its files are; each is checked against its SHA-256."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gpunet.data import idx
from gpunet.data.catalogue import Description, describe
from gpunet.data.dataset import Dataset
from gpunet.data.download import fetch
from gpunet.errors import ArgumentError, DataError

Bytes = NDArray[np.uint8]


def load(name: str, split: str) -> Dataset:
    """A data set of real pictures, scaled to [0, 1].

    "digits" is a part of the package. The others are read from `$GPUNET_DATA/NAME/`, else from the
    user's cache (`$XDG_CACHE_HOME/gpunet/data/NAME/`, by default in `~/.cache`), where the files
    that are missing are downloaded to.

    | name | training | test | shape | source |
    | --- | --- | --- | --- | --- |
    | digits | 3,823 | 1,797 | (1, 8, 8) | Alpaydin, Kaynak 1998, doi:10.24432/C50P49 |
    | fashion_mnist | 60,000 | 10,000 | (1, 28, 28) | Xiao, Rasul, Vollgraf, arXiv:1708.07747 |
    | mnist | 60,000 | 10,000 | (1, 28, 28) | LeCun, Bottou, Bengio, Haffner, Proc. IEEE 86, 1998 |

    Args:
        name: one of `names()`.
        split: "train" or "test".

    Raises:
        ArgumentError: another name or split.
        DataError: a file is damaged, or missing and could not be downloaded.

    >>> load("digits", "test")
    Dataset('digits', inputs (1797, 1, 8, 8), 10 classes)
    """
    description = describe(name)
    if split not in ("train", "test"):
        raise ArgumentError("load", f'split must be "train" or "test", got {split!r}')
    images, labels = (_packed if name == "digits" else _idx)(name, split)
    pixels = images.reshape(-1, *description.shape)
    return Dataset(
        name,
        np.divide(pixels, description.white, dtype=np.float32),
        labels.astype(np.int64),
        description.classes,
    )


def _packed(name: str, split: str) -> tuple[Bytes, Bytes]:
    content, _ = _read(name, f"{name}.npz")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return arrays[f"{split}_images"], arrays[f"{split}_labels"]


def _idx(name: str, split: str) -> tuple[Bytes, Bytes]:
    stem = {"train": "train", "test": "t10k"}[split]
    images = idx.parse(*_read(name, f"{stem}-images-idx3-ubyte.gz"), ndim=3)
    labels = idx.parse(*_read(name, f"{stem}-labels-idx1-ubyte.gz"), ndim=1)
    return images, labels


def _read(name: str, file: str) -> tuple[bytes, Path]:
    """The content of one file of a set, once it is known to be right, and where it was found."""
    description = describe(name)
    path = _find(name, file, description)
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != description.digests[file]:
        raise DataError(
            "load",
            f"{path} must have SHA-256 {description.digests[file]}, got {digest} "
            f"({len(content):,} bytes)",
            "it is truncated or corrupted: "
            + (
                "delete it to have it downloaded again, or put the right file in its place"
                if description.mirrors
                else "install gpunet again"
            ),
        )
    return content, path


def _find(name: str, file: str, description: Description) -> Path:
    """Where a file of a set lies, after a download if need be."""
    if not description.mirrors:
        return Path(__file__).with_name(file)
    given = os.environ.get("GPUNET_DATA")
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    cached = Path(cache) / "gpunet" / "data" / name / file
    places = [Path(given) / name / file, cached] if given else [cached]
    for path in places:
        if path.is_file():
            return path
    fetch([mirror + file for mirror in description.mirrors], cached, description.digests[file])
    return cached
