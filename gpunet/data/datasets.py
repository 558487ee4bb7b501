"""Load a data set by name, from wherever its files are; each is checked against its SHA-256."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gpunet.data import idx, series, table, texts
from gpunet.data.audio import decode_wav, log_mel
from gpunet.data.catalogue import Description, describe
from gpunet.data.dataset import Dataset
from gpunet.data.download import digest, fetch, sounds
from gpunet.errors import ArgumentError, DataError

Bytes = NDArray[np.uint8]

CIFAR_RECORD = 1 + 3 * 32 * 32  # bytes
SUBSET = {"train": 5_000, "test": 1_000}  # records of the whole set
SPOKEN_TEST = 5  # recordings of each digit by each speaker


def load(name: str, split: str, length: int | None = None, fold: int | None = None) -> Dataset:
    """A data set of real pictures or sounds, scaled to [0, 1], of texts, or a series in windows.

    "digits" is a part of the package. The others are read from `$GPUNET_DATA/NAME/`, else from the
    user's cache (`$XDG_CACHE_HOME/gpunet/data/NAME/`, by default in `~/.cache`), where the files
    that are missing are downloaded to. "cifar10_subset" is cut out of "cifar10" where it has no
    files of its own; those of "nuclei", in the folder `nuclei_dsb2018`, nobody offers in this form.

    | name | training | test | shape | source |
    | --- | --- | --- | --- | --- |
    | bike_sharing | 585 | 146 | (11,) | Fanaee-T, Gama 2013, doi:10.1007/s13748-013-0040-3 |
    | champagne_sales | 46 | 13 | (24, 1) | Makridakis, Wheelwright 1989, from 1964 to 1972 |
    | cifar10 | 50,000 | 10,000 | (3, 32, 32) | Krizhevsky, technical report, Toronto 2009 |
    | cifar10_subset | 5,000 | 1,000 | (3, 32, 32) | the first of them |
    | daily_min_temperatures | 3,251 | 359 | (28, 1) | Australian Bureau of Meteorology, 1981-1990 |
    | digits | 3,823 | 1,797 | (1, 8, 8) | Alpaydin, Kaynak 1998, doi:10.24432/C50P49 |
    | fashion_mnist | 60,000 | 10,000 | (1, 28, 28) | Xiao, Rasul, Vollgraf, arXiv:1708.07747 |
    | iris | 120 | 30 | (4,) | Fisher, Annals of Eugenics 7, 1936 |
    | mnist | 60,000 | 10,000 | (1, 28, 28) | LeCun, Bottou, Bengio, Haffner, Proc. IEEE 86, 1998 |
    | multi30k | 29,000 | 1,000 | (T,) | Elliott et al., VL 2016, German into English |
    | nuclei | 160 | 40 | (1, 256, 256) | Caicedo et al., Nature Methods 16, 2019, BBBC038v1 |
    | rt_polarity | 9,594 | 1,068 | (T,) | Pang, Lee, ACL 2005, sentences on films |
    | spoken_digits | 2,700 | 300 | (1, 32, 64) | Jackson et al., doi:10.5281/zenodo.1342401 |
    | tinyshakespeare | 15,685 | 1,742 | (64,) | Karpathy, github.com/karpathy/char-rnn |
    | wine | 143 | 35 | (13,) | Forina et al., PARVUS, 1991, doi:10.24432/C5PC7J |

    Targets are a label for each picture, those of "nuclei" one for each pixel. A text is cut into
    windows that follow one another, (N, length) of characters' numbers; targets are the characters
    that come next. The first 9/10 of it are to train on, `classes` is its vocabulary. Sentences are
    filled up with `text.PADDING`; their `vocabularies` are learned from those to train on: words of
    "rt_polarity", pieces of words (byte pairs) of "multi30k", whose targets are sentences between
    `text.START` and `text.END`. "rt_polarity" is tested on one of ten random folds.

    Tables have features as they are, and labels, or of "bike_sharing" counts, (N,) float32; of five
    lines the fifth is to test on. "iris" and "wine" are in the folder `uci_tabular`.

    A recording is the picture that `log_mel` makes of it. A series is cut into all windows of as
    many values as a forecast is made from; targets are the values that come next, (N, horizon),
    as they are. The last values (24 months, 365 days) are to test on; see `series.windows`.

    Args:
        name: one of `names()`.
        split: "train" or "test".
        length: characters in a window of a text, 64 by default; other sets have none.
        fold: which part of a set without a split of its own is the test set; the first by default.

    Raises:
        ArgumentError: another name or split, or a length or fold that does not fit.
        DataError: a file is damaged, or missing and could not be downloaded.

    >>> load("digits", "test")
    Dataset('digits', inputs (1797, 1, 8, 8), 10 classes)
    """
    description = describe(name)
    if split not in ("train", "test"):
        raise ArgumentError("load", f'split must be "train" or "test", got {split!r}')
    if fold is not None and not 0 <= fold < description.folds:
        rule = f"in 0..{description.folds - 1}" if description.folds else "left out"
        raise ArgumentError("load", f"fold must be {rule} for {name}, got {fold}")
    if description.format == "text":
        (file,), window = description.digests, description.shape[0] if length is None else length
        text = _read(name, file)[0].decode()
        return texts.windows(name, text, description.classes, window, split)
    if length is not None:
        raise ArgumentError(
            "load", f"length is for a text in windows, got {length} for {name}, which is none"
        )
    if description.format in ("sentences", "pairs"):
        contents = [_read(name, file)[0] for file in description.digests]
        if description.format == "pairs":
            return texts.pairs(name, split, contents)
        return texts.sentences(name, split, contents, fold or 0)
    if description.format == "recordings":
        return _recordings(name, split)
    if description.format == "series":
        return _series(name, split)
    if description.format == "table":
        (file,) = description.digests
        content, (columns, classes) = (
            _read(name, file)[0],
            (description.columns, description.classes),
        )
        return Dataset(name, *table.parse(content, file, columns, classes, split), classes)
    images, labels = {"package": _packed, "idx": _idx, "cifar": _cifar}[description.format](
        name, split
    )
    pixels = images.reshape(-1, *description.shape)
    return Dataset(
        name,
        np.divide(pixels, description.white, dtype=np.float32),
        labels.astype(np.int64),
        description.classes,
    )


def _recordings(name: str, split: str) -> Dataset:
    """Recordings whose names are DIGIT_SPEAKER_INDEX.wav, as pictures."""
    description = describe(name)
    (file,) = description.digests
    pictures, labels = [], []
    with zipfile.ZipFile(io.BytesIO(_read(name, file)[0])) as archive:
        for sound, member in sounds(archive):
            digit, _, index = sound.removesuffix(".wav").split("_")
            if (int(index) < SPOKEN_TEST) != (split == "test"):
                continue
            samples, rate = decode_wav(archive.read(member), sound, description.rate)
            pictures.append(log_mel(samples, rate, *description.shape[1:]))
            labels.append(int(digit))
    return Dataset(name, np.stack(pictures), np.array(labels, np.int64), description.classes)


def _series(name: str, split: str) -> Dataset:
    description = describe(name)
    (file,), (length, _) = description.digests, description.shape
    values = series.parse(_read(name, file)[0], file)
    inputs, targets = series.windows(
        values, length, description.horizon, description.held_out, split
    )
    return Dataset(name, inputs, targets, ())


def _packed(name: str, split: str) -> tuple[Bytes, Bytes]:
    content, _ = _read(name, f"{name}.npz")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return arrays[f"{split}_images"], arrays[f"{split}_labels"]


def _idx(name: str, split: str) -> tuple[Bytes, Bytes]:
    begins = ("train-",) if split == "train" else ("t10k-", "test-")
    image_file, label_file = (f for f in describe(name).digests if f.startswith(begins))
    images = idx.parse(*_read(name, image_file), ndim=3)
    maps = "idx3" in label_file
    labels = idx.parse(*_read(name, label_file), ndim=3 if maps else 1)
    return images, (labels > 0).astype(np.uint8) if maps else labels


def _cifar(name: str, split: str) -> tuple[Bytes, Bytes]:
    """Records of a label, then the red, the green and the blue pixels of a picture, row by row."""
    if name == "cifar10":
        content = _official_cifar(split)
    else:
        file = {"train": "train_5000.bin", "test": "test_1000.bin"}[split]
        content = _subset_of_cifar(name, split, file)
    records = np.frombuffer(content, np.uint8).reshape(-1, CIFAR_RECORD)
    return records[:, 1:], records[:, 0]


def _official_cifar(split: str) -> bytes:
    """The records in the archive of the data set's author."""
    content, _ = _read("cifar10", "cifar-10-binary.tar.gz")
    parts = [f"data_batch_{n}" for n in range(1, 6)] if split == "train" else ["test_batch"]
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        members = [archive.extractfile(f"cifar-10-batches-bin/{part}.bin") for part in parts]
        return b"".join(member.read() for member in members if member)


def _subset_of_cifar(name: str, split: str, file: str) -> bytes:
    """The first records of the set, from their own file or from the whole set."""
    if any(path.is_file() for path in _places(name, file)):
        return _read(name, file)[0]
    return _official_cifar(split)[: SUBSET[split] * CIFAR_RECORD]


def _read(name: str, file: str) -> tuple[bytes, Path]:
    """The content of one file of a set, once it is known to be right, and where it was found."""
    description = describe(name)
    path = _find(name, file, description)
    content = path.read_bytes()
    found = digest(content, file)
    if found != description.digests[file]:
        remedy = "put the right file in its place"
        if description.format == "package":
            remedy = "install gpunet again"
        elif description.mirrors:
            remedy = f"delete it to have it downloaded again, or {remedy}"
        raise DataError(
            "load",
            f"{path} must have SHA-256 {description.digests[file]}, got {found} "
            f"({len(content):,} bytes)",
            f"it is truncated or corrupted: {remedy}",
        )
    return content, path


def _find(name: str, file: str, description: Description) -> Path:
    """Where a file of a set lies, after a download if need be."""
    if description.format == "package":
        return Path(__file__).with_name(file)
    places = _places(name, file)
    for path in places:
        if path.is_file():
            return path
    if not description.mirrors:
        folders = " or ".join(str(path.parent) for path in places)
        rule = f"{file} must lie in {folders}, got no such file"
        raise DataError("load", rule, "no public server offers it; $GPUNET_DATA names a folder")
    cached = places[-1]
    addresses = [url + file if url.endswith("/") else url for url in description.mirrors]
    fetch(addresses, cached, description.digests[file])
    return cached


def _places(name: str, file: str) -> list[Path]:
    """Where a file may lie, in the order of preference; the last is in the user's cache."""
    given = os.environ.get("GPUNET_DATA")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    homes = [Path(given)] if given else []
    folder = describe(name).folder or name
    return [home / folder / file for home in (*homes, cache / "gpunet" / "data")]
