"""Which backend a device name gives, and what is said where there is none."""

import sys

import numpy as np
import pytest

import gpunet
from gpunet import backend
from gpunet.backend.cuda import probe
from gpunet.errors import ArgumentError, DeviceError


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

AVAILABLE = """
class cuda:
    @staticmethod
    def is_available(): return {available}
    class runtime:
        @staticmethod
        def getDeviceProperties(number): return {{"name": {name}}}
"""
BROKEN = {
    "cache folder": (
        "raise OSError(30, 'Read-only file system')",
        "CuPy does not import: OSError: [Errno 30] Read-only file system",
    ),
    "library": ("raise ImportError('libcublas.so.12')", "ImportError: libcublas.so.12"),
    "dependency": ("import fastrlock_is_missing", "No module named 'fastrlock_is_missing'"),
    "anything": ("raise RuntimeError('two CuPy packages')", "RuntimeError: two CuPy packages"),
    "no device": (
        AVAILABLE.format(available=False, name=None),
        "CuPy finds no NVIDIA GPU or driver",
    ),
    "driver": (AVAILABLE.format(available="1 / 0", name=None), "the GPU does not answer: ZeroDiv"),
    "name": (AVAILABLE.format(available=True, name="1 / 0"), "the GPU does not answer: ZeroDiv"),
}


@pytest.fixture
def cupy(tmp_path, monkeypatch):
    """Puts a package of this name and the given text before any other."""

    def install(text: str) -> None:
        (tmp_path / "cupy.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "cupy", raising=False)
        probe.cache_clear()

    yield install
    sys.modules.pop("cupy", None)
    probe.cache_clear()


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
        assert str(caught.value).startswith(f"device: {device} cannot be used: ")
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
