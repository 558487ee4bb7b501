"""Out of memory: tried again once after all unused memory was given up, then said in figures."""

from __future__ import annotations

import pytest

from gpunet import backend
from gpunet.errors import DeviceMemoryError, GpunetError
from tests.kernels.host.gpu import HostGPU, pretended

MB = 10**6


def test_unused_memory_is_given_up_first() -> None:
    with pretended(HostGPU(capacity=10 * MB)):
        be = backend.get("cuda:0")
        be.empty((8 * MB,), "uint8")
        assert be.gpu.memory().kept == 8 * MB
        x = be.empty((9 * MB,), "uint8")
        assert be.gpu.memory().kept == 0
        assert x.size == 9 * MB


def test_cycles_that_hold_arrays_are_collected_first() -> None:
    with pretended(HostGPU(capacity=10 * MB)):
        be = backend.get("cuda:0")
        cycle = [be.empty((8 * MB,), "uint8")]
        cycle.append(cycle)
        del cycle
        assert be.empty((9 * MB,), "uint8").size == 9 * MB


def test_what_is_said() -> None:
    with pretended(HostGPU(capacity=10 * MB)):
        be = backend.get("cuda:0")
        held = [be.empty((500, 1000), "float32") for _ in range(3)]
        view = held[0][1:]
        held.append(be.empty((MB,), "uint8"))
        be.empty((2 * MB,), "uint8")
        with pytest.raises(DeviceMemoryError) as caught:
            be.full((2, MB), 1.0, "float64")
        assert str(caught.value) == (
            "cuda:0: out of memory: asked for 16 MB, got 3 MB free of 10 MB, 3 MB in one block; "
            "arrays here hold 7 MB, unused blocks 0 bytes, CUDA itself and other programs 0 bytes; "
            "the largest arrays are 3 × (500, 1000) float32 (6 MB), 1 × (1000000,) uint8 (1 MB)"
        )
        assert isinstance(caught.value, (GpunetError, MemoryError))
        del view
    assert not be.gpu.memory().kept
