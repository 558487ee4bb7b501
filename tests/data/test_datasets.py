"""Data sets by name: where the files are looked for, and what is refused."""

import gzip
import hashlib
import io
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest

from gpunet import data
from gpunet.data.catalogue import CATALOGUE, IDX_FILES, Description
from gpunet.errors import ArgumentError, DataError

IMAGES = np.arange(48, dtype=np.uint8).reshape(4, 3, 4)
LABELS = np.array([0, 1, 1, 0], np.uint8)


def packed(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return gzip.compress(header + array.tobytes(), mtime=0)


FILES = dict(
    zip(
        IDX_FILES,
        (packed(IMAGES), packed(LABELS), packed(IMAGES[:2]), packed(LABELS[:2])),
        strict=True,
    )
)


@pytest.fixture
def tiny(mirrors, monkeypatch) -> str:
    """A data set of 4 + 2 pictures in the catalogue, which the second mirror has."""
    description = Description(
        shape=(1, 3, 4),
        white=255,
        classes=("low", "high"),
        framing=None,
        digests={name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()},
        mirrors=tuple(mirror.url() for mirror in mirrors),
    )
    monkeypatch.setitem(CATALOGUE, "tiny", description)
    mirrors[1].files.update(FILES)
    return "tiny"


def put(folder: Path, files: dict[str, bytes] = FILES, **changed: bytes) -> None:
    folder.mkdir(parents=True)
    for name, content in (files | changed).items():
        (folder / name).write_bytes(content)


def assert_is_training_set(loaded: data.Dataset) -> None:
    assert (loaded.inputs.dtype, loaded.targets.dtype) == (np.float32, np.int64)
    expected = (IMAGES.astype(np.float64) / 255).astype(np.float32)[:, np.newaxis]
    np.testing.assert_array_equal(loaded.inputs, expected)
    np.testing.assert_array_equal(loaded.targets, LABELS)
    assert (loaded.name, loaded.classes) == ("tiny", ("low", "high"))


def test_missing_files_are_downloaded_into_the_cache_once(tiny, mirrors, cache) -> None:
    assert_is_training_set(data.load(tiny, "train"))
    assert sorted(f.name for f in (cache / "tiny").iterdir()) == sorted(IDX_FILES[:2])
    assert len(data.load(tiny, "test")) == 2
    asked = len(mirrors[1].requests)
    assert asked == 4
    assert_is_training_set(data.load(tiny, "train"))
    assert len(mirrors[1].requests) == asked


def test_gpunet_data_comes_before_the_cache(tiny, mirrors, cache, tmp_path, monkeypatch) -> None:
    put(cache / "tiny", **dict.fromkeys(IDX_FILES, b"must not be read"))
    put(tmp_path / "given" / "tiny")
    monkeypatch.setenv("GPUNET_DATA", str(tmp_path / "given"))
    assert_is_training_set(data.load(tiny, "train"))
    assert mirrors[1].requests == []


def test_what_gpunet_data_lacks_is_read_from_the_cache(
    tiny, mirrors, cache, tmp_path, monkeypatch
) -> None:
    put(cache / "tiny")
    monkeypatch.setenv("GPUNET_DATA", str(tmp_path))
    assert_is_training_set(data.load(tiny, "train"))
    assert mirrors[1].requests == []


def test_the_cache_is_in_the_home_folder_by_default(tiny, monkeypatch, tmp_path) -> None:
    monkeypatch.delenv("GPUNET_DATA", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    data.load(tiny, "test")
    assert (tmp_path / ".cache" / "gpunet" / "data" / "tiny" / IDX_FILES[2]).is_file()


@pytest.mark.parametrize("place", ["given", "cache/gpunet/data"])
@pytest.mark.parametrize("damage", [lambda c: c[:-5], lambda c: c[:-1] + b"?", lambda c: b""])
def test_a_damaged_file_is_named_and_kept(
    place, damage, tiny, mirrors, cache, tmp_path, monkeypatch
) -> None:
    name = IDX_FILES[0]
    damaged = damage(FILES[name])
    put(tmp_path / place / "tiny", **{name: damaged})
    monkeypatch.setenv("GPUNET_DATA", str(tmp_path / "given"))
    with pytest.raises(DataError) as caught:
        data.load(tiny, "train")
    path = tmp_path / place / "tiny" / name
    message = str(caught.value)
    assert f"{path} must have SHA-256 {hashlib.sha256(FILES[name]).hexdigest()}" in message
    assert f"got {hashlib.sha256(damaged).hexdigest()} ({len(damaged):,} bytes)" in message
    assert "delete it to have it downloaded again" in message
    assert path.read_bytes() == damaged
    assert mirrors[1].requests == []


def test_images_and_labels_of_different_number_are_refused(tiny, cache, monkeypatch) -> None:
    short = packed(LABELS[:3])
    monkeypatch.setitem(CATALOGUE[tiny].digests, IDX_FILES[1], hashlib.sha256(short).hexdigest())
    put(cache / "tiny", **{IDX_FILES[1]: short})
    with pytest.raises(DataError, match=r"got \(3,\) for \(4, 1, 3, 4\); data set 'tiny'"):
        data.load(tiny, "train")


def test_without_a_mirror_the_folder_for_the_files_is_named(tiny, mirrors, cache) -> None:
    mirrors[1].files.clear()
    with pytest.raises(DataError) as caught:
        data.load(tiny, "train")
    for mirror in mirrors:
        assert f"{mirror.url(IDX_FILES[0])} (HTTP Error 404: Not Found)" in str(caught.value)
    assert f"you may put the file into {cache / 'tiny'} by hand" in str(caught.value)


def test_an_unknown_name_lists_the_known_and_the_nearest() -> None:
    with pytest.raises(ArgumentError) as caught:
        data.load("minst", "train")
    assert f"name must be one of {', '.join(data.names())}, got 'minst'" in str(caught.value)
    assert str(caught.value).endswith("did you mean 'mnist'?")
    with pytest.raises(ArgumentError, match=r"got 'zzz'$"):
        data.describe("zzz")


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(ArgumentError, match='split must be "train" or "test", got \'valid\''):
        data.load("digits", "valid")


@pytest.mark.parametrize("name", data.names())
def test_the_catalogue_is_complete(name) -> None:
    description = data.describe(name)
    unlike = {"nuclei": 2, "tinyshakespeare": 65, "daily_min_temperatures": 0, "champagne_sales": 0}
    classes = (
        unlike | {"multi30k": 0, "rt_polarity": 2, "bike_sharing": 0, "iris": 3, "wine": 3}
    ).get(name, 10)
    assert len(description.classes) == len(set(description.classes)) == classes
    assert all(len(bytes.fromhex(digest)) == 32 for digest in description.digests.values())
    assert len(set(description.digests.values())) == len(description.digests)
    assert all(mirror.endswith(("/", ".zip")) for mirror in description.mirrors)


# ---- maps of labels, and the records of CIFAR ---------------------------------------------------


def test_maps_count_what_is_in_a_picture_and_targets_say_where(monkeypatch, tmp_path) -> None:
    maps = np.where(IMAGES % 5, 0, IMAGES)
    names = data.describe("nuclei").digests
    files = dict(
        zip(
            names, (packed(IMAGES), packed(maps), packed(IMAGES[:1]), packed(maps[:1])), strict=True
        )
    )
    described = Description(
        shape=(1, 3, 4),
        white=255,
        classes=("background", "thing"),
        framing=None,
        digests={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        folder="elsewhere",
    )
    monkeypatch.setitem(CATALOGUE, "things", described)
    put(tmp_path / "elsewhere", files)
    monkeypatch.setenv("GPUNET_DATA", str(tmp_path))
    loaded = data.load("things", "train")
    np.testing.assert_array_equal(loaded.targets, (maps > 0).astype(np.int64))
    assert loaded.inputs.shape == (4, 1, 3, 4)
    assert len(data.load("things", "test")) == 1


def test_what_nobody_offers_must_be_put_somewhere(cache, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("GPUNET_DATA", str(tmp_path / "given"))
    with pytest.raises(DataError) as caught:
        data.load("nuclei", "test")
    message = str(caught.value)
    assert "test-images-idx3-ubyte.gz must lie in" in message
    for place in (tmp_path / "given", cache):
        assert str(place / "nuclei_dsb2018") in message


RECORDS = np.random.default_rng(1).integers(0, 256, (60, 3073)).astype(np.uint8)
RECORDS[:, 0] %= 10


def cifar_archive() -> bytes:
    """Ten records a file, in the layout of the official archive."""
    buffer = io.BytesIO()
    names = [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, records in zip(names, RECORDS.reshape(6, -1), strict=True):
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}.bin")
            member.size = records.size
            archive.addfile(member, io.BytesIO(records.tobytes()))
    return buffer.getvalue()


@pytest.fixture
def cifar(cache, monkeypatch) -> Path:
    """The archive, in the user's cache."""
    content = cifar_archive()
    (file,) = CATALOGUE["cifar10"].digests
    monkeypatch.setitem(CATALOGUE["cifar10"].digests, file, hashlib.sha256(content).hexdigest())
    (cache / "cifar10").mkdir(parents=True)
    (cache / "cifar10" / file).write_bytes(content)
    return cache


@pytest.mark.parametrize("name", ["cifar10", "cifar10_subset"])
def test_records_of_cifar_are_labels_and_planes_of_colour(cifar, name) -> None:
    for split, records in (("train", RECORDS[:50]), ("test", RECORDS[50:])):
        loaded = data.load(name, split)
        np.testing.assert_array_equal(loaded.targets, records[:, 0])
        assert loaded.inputs.shape == (len(records), 3, 32, 32)
        green, row, column = loaded.inputs[:, 1], 5, 7
        expected = records[:, 1 + 1024 + 32 * row + column] / 255
        np.testing.assert_allclose(green[:, row, column], expected, rtol=1e-6)


def test_the_subset_is_cut_out_of_the_whole_where_it_has_no_files(cifar, monkeypatch) -> None:
    monkeypatch.setattr("gpunet.data.datasets.SUBSET", {"train": 12, "test": 3})
    train, test = (data.load("cifar10_subset", split) for split in ("train", "test"))
    np.testing.assert_array_equal(train.targets, RECORDS[:12, 0])
    np.testing.assert_array_equal(test.targets, RECORDS[50:53, 0])
    file = cifar / "cifar10_subset" / "test_1000.bin"
    file.parent.mkdir()
    file.write_bytes(b"not it")
    with pytest.raises(DataError, match=r"test_1000\.bin must have SHA-256"):
        data.load("cifar10_subset", "test")


# ---- texts --------------------------------------------------------------------------------------

TEXT = "the cat sat on the mat, né?\n" * 5  # 140 characters, more bytes


@pytest.fixture
def text(cache, monkeypatch) -> str:
    content = TEXT.encode()
    described = Description(
        shape=(10,),
        classes=tuple(sorted(set(TEXT))),
        digests={"input.txt": hashlib.sha256(content).hexdigest()},
        format="text",
    )
    monkeypatch.setitem(CATALOGUE, "cats", described)
    put(cache / "cats", {"input.txt": content})
    return "cats"


@pytest.mark.parametrize(("length", "width"), [(None, 10), (1, 1), (6, 6), (13, 13)])
@pytest.mark.parametrize(("split", "part"), [("train", TEXT[:126]), ("test", TEXT[126:])])
def test_windows_of_a_text_follow_one_another(text, split, part, length, width) -> None:
    loaded = data.load(text, split, length)
    count = (len(part) - 1) // width
    assert (loaded.inputs.shape, loaded.inputs.dtype) == ((count, width), np.int64)
    letters = sorted(set(TEXT))
    read, next_ones = (
        "".join(letters[i] for i in array.ravel()) for array in (loaded.inputs, loaded.targets)
    )
    assert read == part[: count * width]
    assert next_ones == part[1 : count * width + 1]
    assert loaded.classes == tuple(letters)


@pytest.mark.parametrize("length", [0, -1, 14])
def test_a_window_must_fit_into_the_text(text, length) -> None:
    rule = r"length must be at least 1 and less than the 14 characters of 'cats', test, got"
    with pytest.raises(ArgumentError, match=f"{rule} {length}$"):
        data.load(text, "test", length)


def test_pictures_have_no_length() -> None:
    with pytest.raises(ArgumentError, match="length is for a text in windows, got 8 for digits"):
        data.load("digits", "test", 8)
