"""Downloads arrive whole or not at all, from servers that behave in every way they do."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from gpunet.data.download import fetch
from gpunet.errors import DataError

CONTENT = np.random.default_rng(0).bytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "folder" / "file.gz"


@pytest.fixture
def part(path: Path) -> Path:
    path.parent.mkdir(parents=True)
    return path.with_name("file.gz.part")


def fetched(path: Path) -> bool:
    """The file is there, complete, and nothing else is."""
    return path.read_bytes() == CONTENT and [f.name for f in path.parent.iterdir()] == [path.name]


def test_a_file_is_downloaded_once(mirrors, path, capsys) -> None:
    first, second = mirrors
    first.files["file.gz"] = second.files["file.gz"] = CONTENT
    fetch([first.url("file.gz"), second.url("file.gz")], path, SHA256)
    assert fetched(path)
    assert first.requests == [("file.gz", None)]
    assert second.requests == []
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "file.gz" in shown.err
    assert "300.0" in shown.err  # kilobytes


def test_a_server_that_does_not_tell_the_length(mirrors, path) -> None:
    mirrors[0].files["file.gz"] = CONTENT
    mirrors[0].tells_length = False
    fetch([mirrors[0].url("file.gz")], path, SHA256)
    assert fetched(path)


def test_a_download_goes_on_where_it_stopped(mirrors, path, part) -> None:
    mirrors[0].files["file.gz"] = CONTENT
    part.write_bytes(CONTENT[:123_456])
    fetch([mirrors[0].url("file.gz")], path, SHA256)
    assert fetched(path)
    assert mirrors[0].requests == [("file.gz", "bytes=123456-")]


def test_a_server_without_ranges_sends_all_of_it_again(mirrors, path, part) -> None:
    mirrors[0].files["file.gz"] = CONTENT
    mirrors[0].knows_ranges = False
    part.write_bytes(CONTENT[:123_456])
    fetch([mirrors[0].url("file.gz")], path, SHA256)
    assert fetched(path)
    assert mirrors[0].requests == [("file.gz", "bytes=123456-")]


def test_a_complete_part_is_only_renamed(mirrors, path, part) -> None:
    mirrors[0].files["file.gz"] = CONTENT
    part.write_bytes(CONTENT)
    fetch([mirrors[0].url("file.gz")], path, SHA256)
    assert fetched(path)
    assert mirrors[0].requests == [("file.gz", "bytes=300000-")]


@pytest.mark.parametrize("stale", [b"another file", bytes(400_000)], ids=["shorter", "longer"])
def test_wrong_bytes_of_an_earlier_attempt_are_dropped(mirrors, path, part, stale) -> None:
    mirrors[0].files["file.gz"] = CONTENT
    part.write_bytes(stale)
    fetch([mirrors[0].url("file.gz")], path, SHA256)
    assert fetched(path)
    assert mirrors[0].requests == [("file.gz", f"bytes={len(stale)}-"), ("file.gz", None)]


def test_the_next_mirror_completes_what_a_broken_one_began(mirrors, path) -> None:
    first, second = mirrors
    first.files["file.gz"] = second.files["file.gz"] = CONTENT
    first.hangs_up_after = 100_000
    fetch([first.url("file.gz"), second.url("file.gz")], path, SHA256)
    assert fetched(path)
    assert second.requests == [("file.gz", "bytes=100000-")]


def test_the_next_mirror_replaces_corrupted_content(mirrors, path) -> None:
    first, second = mirrors
    first.files["file.gz"] = CONTENT[:-1] + b"?"
    second.files["file.gz"] = CONTENT
    fetch([first.url("file.gz"), second.url("file.gz")], path, SHA256)
    assert fetched(path)
    assert second.requests == [("file.gz", None)]


def test_when_all_mirrors_fail_the_error_names_each_and_its_reason(mirrors, path) -> None:
    first, second = mirrors
    second.files["file.gz"] = b"corrupted"
    gone = "http://127.0.0.1:1/file.gz"
    with pytest.raises(DataError) as caught:
        fetch([first.url("file.gz"), second.url("file.gz"), gone], path, SHA256)
    message = str(caught.value)
    assert f"{first.url('file.gz')} (HTTP Error 404: Not Found)" in message
    corrupted = hashlib.sha256(b"corrupted").hexdigest()
    assert f"{second.url('file.gz')} (sent a file of SHA-256 {corrupted}, not {SHA256})" in message
    assert f"{gone} (<urlopen error" in message
    assert message.endswith(f"you may put the file into {path.parent} by hand")
    assert list(path.parent.iterdir()) == []


def test_a_broken_connection_leaves_what_arrived_for_the_next_attempt(mirrors, path) -> None:
    mirrors[0].files["file.gz"] = CONTENT
    mirrors[0].hangs_up_after = 100_000
    with pytest.raises(DataError, match="closed the connection after 100,000 of 300,000 bytes"):
        fetch([mirrors[0].url("file.gz")], path, SHA256)
    assert not path.exists()
    mirrors[0].hangs_up_after = None
    fetch([mirrors[0].url("file.gz")], path, SHA256)
    assert fetched(path)
    assert mirrors[0].requests[1:] == [("file.gz", "bytes=100000-")]


def test_a_folder_that_cannot_be_made_is_named(mirrors, tmp_path) -> None:
    (tmp_path / "file").write_text("not a folder")
    path = tmp_path / "file" / "set" / "file.gz"
    with pytest.raises(DataError) as caught:
        fetch([mirrors[0].url("file.gz")], path, SHA256)
    assert f"{path} must be writable" in str(caught.value)
    assert mirrors[0].requests == []
