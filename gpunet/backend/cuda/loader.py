"""From a kernel family to its binary: compiled once a machine, then read from the user's cache.

CuPy can compile source by itself (`RawModule(code=...)`). gpunet compiles with NVRTC directly and
hands CuPy the binary (`RawModule(path=...)`), for three reasons:

- CuPy's cache does not see a change in an included header, and returns the old binary;
- CuPy compiles for the GPU at hand only; this function compiles for any, on a machine without one,
  so what the tests compile is, to the byte, what a user's GPU runs;
- CuPy's file names depend on where CuPy is installed; here the name holds a hash of the binary
  itself, so that a measurement can say which binary it is of.

A file is `KEY-DIGEST.cubin`: the key is over all that goes in, the digest over what came out. A
file that was cut off or damaged does not match its own name, and is made again. Files are put in
place in one step and never deleted, so several processes may make the same one at a time.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import os
import re
import tempfile
from pathlib import Path

from gpunet.backend.cuda import source
from gpunet.backend.cuda.nvrtc import Compiler
from gpunet.errors import DeviceError

# As CuPy gives them; the text includes nothing of CuPy's, so its own include folders are left out.
OPTIONS = ("--std=c++17", "-ftz=true", "--device-as-default-execution-space")
DIGEST = 16  # hexadecimal digits of each of the hashes
_INCLUDE = re.compile(rb'^\s*#\s*include\s*[<"]([\w./]+)[>"]', re.MULTILINE)


def cache_folder() -> Path:
    """Where the binaries lie: below `$XDG_CACHE_HOME` (or `~/.cache`)."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "gpunet" / "kernels" / "cuda"


@functools.cache
def writable_folder() -> Path:
    """The cache folder, or one that lasts as long as this process if that cannot be written."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    temporary = tempfile.TemporaryDirectory(prefix="gpunet-kernels-")
    atexit.register(temporary.cleanup)
    return Path(temporary.name)


def state() -> str:
    """What the cache holds, in one line for the user."""
    folder = cache_folder()
    if writable_folder() != folder:
        return f"{folder} cannot be written: kernels are compiled anew at every start"
    sizes = [file.stat().st_size for file in folder.glob("*.cubin")]
    return f"{len(sizes)} binaries, {sum(sizes) / 1e6:.1f} MB in {folder}"


def options(dtype: str, architecture: int, compiler: Compiler) -> tuple[str, ...]:
    """What NVRTC is told, for a dtype (NumPy's name) and a compute capability such as 90."""
    include = (f"-I{compiler.headers}",) if dtype in ("float16", "bfloat16") else ()
    return (
        *OPTIONS,
        f"-arch=sm_{architecture}",
        f"-DDTYPE={source.CUDA_TYPES[dtype]}",
        *include,
    )


def binary(family: str, dtype: str, architecture: int, compiler: Compiler) -> Path:
    """The file with the family's kernels for a dtype and architecture, compiled if need be.

    Raises:
        DeviceError: NVRTC is too old for the architecture, or refuses the source.
    """
    if architecture not in compiler.architectures:
        known = compiler.architectures
        raise DeviceError(
            "cuda",
            f"NVRTC {compiler.version[0]}.{compiler.version[1]} compiles for sm_{known[0]} to "
            f"sm_{known[-1]}, and this GPU is sm_{architecture}",
            "install a newer one" if architecture > known[-1] else "the GPU is too old",
        )
    text = source.text(family)
    words = options(dtype, architecture, compiler)
    folder, key = writable_folder(), _key(text, words, compiler)
    for file in folder.glob(f"{key}-*.cubin"):
        if _digest(file.read_bytes()) == file.stem.split("-")[1]:
            return file
    cubin = compiler.compile(text, words).cubin
    return _write(folder / f"{key}-{_digest(cubin)}.cubin", cubin)


def _write(file: Path, content: bytes) -> Path:
    """Writes a file in one step: others see nothing or all of it."""
    with tempfile.NamedTemporaryFile(dir=file.parent, prefix=".", delete=False) as scratch:
        scratch.write(content)
    os.replace(scratch.name, file)
    return file


def _key(text: str, words: tuple[str, ...], compiler: Compiler) -> str:
    """A hash over the source, every header, the options and the compiler; not over any path."""
    digest = hashlib.sha256(compiler.identity().encode())
    for word in (word for word in words if not word.startswith("-I")):
        digest.update(b"\0" + word.encode())
    digest.update(b"\0" + text.encode())
    if any(word.startswith("-I") for word in words):
        assert compiler.headers is not None
        digest.update(_headers(compiler.headers))
    return digest.hexdigest()[:DIGEST]


@functools.cache
def _headers(folder: Path) -> bytes:
    """A hash over CUDA's headers of the half types, and all that these include."""
    digest, seen, waiting = hashlib.sha256(), set(), ["cuda_bf16.h", "cuda_fp16.h"]
    while waiting:
        name = waiting.pop()
        file = folder / name
        if name in seen or not file.is_file():  # a header of another system's branch
            continue
        seen.add(name)
        content = file.read_bytes()
        digest.update(name.encode() + b"\0" + content)
        beside = Path(name).parent
        for found in sorted(set(_INCLUDE.findall(content))):
            waiting += [found.decode(), str(beside / found.decode())]
    return digest.digest()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:DIGEST]
