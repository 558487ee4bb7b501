"""The cache of binaries: what makes a new one, what is found again, and what is mended.

A pretended compiler answers with what it was asked, so none of this needs NVRTC.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gpunet.backend.cuda import loader, source
from gpunet.backend.cuda.nvrtc import Compiled
from gpunet.errors import DeviceError
from tests.kernels import needs, nvrtc


@dataclass
class Compiler:
    """Writes down what it is asked for."""

    headers: Path
    name: str = "NVRTC 1"
    architectures: tuple[int, ...] = (75, 90)
    version: tuple[int, int] = (13, 0)
    made: int = 0

    def identity(self) -> str:
        return self.name

    def compile(self, text: str, options: tuple[str, ...]) -> Any:
        self.made += 1
        return Compiled(f"{text} {options[:-1]}".encode(), "", "")


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    loader.writable_folder.cache_clear()
    yield tmp_path / "cache" / "gpunet" / "kernels" / "cuda"
    loader.writable_folder.cache_clear()
    loader._headers.cache_clear()


@pytest.fixture
def compiler(tmp_path) -> Compiler:
    headers = tmp_path / "include"
    headers.mkdir()
    (headers / "cuda_fp16.h").write_text('#include "deep/one.h"\n#include <of_another_system.h>\n')
    (headers / "cuda_bf16.h").write_text("")
    (headers / "deep").mkdir()
    (headers / "deep" / "one.h").write_text('#include "two.h"\n')
    (headers / "deep" / "two.h").write_text("// first\n")
    return Compiler(headers)


def test_is_found_again(cache, compiler) -> None:
    first = loader.binary("dropout", "float32", 90, compiler)
    assert first.parent == cache
    assert b"KERNEL(dropout)" in first.read_bytes()
    assert loader.binary("dropout", "float32", 90, compiler) == first
    assert compiler.made == 1


def test_all_that_goes_in_makes_a_new_one(cache, compiler, monkeypatch) -> None:
    paths = {loader.binary("dropout", "float32", 90, compiler)}
    paths.add(loader.binary("dropout", "float64", 90, compiler))
    paths.add(loader.binary("dropout", "float32", 75, compiler))
    paths.add(loader.binary("softmax", "float32", 90, compiler))
    compiler.name = "NVRTC 2"
    paths.add(loader.binary("dropout", "float32", 90, compiler))
    monkeypatch.setattr(loader, "OPTIONS", (*loader.OPTIONS, "--use_fast_math"))
    paths.add(loader.binary("dropout", "float32", 90, compiler))
    monkeypatch.setattr(source, "text", lambda family: "another text")
    paths.add(loader.binary("dropout", "float32", 90, compiler))
    assert len({path.stem.split("-")[0] for path in paths}) == compiler.made == 7


@pytest.mark.parametrize("header", ["cuda_fp16.h", "deep/one.h", "deep/two.h"])
def test_a_change_in_a_header_makes_a_new_one(cache, compiler, header) -> None:
    half = loader.binary("dropout", "float16", 90, compiler)
    full = loader.binary("dropout", "float32", 90, compiler)
    with (compiler.headers / header).open("a") as file:
        file.write("// changed\n")
    loader._headers.cache_clear()
    assert loader.binary("dropout", "float16", 90, compiler) != half
    assert loader.binary("dropout", "float32", 90, compiler) == full  # which includes none
    assert compiler.made == 3


def test_the_place_of_the_headers_does_not_matter(cache, compiler, tmp_path) -> None:
    first = loader.binary("dropout", "float16", 90, compiler)
    moved = Compiler(compiler.headers.rename(tmp_path / "elsewhere"))
    assert loader.binary("dropout", "float16", 90, moved) == first
    assert not moved.made


@pytest.mark.parametrize("content", [b"", b"cut", None], ids=["empty", "cut", "changed"])
def test_a_damaged_file_is_made_again(cache, compiler, content) -> None:
    file = loader.binary("dropout", "float32", 90, compiler)
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + b"?" if content is None else content)
    assert loader.binary("dropout", "float32", 90, compiler) == file
    assert file.read_bytes() == whole
    assert compiler.made == 2


def test_a_folder_that_cannot_be_written(cache, compiler, monkeypatch) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text("a file stands in the way")
    file = loader.binary("dropout", "float32", 90, compiler)
    assert cache not in file.parents
    assert loader.binary("dropout", "float32", 90, compiler) == file
    assert compiler.made == 1
    assert loader.state() == f"{cache} cannot be written: kernels are compiled anew at every start"


def test_a_folder_without_the_right_to_write(cache, compiler, monkeypatch) -> None:
    cache.mkdir(parents=True)
    monkeypatch.setattr("os.access", lambda path, mode: False)  # whoever runs the tests
    assert loader.binary("dropout", "float32", 90, compiler).parent != cache
    assert list(cache.iterdir()) == []


def test_its_state_in_words(cache, compiler) -> None:
    loader.binary("dropout", "float32", 90, compiler)
    loader.binary("dropout", "float32", 75, compiler)
    assert loader.state() == f"2 binaries, 0.0 MB in {cache}"


def test_an_architecture_that_the_compiler_does_not_know(cache, compiler) -> None:
    with pytest.raises(
        DeviceError, match=r"13.0 compiles for sm_75 to sm_90, and this GPU is sm_120"
    ):
        loader.binary("dropout", "float32", 120, compiler)
    with pytest.raises(DeviceError, match="this GPU is sm_61; the GPU is too old"):
        loader.binary("dropout", "float32", 61, compiler)
    assert not compiler.made


SHARE = """
import sys
sys.path.insert(0, {top!r})
from pathlib import Path
from gpunet.backend.cuda import loader
from tests.backend.cuda.test_loader import Compiler
compiler = Compiler(Path("."))
for _ in range(50):
    file = loader.binary("dropout", "float32", 90, compiler)
    file.write_bytes(b"cut")  # what a crash may leave
    assert loader.binary("dropout", "float32", 90, compiler) == file
print(compiler.made)
"""


def test_processes_share_it(cache) -> None:
    """Several at a time, each damaging what the others made: none ever loads a damaged file."""
    code = SHARE.format(top=str(Path(__file__).parents[3]))
    started = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(3)
    ]
    made = [int(process.communicate()[0]) for process in started]
    assert [process.returncode for process in started] == [0, 0, 0]
    assert sum(made) >= 50
    (left,) = (file for file in cache.iterdir() if file.suffix == ".cubin")
    assert len(list(cache.iterdir())) == 1, f"scratch files beside {left}"


@needs.nvrtc_wheels
def test_the_binary_is_the_same_each_time() -> None:
    compiler = nvrtc.compiler()
    assert compiler is not None
    options = loader.options("float32", 90, compiler)
    text = source.text("reduction")
    first = compiler.compile(text, options).cubin
    assert first[:4] == b"\x7fELF"
    assert compiler.compile(text, options).cubin == first
    assert compiler.compile(text + "// a remark\n", options).cubin == first


@needs.nvrtc_wheels
def test_binaries_of_the_half_types() -> None:
    compiler = nvrtc.compiler()
    assert compiler is not None
    assert compiler.version >= (12, 0)
    for dtype in ("float16", "bfloat16"):
        file = loader.binary("dropout", dtype, 90, compiler)
        assert b"dropout" in file.read_bytes()
