"""Finding NVRTC and the headers that go with it, in folders made up for the purpose."""

from __future__ import annotations

import sys

import pytest

from gpunet.backend.cuda import nvrtc
from gpunet.errors import DeviceError, MissingPackageError
from tests.kernels import needs
from tests.kernels import nvrtc as wheels


@pytest.fixture
def site(tmp_path, monkeypatch):
    """An empty folder of packages, the only one, and no toolkit."""
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    for name in ("CUDA_PATH", "CUDA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setattr(nvrtc, "TOOLKIT", str(tmp_path / "toolkit"))
    return tmp_path


def library(site, folder: str, name: str) -> None:
    (site / folder).mkdir(parents=True, exist_ok=True)
    (site / folder / name).write_text("")


def headers(site, folder: str, version: int, half: bool = True) -> None:
    (site / folder).mkdir(parents=True, exist_ok=True)
    text = f"/* text */\n#define CUDART_VERSION  {version}\n"
    (site / folder / "cuda_runtime_api.h").write_text(text)
    if half:
        (site / folder / "cuda_fp16.h").write_text("")


def test_nothing(site) -> None:
    assert nvrtc.find() is None
    with pytest.raises(MissingPackageError) as caught:
        nvrtc.get(12)
    assert str(caught.value) == (
        "cuda: CUDA 12's compiler NVRTC is missing; "
        "pip install nvidia-cuda-nvrtc-cu12 nvidia-cuda-runtime-cu12"
    )


def test_wheels_of_cuda_12(site) -> None:
    library(site, "nvidia/cuda_nvrtc/lib", "libnvrtc.so.12")
    library(site, "nvidia/cuda_nvrtc/lib", "libnvrtc-builtins.so.12.9")
    headers(site, "nvidia/cuda_runtime/include", 12090)
    found = nvrtc.get(12)
    assert found.library.name == "libnvrtc.so.12"
    assert found.headers == site / "nvidia/cuda_runtime/include"
    assert nvrtc.find(13) is None


def test_both_versions_side_by_side(site) -> None:
    library(site, "nvidia/cuda_nvrtc/lib", "libnvrtc.so.12")
    headers(site, "nvidia/cuda_runtime/include", 12090)
    library(site, "nvidia/cu13/lib", "libnvrtc.so.13")
    headers(site, "nvidia/cu13/include", 13000)
    assert nvrtc.get(13).headers == site / "nvidia/cu13/include"
    assert nvrtc.get(12).headers == site / "nvidia/cuda_runtime/include"


def test_headers_of_another_version_are_none(site) -> None:
    library(site, "nvidia/cuda_nvrtc/lib", "libnvrtc.so.12")
    headers(site, "nvidia/cu13/include", 13000)
    headers(site, "nvidia/cuda_runtime/include", 12090, half=False)
    with pytest.raises(MissingPackageError, match=r"^cuda: CUDA 12's headers are missing; pip "):
        nvrtc.get(12)


def test_an_installed_toolkit(site) -> None:
    library(site, "toolkit/lib64", "libnvrtc.so.13.0.48")
    headers(site, "toolkit/include", 13000)
    assert nvrtc.get(13).headers == site / "toolkit/include"


def test_a_wheel_goes_before_a_toolkit_unless_it_has_no_headers(site) -> None:
    library(site, "toolkit/lib64", "libnvrtc.so.13")
    headers(site, "toolkit/include", 13000)
    library(site, "nvidia/cu13/lib", "libnvrtc.so.13")
    assert nvrtc.get(13).library.parent == site / "toolkit/lib64"
    headers(site, "nvidia/cu13/include", 13010)
    assert nvrtc.get(13).library.parent == site / "nvidia/cu13/lib"


@needs.nvrtc_wheels
def test_the_compilers_own_words_are_in_the_error() -> None:
    compiler = wheels.compiler()
    assert compiler is not None
    with pytest.raises(DeviceError, match=r"(?s)NVRTC refuses .*-arch=sm_90.*nonsense.*undefined"):
        compiler.compile("__global__ void f() { nonsense; }", ("-arch=sm_90",))
    assert {75, 90, 120} <= set(compiler.architectures)
