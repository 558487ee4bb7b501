"""Sound as numbers: recordings read from WAV files, and what of them a network listens to."""

from __future__ import annotations

import io
import os
import wave
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gpunet.errors import ArgumentError, DataError, ShapeError

Floats = NDArray[np.float32]

RANGE = 80.0  # decibels below the loudest that are told apart


def read_wav(path: str | os.PathLike[str], rate: int | None = None) -> tuple[Floats, int]:
    """The samples of a WAV file in [-1, 1), and how many there are a second.

    Shapes: (T,); several channels are averaged.

    Args:
        path: uncompressed WAV of 8, 16, 24 or 32 bits a sample.
        rate: samples a second that the recording must have; any if None. Nothing is resampled.

    Raises:
        DataError: no such file, not a WAV file of that kind, one without samples, or one of another
            sample rate.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        problem = f"{path} must be readable, got: {error.strerror}"
        raise DataError("read_wav", problem) from error
    return decode_wav(content, str(path), rate)


def decode_wav(content: bytes, name: str, rate: int | None = None) -> tuple[Floats, int]:
    """As `read_wav`, from the bytes of a file that messages call `name`."""
    try:
        with wave.open(io.BytesIO(content)) as file:
            channels, width, found, _, _, _ = file.getparams()
            data = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        rule = "must be an uncompressed WAV file"
        raise DataError(
            "read_wav", f"{name} {rule}, got {str(error) or 'a file cut off'}"
        ) from error
    if rate is not None and found != rate:
        remedy = f"convert it, for example with `sox IN.wav -r {rate} OUT.wav`"
        rule = f"{name} must have {rate} samples a second, got {found}"
        raise DataError("read_wav", rule, remedy)
    samples = _numbers(data, width)
    samples = samples[: len(samples) // channels * channels].reshape(-1, channels).mean(1)
    if not len(samples):
        raise DataError("read_wav", f"{name} must hold at least one sample, got none")
    return samples.astype(np.float32), found


def _numbers(data: bytes, width: int) -> NDArray[np.float64]:
    """Samples of `width` bytes, little end first, those of one byte without sign, in [-1, 1)."""
    if width == 1:
        return np.frombuffer(data, np.uint8) / 128.0 - 1
    # Each sample becomes the upper bytes of an integer of 32 bits, the lower ones are 0.
    whole = np.frombuffer(data[: len(data) // width * width], np.uint8).reshape(-1, width)
    wide = np.zeros((len(whole), 4), np.uint8)
    wide[:, 4 - width :] = whole
    return wide.view("<i4")[:, 0] / 2.0**31


def spectrogram(samples: Floats, window: int = 256, hop: int = 80) -> NDArray[np.float64]:
    """|Σₙ wₙ x[t·hop + n] exp(−2πi·k·n/window)|²: the power at each moment and frequency.

    w is Hann's window, ½ − ½ cos(2πn/window). A recording that is shorter than a window is filled
    up with zeros.

    Shapes: samples (T,); the result (1 + window // 2, 1 + (T − window) // hop), a row a frequency,
    k / window of the sample rate, from 0 up.

    Args:
        window: samples that are looked at together, at least 2. hop: samples from one window to
            the next, at least 1.

    >>> tone = np.sin(2 * np.pi * 1000 / 8000 * np.arange(8000)).astype(np.float32)
    >>> power = spectrogram(tone)
    >>> power.shape, int(power[:, 40].argmax()) * 8000 // 256
    ((129, 97), 1000)
    """
    if samples.ndim != 1 or not len(samples):
        raise ShapeError("spectrogram", f"samples must have shape (T,), T > 0, got {samples.shape}")
    if window < 2 or hop < 1:
        rule = "window must be at least 2 and hop at least 1"
        raise ArgumentError("spectrogram", f"{rule}, got {window} and {hop}")
    x = np.pad(samples.astype(np.float64), (0, max(0, window - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(x, window)[::hop]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    return (np.abs(np.fft.rfft(frames * hann)) ** 2).T


@lru_cache(maxsize=8)
def mel_bands(bands: int, window: int, rate: int) -> NDArray[np.float64]:
    """Triangles that gather the rows of a spectrogram into bands as wide as they are heard.

    Their corners lie evenly on mel(f) = 2595·log₁₀(1 + f/700) from 0 to rate / 2; each rises from 0
    to 1 between two corners and falls to 0 at the next.

    Shapes: (bands, 1 + window // 2).

    Raises:
        ArgumentError: so many bands that one of them holds no row.

    Source: O'Shaughnessy, Speech communication, 1987, p. 150 (the scale).
    """
    highest = 2595 * np.log10(1 + rate / 2 / 700)
    corners = 700 * (10 ** (np.linspace(0, highest, bands + 2) / 2595) - 1)
    low, middle, high = (corners[i : bands + i, None] for i in range(3))
    f = np.arange(1 + window // 2) * rate / window
    triangles = np.maximum(0, np.minimum((f - low) / (middle - low), (high - f) / (high - middle)))
    if not triangles.any(1).all():
        rule = f"bands must be few enough for a window of {window}"
        raise ArgumentError("mel_bands", f"{rule}, got {bands}")
    triangles.flags.writeable = False  # it is handed out again
    return triangles


def log_mel(
    samples: Floats, rate: int, bands: int = 32, frames: int = 64, window: int = 256, hop: int = 80
) -> Floats:
    """A recording as a picture: the loudness of each mel band at each moment.

    Decibels below the loudest, cut off at 80, as 1 (the loudest) to 0 (that and less).

    Shapes: samples (T,); the result (1, bands, frames), the highest band in the first row. A
    shorter recording stands in the middle of it, of a longer one the loudest stretch is taken.

    Args:
        rate: samples a second. window, hop: see `spectrogram`.
    """
    power = mel_bands(bands, window, rate) @ spectrogram(samples, window, hop)
    loudest = max(float(power.max()), 1e-10)
    decibels = 10 * np.log10(np.maximum(power / loudest, 10 ** (-RANGE / 10)))
    picture = 1 + decibels[::-1] / RANGE
    missing = max(0, frames - picture.shape[1])
    picture = np.pad(picture, ((0, 0), (missing // 2, missing - missing // 2)))
    before = np.pad(np.cumsum(power.sum(0)), (1, 0))
    start = 0 if missing else int((before[frames:] - before[:-frames]).argmax())
    return picture[np.newaxis, :, start : start + frames].astype(np.float32)
