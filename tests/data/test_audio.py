"""Sound: WAV files of every width, spectrograms and mel bands by their formulas, recordings."""

import io
import itertools
import math
import wave
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gpunet import data
from gpunet.data import audio
from gpunet.data.catalogue import CATALOGUE
from gpunet.data.download import digest
from gpunet.errors import ArgumentError, DataError, ShapeError


def wav(samples: bytes, rate: int = 8000, width: int = 2, channels: int = 1) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((channels, width, rate, 0, "NONE", "not compressed"))
        file.writeframes(samples)
    return buffer.getvalue()


# --- files

LEVELS = [-1.0, -0.5, 0.0, 0.25, 127 / 128]


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_samples_of_every_width(width, tmp_path) -> None:
    whole = [round(level * 2 ** (8 * width - 1)) for level in LEVELS]
    if width == 1:  # these have no sign
        content = bytes(value + 128 for value in whole)
    else:
        content = b"".join(value.to_bytes(width, "little", signed=True) for value in whole)
    file = tmp_path / "a.wav"
    file.write_bytes(wav(content, 11025, width))
    samples, rate = data.read_wav(file)
    assert (samples.dtype, rate) == (np.float32, 11025)
    np.testing.assert_array_equal(samples, np.float32(LEVELS))


def test_channels_are_averaged() -> None:
    both = np.array([[100, 300], [-50, 50], [2, 0]], "<i2")
    samples, _ = audio.decode_wav(wav(both.tobytes(), channels=2), "both")
    np.testing.assert_array_equal(samples, np.float32([200, 0, 1]) / 2**15)


def test_files_refused(tmp_path) -> None:
    file = tmp_path / "a.wav"
    for content, problem in (
        (b"", r"a\.wav must be an uncompressed WAV file, got a file cut off"),
        (b"RIFF????", "must be an uncompressed WAV file, got "),
        (b"\x89PNG" * 20, "must be an uncompressed WAV file, got .*RIFF"),
        (wav(b""), r"a\.wav must hold at least one sample, got none"),
    ):
        file.write_bytes(content)
        with pytest.raises(DataError, match=problem):
            data.read_wav(file)
    with pytest.raises(DataError, match=r"b\.wav must be readable, got: No such file"):
        data.read_wav(tmp_path / "b.wav")


def test_another_sample_rate_is_refused_with_a_remedy(tmp_path) -> None:
    file = tmp_path / "a.wav"
    file.write_bytes(wav(bytes(100), 44100))
    with pytest.raises(DataError) as caught:
        data.read_input(data.describe("spoken_digits"), file)
    assert str(caught.value) == (
        f"read_wav: {file} must have 8000 samples a second, got 44100; "
        "convert it, for example with `sox IN.wav -r 8000 OUT.wav`"
    )


# --- what is listened to

SOUND = np.random.default_rng(0).standard_normal(230).astype(np.float32)


def test_a_spectrogram_is_its_formula() -> None:
    window, hop = 16, 5
    got = data.spectrogram(SOUND, window, hop)
    n = np.arange(window)
    hann = np.array([0.5 - 0.5 * math.cos(2 * math.pi * i / window) for i in n])
    for t, k in itertools.product(range((230 - window) // hop + 1), range(window // 2 + 1)):
        part = SOUND[t * hop : t * hop + window].astype(np.float64)
        expected = abs((hann * part * np.exp(-2j * math.pi * k * n / window)).sum()) ** 2
        assert got[k, t] == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert got.shape == (9, 43)


def test_a_short_recording_is_filled_up() -> None:
    got = data.spectrogram(SOUND[:10], 16, 5)
    expected = data.spectrogram(np.pad(SOUND[:10], (0, 6)), 16, 5)
    np.testing.assert_array_equal(got, expected)
    assert got.shape == (9, 1)


def test_mel_bands_are_triangles_between_even_corners() -> None:
    bands, window, rate = 6, 64, 8000

    def mel(f: float) -> float:
        return 2595 * math.log10(1 + f / 700)

    step = mel(4000) / (bands + 1)
    got = data.mel_bands(bands, window, rate)
    assert got.shape == (6, 33)
    for b, k in itertools.product(range(bands), range(33)):
        f = k * rate / window
        low, middle, high = (700 * (10 ** ((b + i) * step / 2595) - 1) for i in range(3))
        up, down = (f - low) / (middle - low), (high - f) / (high - middle)
        assert got[b, k] == pytest.approx(max(0.0, min(up, down)), abs=1e-9)
    with pytest.raises(ArgumentError, match="bands must be few enough for a window of 16, got 40"):
        data.mel_bands(40, 16, rate)


def test_log_mel_is_in_decibels_below_the_loudest() -> None:
    power = data.mel_bands(8, 64, 8000) @ data.spectrogram(SOUND, 64, 20)
    got = data.log_mel(SOUND, 8000, 8, 9, 64, 20)
    assert (got.shape, got.dtype, got.max()) == ((1, 8, 9), np.float32, 1.0)
    decibels = 10 * np.log10(power / power.max())
    np.testing.assert_allclose(got[0], 1 + np.maximum(decibels, -80)[::-1] / 80, atol=1e-6)
    np.testing.assert_allclose(data.log_mel(100 * SOUND, 8000, 8, 9, 64, 20), got, atol=1e-6)


def test_a_short_recording_is_in_the_middle_and_of_a_long_one_the_loudest_is_taken() -> None:
    frames = data.log_mel(SOUND, 8000, 8, 9, 64, 20)
    wide = data.log_mel(SOUND, 8000, 8, 14, 64, 20)
    np.testing.assert_array_equal(wide[..., 2:11], frames)
    assert not wide[..., :2].any()
    assert not wide[..., 11:].any()
    power = (data.mel_bands(8, 64, 8000) @ data.spectrogram(SOUND, 64, 20)).sum(0)
    start = max(range(6), key=lambda i: power[i : i + 4].sum())
    loudest = data.log_mel(SOUND, 8000, 8, 4, 64, 20)
    np.testing.assert_array_equal(loudest, frames[..., start : start + 4])
    silence = data.log_mel(np.zeros(800, np.float32), 8000)
    assert (silence.shape, silence.max()) == ((1, 32, 64), 0.0)


def test_refused() -> None:
    with pytest.raises(ShapeError, match=r"samples must have shape \(T,\), T > 0, got \(2, 3\)"):
        data.spectrogram(np.zeros((2, 3), np.float32))
    with pytest.raises(ShapeError, match=r"got \(0,\)"):
        data.log_mel(np.zeros(0, np.float32), 8000)
    with pytest.raises(ArgumentError, match="window must be at least 2 and hop at least 1, got 16"):
        data.spectrogram(SOUND, 16, 0)


# --- a set of recordings


def recordings(folder: str, note: bytes = b"") -> bytes:
    """An archive: 0 and 1 said by two speakers, twice for the test set and once to train on."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(f"{folder}README.md", note)
        for at, digit, speaker in itertools.product((4, 1, 5), "10", ("bob", "ann")):
            tone = np.sin(np.arange(2000) * (1 + int(digit)) * (1 + at / 10))
            name = f"{folder}recordings/{digit}_{speaker}_{at}.wav"
            archive.writestr(name, wav((20_000 * tone).astype("<i2").tobytes()))
    return buffer.getvalue()


@pytest.fixture
def spoken(cache, mirrors, monkeypatch) -> Path:
    """Known by one archive, and offered in another. Where it will lie."""
    known = replace(
        CATALOGUE["spoken_digits"],
        digests={"recordings.zip": digest(recordings(""), "recordings.zip")},
        mirrors=(mirrors[0].url("master.zip"),),
    )
    monkeypatch.setitem(CATALOGUE, "spoken_digits", known)
    mirrors[0].files["master.zip"] = recordings("digits-master/", b"packed anew")
    return cache / "fsdd" / "recordings.zip"


def test_recordings_become_pictures(spoken, tmp_path) -> None:
    train, test = (data.load("spoken_digits", split) for split in ("train", "test"))
    assert (train.inputs.shape, test.inputs.shape) == ((4, 1, 32, 64), (8, 1, 32, 64))
    assert train.targets.tolist() == [0, 0, 1, 1]
    assert test.targets.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    with zipfile.ZipFile(spoken) as archive:
        file = Path(archive.extract("digits-master/recordings/1_ann_5.wav", tmp_path))
    expected = data.log_mel(data.read_wav(file)[0], 8000)
    np.testing.assert_array_equal(train.inputs[2], expected)
    np.testing.assert_array_equal(
        data.read_input(data.describe("spoken_digits"), file), expected[None]
    )


def test_an_archive_of_other_sounds_is_refused(spoken, mirrors) -> None:
    content = recordings("")
    place = content.index(b"1_ann_5.wav") + 200
    changed = content[:place] + b"?" + content[place + 1 :]
    for damaged in (content[:-30], recordings("").replace(b"0_ann_1", b"0_ann_7"), b""):
        mirrors[0].files["master.zip"] = damaged
        with pytest.raises(DataError, match=r"master\.zip \(sent a file of SHA-256"):
            data.load("spoken_digits", "train")
    spoken.write_bytes(changed)
    with pytest.raises(DataError, match=r"recordings\.zip must have SHA-256 .*truncated or corr"):
        data.load("spoken_digits", "train")
