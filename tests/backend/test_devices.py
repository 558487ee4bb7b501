"""Which backend a device name gives, and what is said where there is none."""

import copy
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

import gpunet
from gpunet import backend
from gpunet.backend import cuda
from gpunet.backend.cuda import probe
from gpunet.backend.cuda.probe import devices
from gpunet.errors import ArgumentError, DeviceError
from tests.kernels.host.gpu import HostGPU, pretended


def test_the_cpu_is_always_there() -> None:
    assert backend.get("cpu") is backend.cpu
    assert backend.resolve("cpu") == (backend.cpu, "device cpu")
    assert backend.of(np.ones(3)) is backend.cpu


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "cuda:0:1", "CPU", "", "cuda:-1"])
def test_unknown_devices(device) -> None:
    with pytest.raises(ArgumentError, match='device: must be "cpu", "cuda" or "cuda:N", got') as e:
        backend.resolve(device)
    assert repr(device) in str(e.value)


@pytest.mark.parametrize("thing", [[1.0], 3.0, None, gpunet.tensor([1.0])], ids=repr)
def test_things_that_are_no_arrays(thing) -> None:
    with pytest.raises(DeviceError, match=f"numpy or cupy array, got {type(thing).__name__}"):
        backend.of(thing)


# --- a CuPy of every kind

FAKE = """
__version__ = "{version}"
class cuda:
    class runtime:
        @staticmethod
        def runtimeGetVersion(): return {built}
        @staticmethod
        def driverGetVersion(): return {driver}
        @staticmethod
        def getDeviceCount(): return {count}
        @staticmethod
        def getDeviceProperties(number):
            return dict(name=b"NVIDIA H100", totalGlobalMem=80 * 10**9, major=9, minor=0)
"""


def fake(version="14.2.0", built=12090, driver=12090, count=1) -> str:
    """The text of a CuPy that answers so."""
    return FAKE.format(version=version, built=built, driver=driver, count=count)


BROKEN = {
    "cache folder": (
        "raise OSError(30, 'Read-only file system')",
        "CuPy does not import: OSError: [Errno 30] Read-only file system",
    ),
    "library": ("raise ImportError('libcublas.so.12')", "ImportError: libcublas.so.12"),
    "dependency": ("import fastrlock_is_missing", "No module named 'fastrlock_is_missing'"),
    "anything": ("raise RuntimeError('two CuPy packages')", "RuntimeError: two CuPy packages"),
    "too old": (
        fake(version="13.6.0"),
        "CuPy 13.6 is too old; pip install --upgrade 'gpunet[cuda12]'",
    ),
    "no driver": (fake(driver=0), "there is no NVIDIA driver (CuPy is installed)"),
    "old driver": (
        fake(built=13000, driver=12080),
        "the driver knows CUDA 12.8, and CuPy is built for 13.0; update the driver, or "
        "pip uninstall cupy-cuda13x and pip install 'gpunet[cuda12]'",
    ),
    "no device": (fake(count=0), "the driver finds no NVIDIA GPU"),
    "driver": (fake(driver="1 / 0"), "the GPU does not answer: ZeroDivisionError"),
    "device": (fake(count="1 / 0"), "the GPU does not answer: ZeroDivisionError"),
    "compiler": (
        fake(built=14000, driver=14000),  # of which no NVRTC can be installed
        "CUDA 14's compiler NVRTC is missing; pip install ",
    ),
}


@pytest.fixture
def cupy(tmp_path, monkeypatch):
    """Puts a package of this name and the given text before any other."""
    before = sys.modules.pop("cupy", None)

    def install(text: str) -> None:
        (tmp_path / "cupy.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        sys.modules.pop("cupy", None)
        probe.cache_clear()

    yield install
    # By hand: monkeypatch would put back the first of two, which are both pretended.
    sys.modules.pop("cupy", None)
    if before is not None:
        sys.modules["cupy"] = before
    probe.cache_clear()


CACHE = """
import os
folder = os.environ.get("CUPY_CACHE_DIR", os.path.expanduser("~/.cupy/kernel_cache"))
os.makedirs(folder, exist_ok=True)
"""


@pytest.mark.skipif(not Path("/proc/1").is_dir(), reason="it takes Linux to refuse root a folder")
def test_a_home_that_cannot_be_written(cupy, monkeypatch) -> None:
    """CuPy makes its cache folder when it is imported, and raises where it cannot."""
    monkeypatch.setenv("HOME", "/proc/1")
    monkeypatch.setenv("CUPY_CACHE_DIR", "")  # so that it is put back
    monkeypatch.delenv("CUPY_CACHE_DIR")
    cupy(CACHE + fake(driver=0))
    assert probe() == "there is no NVIDIA driver (CuPy is installed)"
    monkeypatch.setenv("CUPY_CACHE_DIR", "/proc/1/chosen")  # the user's own choice is kept
    cupy(CACHE + fake(driver=0))
    assert "FileNotFoundError" in probe()


@pytest.mark.parametrize(("text", "reason"), BROKEN.values(), ids=BROKEN)
def test_a_broken_cupy_never_touches_the_cpu(cupy, text, reason) -> None:
    cupy(text)
    chosen, line = backend.resolve("auto")
    assert chosen is backend.cpu
    assert line.startswith("device cpu (")
    assert reason in line
    assert "\n" not in line
    for device in ("cuda", "cuda:0", "cuda:3"):
        with pytest.raises(DeviceError) as caught:
            backend.get(device)
        number = device.partition(":")[2] or 0
        assert str(caught.value).startswith(f"device: cuda:{number} cannot be used: ")
        assert reason in str(caught.value)
        assert str(caught.value).endswith("; use device cpu or auto")
    x = gpunet.tensor([[1.0, -2.0]], device="auto", requires_grad=True)
    gpunet.nn.Linear(2, 3, device="auto")(x).relu().sum().backward()
    assert x.grad.shape == (1, 2)


def test_without_cupy(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)  # makes `import cupy` fail as if it were missing
    probe.cache_clear()
    try:
        reason = probe()
    finally:
        probe.cache_clear()
    assert reason.startswith("CuPy is not installed; pip install 'gpunet[cuda13]'")


# --- with GPUs


def test_auto_takes_the_gpu() -> None:
    with pretended(HostGPU()):
        be, line = backend.resolve("auto")
        assert line == "device cuda:0 (host)"
        assert be is backend.get("cuda") is backend.get("cuda:0")
        x = gpunet.tensor([1.0, -2.0], device="auto")
        assert x.device == "cuda:0"
        assert backend.of(x.array) is be
        assert copy.deepcopy(be) is pickle.loads(pickle.dumps(be)) is be
    assert backend.resolve("auto")[0] is backend.cpu


def test_a_number_beyond_the_last() -> None:
    with pretended(HostGPU()):
        with pytest.raises(DeviceError, match=r"^device: cuda:7 does not exist: 1 GPU found"):
            backend.get("cuda:7")
        assert backend.get("cuda:0").device == "cuda:0"


def test_a_gpu_that_fails_when_it_is_opened(monkeypatch) -> None:
    """Another program may have it for itself: auto takes the CPU, and says why."""

    def fail(number: int) -> None:
        raise DeviceError("device", f"cuda:{number} does not answer: all in use")

    with pretended(HostGPU()):
        monkeypatch.setattr(cuda, "open_device", fail)
        assert backend.resolve("auto") == (
            backend.cpu,
            "device cpu (cuda:0 does not answer: all in use)",
        )
        with pytest.raises(DeviceError, match="all in use"):
            backend.resolve("cuda")
    monkeypatch.undo()


def test_arrays_of_different_devices() -> None:
    with pretended(HostGPU(0), HostGPU(1)):
        a, b, c = (gpunet.tensor([1.0], device=d) for d in ("cuda:0", "cuda:1", "cpu"))
        words = "must be on one device, got cuda:0 and "
        with pytest.raises(DeviceError, match=words + "cuda:1"):
            a + b
        with pytest.raises(DeviceError, match=words + "cpu"):
            a * c
        with pytest.raises(TypeError, match="cannot be mixed"):
            a.array + b.array
        with pytest.raises(TypeError, match="cannot be mixed"):
            a.array + c.array
        assert [backend.of(x.array).device for x in (a, b, c)] == ["cuda:0", "cuda:1", "cpu"]
        assert (a.to("cuda:1") + b).device == "cuda:1"
        assert (a.cpu() + c).item() == 2
        there = backend.get("cuda:1").asarray(a.array)
        assert backend.of(there).device == "cuda:1"


def test_the_lines_about_gpus(cupy) -> None:
    cupy(fake(count=2, driver=13000))
    assert devices() == [f"cuda:{n} NVIDIA H100, 80 GB, sm_90; driver CUDA 13.0" for n in range(2)]
