"""The IDX format of MNIST and its relatives: a big-endian header, then the raw bytes of one array.

Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", file formats.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gpunet.errors import DataError

UNSIGNED_BYTE = 0x08


def parse(packed: bytes, path: Path, ndim: int) -> NDArray[np.uint8]:
    """The array in a gzipped IDX file of unsigned bytes, read-only.

    Args:
        packed: the bytes of the file.
        path: where they came from, for the message.
        ndim: dimensions the array must have: 1 for labels, 3 for grey images (N, H, W).

    Raises:
        DataError: not a sound gzip file, another magic number, or not as many bytes as announced.

    >>> file = gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9]))
    >>> parse(file, Path("labels.gz"), ndim=1)
    array([7, 8, 9], dtype=uint8)
    """
    try:
        content = gzip.decompress(packed)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError("load", f"{path} must be a sound gzip file, got: {error}") from error

    magic = bytes([0, 0, UNSIGNED_BYTE, ndim])
    header = len(magic) + 4 * ndim
    if content[:4] != magic or len(content) < header:
        raise DataError(
            "load",
            f"{path} must start with the IDX magic {magic.hex()} (unsigned bytes, {ndim} "
            f"dimensions) and its sizes, got {content[:header].hex() or 'nothing'}",
        )
    shape = struct.unpack(f">{ndim}I", content[4:header])
    if len(content) - header != math.prod(shape):
        raise DataError(
            "load",
            f"{path} must hold {math.prod(shape):,} bytes for the shape {shape} in its header, "
            f"got {len(content) - header:,}",
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
