"""The IDX reader names what is wrong with a file."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from gpunet.data import idx
from gpunet.errors import DataError

PATH = Path("some") / "images.gz"


def packed(array: np.ndarray, magic: bytes | None = None, shape: tuple[int, ...] = ()) -> bytes:
    """A gzipped IDX file, with another magic number or announced shape where given."""
    magic = magic or bytes([0, 0, 8, array.ndim])
    shape = shape or array.shape
    return gzip.compress(magic + struct.pack(f">{len(shape)}I", *shape) + array.tobytes(), mtime=0)


IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


def test_arrays_come_back() -> None:
    np.testing.assert_array_equal(idx.parse(packed(IMAGES), PATH, ndim=3), IMAGES)
    many = np.arange(300).astype(np.uint8)  # more than one byte of the length is in use
    np.testing.assert_array_equal(idx.parse(packed(many), PATH, ndim=1), many)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no gzip", "must be a sound gzip file"),
        (packed(IMAGES)[:-9], "must be a sound gzip file"),
        (packed(IMAGES)[:-1] + b"?", "must be a sound gzip file"),
        (b"", "got nothing"),
        (gzip.compress(b"", mtime=0), "got nothing"),
        (gzip.compress(bytes([0, 0, 8, 3, 0]), mtime=0), "got 0000080300"),
        (packed(IMAGES, magic=bytes([0, 0, 13, 3])), "magic 00000803"),
        (packed(IMAGES[0]), "unsigned bytes, 3 dimensions"),
        (packed(IMAGES, shape=(2, 3, 5)), "must hold 30 bytes for the shape (2, 3, 5)"),
        (packed(IMAGES, shape=(1, 3, 4)), "in its header, got 24"),
    ],
)
def test_damaged_files_are_refused(content: bytes, message: str) -> None:
    with pytest.raises(DataError) as caught:
        idx.parse(content, PATH, ndim=3)
    assert message in str(caught.value)
    assert str(PATH) in str(caught.value)
