"""What a user gives, a picture, a recording or a table, as an input of the kind a data set has."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gpunet.data import series, table
from gpunet.data.audio import log_mel, read_wav
from gpunet.data.catalogue import Description
from gpunet.data.image import read_image
from gpunet.data.own import read_file
from gpunet.errors import DataError


def read_input(known: Description, path: str | os.PathLike[str]) -> NDArray[np.float32]:
    """The file at `path` as a batch of one input of a data set; see `data.describe`.

    Of a series, it is the last values in the file, of a table its last line.

    Shapes: (1, C, H, W), (1, L, 1) of a series, or (1, F) of a table.

    Raises:
        DataError: the file cannot be read, or is not of the kind that the data set has: a picture,
            a WAV file of its sample rate, or a CSV file with at least as many values as a window
            or the features of the table.
    """
    if known.format == "recordings":
        samples, rate = read_wav(path, known.rate)
        return log_mel(samples, rate, *known.shape[1:])[np.newaxis]
    if known.format not in ("series", "table"):
        return read_image(path, known.shape, known.framing)
    content = read_file(Path(path))
    if known.format == "table":
        return table.last(content, str(path), known.columns)
    values, length = series.parse(content, str(path)), known.shape[0]
    if len(values) < length:
        rule = f"{path} must have at least {length} values"
        raise DataError("read_input", f"{rule}, got {len(values)}")
    return values[np.newaxis, -length:, np.newaxis]
