"""Fetch one file of known SHA-256: mirrors in turn, going on where an earlier attempt stopped."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from gpunet.errors import DataError

if TYPE_CHECKING:
    from http.client import HTTPResponse

    from rich.progress import Progress

CHUNK = 1 << 16  # bytes between two moves of the progress bar
TIMEOUT = 30.0  # seconds of silence after which a mirror is given up


class _MirrorError(Exception):
    """What one mirror did wrong; the next one may do better."""


def fetch(urls: Iterable[str], path: Path, sha256: str) -> None:
    """Download the file at one of `urls` to `path`, which appears whole and right or not at all.

    Bytes arrive in `path` + `.part`. An interrupted download leaves it behind, and the next one,
    from whichever mirror, asks for the rest only.

    Raises:
        DataError: every mirror failed (the message names each with its reason), or the folder of
            `path` cannot be written.
    """
    part = path.with_name(path.name + ".part")
    failures = []
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for url in urls:
            try:
                _download(url, part, sha256)
            except _MirrorError as error:
                failures.append(f"{url} ({error})")
            else:
                part.replace(path)
                return
    except OSError as error:
        raise DataError("load", f"{path} must be writable, got: {error}") from error
    raise DataError(
        "load",
        f"{path.name} could not be downloaded, tried {', '.join(failures)}",
        f"you may put the file into {path.parent} by hand",
    )


def digest(content: bytes, name: str) -> str:
    """The SHA-256 by which the file `name` is known.

    Of a .zip archive, it is that of the sounds in it: names without folders, and contents, in order
    of the names. Servers pack an archive anew, and its own bytes differ.
    """
    if name.endswith(".zip"):
        known = hashlib.sha256()
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                for file, member in sounds(archive):
                    known.update(file.encode() + b"\n" + archive.read(member))
            return known.hexdigest()
        except (zipfile.BadZipFile, zlib.error, EOFError):  # damaged: known by no digest
            pass
    return hashlib.sha256(content).hexdigest()


def sounds(archive: zipfile.ZipFile) -> list[tuple[str, str]]:
    """The WAV files of an archive: names without folders, in their order, and full names."""
    return sorted(
        (name.rpartition("/")[2], name) for name in archive.namelist() if name.endswith(".wav")
    )


def _download(url: str, part: Path, sha256: str) -> None:
    """Complete `part` from `url`; content of another digest is thrown away."""

    def found() -> str:
        return digest(part.read_bytes(), part.stem)

    resumed = _transfer(url, part)
    if found() != sha256 and resumed:  # the bytes of the earlier attempt may be the wrong ones
        part.unlink()
        _transfer(url, part)
    if (got := found()) != sha256:
        part.unlink()
        raise _MirrorError(f"sent a file of SHA-256 {got}, not {sha256}")


def _transfer(url: str, part: Path) -> bool:
    """Add to `part` the bytes it lacks; tells whether bytes of an earlier attempt are kept."""
    start = part.stat().st_size if part.exists() else 0
    response = _request(url, start)
    if response is None:
        return True
    # A server that does not know ranges answers 200 and sends the whole file.
    start = start if response.status == HTTPStatus.PARTIAL_CONTENT else 0
    length = response.headers.get("Content-Length")
    total = start + int(length) if length else None
    with response, part.open("ab" if start else "wb") as file, _progress() as progress:
        bar = progress.add_task(part.stem, total=total, completed=start)
        for chunk in _chunks(response):
            file.write(chunk)
            progress.advance(bar, len(chunk))
        file.flush()
        os.fsync(file.fileno())
        received = file.tell()
    if total is not None and received < total:
        raise _MirrorError(f"closed the connection after {received:,} of {total:,} bytes")
    return start > 0


def _request(url: str, start: int) -> HTTPResponse | None:
    """The response to a request for the bytes from `start` on; None where there are no more."""
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    headers = {"User-Agent": "gpunet"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        response: HTTPResponse = urlopen(Request(url, headers=headers), timeout=TIMEOUT)
        return response
    except HTTPError as error:
        error.close()
        if start and error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return None
        raise _MirrorError(str(error)) from error
    except (OSError, HTTPException) as error:
        raise _MirrorError(str(error) or type(error).__name__) from error


def _chunks(response: HTTPResponse) -> Iterator[bytes]:
    from http.client import HTTPException

    try:
        while chunk := response.read(CHUNK):
            yield chunk
    except (OSError, HTTPException) as error:
        raise _MirrorError(str(error) or type(error).__name__) from error


def _progress() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=Console(stderr=True),
    )
