"""The thin layer on CuPy, where CuPy is installed but no GPU is there.

CuPy's arrays can lie in host memory as long as no kernel of CuPy's own touches them. So real
`cupy.ndarray`s go through the wrappers and through `CuPyDevice`, and what arrives at the two places
where it would go to the driver (a `cupy.cuda.Function`, and cuBLAS) is executed on the host.
"""

from __future__ import annotations

import ctypes
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided

from gpunet.backend.cuda import CUDABackend, loader, nvrtc, source
from gpunet.backend.cuda.device import Limits
from gpunet.backend.cuda.probe import probe
from gpunet.errors import ArgumentError, DeviceError, DeviceMemoryError, MissingPackageError
from tests.kernels import needs
from tests.kernels.dtypes import DTYPES
from tests.kernels.host import build, cupy_names
from tests.kernels.host.device import FORWARD, Schedule, started

cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
# A pretended runtime must not touch a real GPU.
pytestmark = [needs.compiler, pytest.mark.skipif(cupy.is_available(), reason="there is a GPU")]


class OnHost:
    """A `cupy.cuda.Function` whose kernel runs on the host."""

    def __init__(self, kernel: build.Kernel):
        self.kernel = kernel

    ptr = "function"

    def __call__(
        self,
        grid: tuple[int, ...],
        block: tuple[int],
        values: list[Any],
        shared_mem: int = 0,
        enable_cooperative_groups: bool = False,
    ) -> None:
        assert enable_cooperative_groups == source.cooperative(self.kernel.parameters)
        words = [
            np.array([x.data.ptr], np.uint64) if type(x) is cupy.ndarray else np.array([x])
            for x in values
        ]
        assert all(type(x) is cupy.ndarray or isinstance(x, np.generic) for x in values)
        addresses = (ctypes.c_void_p * len(words))(*[word.ctypes.data for word in words])
        schedule = Schedule(FORWARD, depth_first=True)
        assert started(self.kernel, grid, *block, addresses, shared_mem, schedule) is None


class HostBLAS:
    """cuBLAS's one function that is used, by its contract, on addresses of host memory."""

    COMPUTE = {68: np.float32, 70: np.float64, 77: np.float32}  # noqa: RUF012
    TYPES = {0: np.float32, 1: np.float64, 2: np.float16}  # noqa: RUF012

    def __init__(self) -> None:
        self.sums: list[int] = []

    def gemmStridedBatchedEx(
        self, handle, transa, transb, m, n, k, alpha, A, Atype, lda, strideA,
        B, Btype, ldb, strideB, beta, C, Ctype, ldc, strideC, batch, compute, algorithm,
    ) -> None:  # fmt: skip
        assert (handle, algorithm) == ("handle", -1)
        self.sums.append(compute)
        one = at(alpha, self.COMPUTE[compute], (1,), (1,))
        zero = at(beta, self.COMPUTE[compute], (1,), (1,))
        assert (one[0], zero[0]) == (1, 0)
        a = at(A, self.TYPES[Atype], (batch, *((k, m) if transa else (m, k))), (strideA, 1, lda))
        b = at(B, self.TYPES[Btype], (batch, *((n, k) if transb else (k, n))), (strideB, 1, ldb))
        c = at(C, self.TYPES[Ctype], (batch, m, n), (strideC, 1, ldc))
        a = (a.swapaxes(1, 2) if transa else a).astype(self.COMPUTE[compute])
        b = (b.swapaxes(1, 2) if transb else b).astype(self.COMPUTE[compute])
        c[...] = np.matmul(a, b)


def at(address: int, dtype: Any, shape: tuple[int, ...], steps: tuple[int, ...]) -> Any:
    """The array at an address, with steps in elements."""
    size = np.dtype(dtype).itemsize
    length = 1 + sum((n - 1) * step for n, step in zip(shape, steps, strict=True))
    memory = (ctypes.c_char * (length * size)).from_address(address)
    return as_strided(np.frombuffer(memory, dtype), shape, [step * size for step in steps])


def upload(values: Any) -> Any:
    """A CuPy array with these values."""
    array = cupy.empty(values.shape, values.dtype)
    ctypes.memmove(array.data.ptr, np.ascontiguousarray(values).ctypes.data, values.nbytes)
    return array


def values(array: Any) -> Any:
    """What is in a CuPy array."""
    steps = tuple(stride // array.dtype.itemsize for stride in array.strides)
    return at(array.data.ptr, array.dtype, array.shape, steps).copy()


@pytest.fixture
def device(monkeypatch):
    """`CuPyDevice` on a pretended driver."""
    before = cupy.cuda.get_allocator()
    kept = []

    def allocate(size: int) -> Any:
        if size > 10**9:
            raise cupy.cuda.memory.OutOfMemoryError(size, 0)
        memory = np.zeros(size + 512, np.uint8)
        kept.append(memory)
        start = memory.ctypes.data + -memory.ctypes.data % 512
        return cupy.cuda.MemoryPointer(cupy.cuda.UnownedMemory(start, size, memory, 0), 0)

    cupy.cuda.set_allocator(allocate)
    from gpunet.backend.cuda import cupy_device

    properties = {
        "name": b"NVIDIA Pretended",
        "major": 9,
        "minor": 0,
        "multiProcessorCount": 2,
        "maxThreadsPerMultiProcessor": 512,
    }
    current: list[int] = []

    def malloc(size: int) -> int:
        if size > 10**8:  # half of what is free, in one piece
            raise cupy.cuda.runtime.CUDARuntimeError(2)
        return 0

    runtime = SimpleNamespace(
        getDeviceCount=lambda: 1,
        setDevice=current.append,
        getDeviceProperties=lambda number: properties,
        deviceGetAttribute=lambda attribute, number: {97: 64 << 10}[attribute],
        cudaDevAttrMaxSharedMemoryPerBlockOptin=97,
        malloc=malloc,
        free=lambda pointer: None,
        memGetInfo=lambda: (2 * 10**8, 10**9),
        runtimeGetVersion=cupy.cuda.runtime.runtimeGetVersion,
        CUDARuntimeError=cupy.cuda.runtime.CUDARuntimeError,
        current=current,
    )
    monkeypatch.setattr(cupy_device, "runtime", runtime)
    # The numbers of a launch are wrapped for CuPy, and cannot be read from there.
    monkeypatch.setattr(cupy_device, "CNumpyArray", lambda value: value[()])
    monkeypatch.setattr(cupy_device, "_NULL", np.uint64(0))
    kinds = {dtype.name: dtype for dtype in DTYPES}

    def load(self: Any, family: str, dtype: str) -> Any:
        return {name: OnHost(k) for name, k in build.load(family, kinds[dtype]).items()}

    monkeypatch.setattr(cupy_device.CuPyDevice, "load", load)
    monkeypatch.setattr(cupy.cuda.device, "get_cublas_handle", lambda: "handle")
    yield cupy_device.CuPyDevice(0)
    cupy.cuda.set_allocator(before)


@pytest.fixture
def be(device):
    return CUDABackend(device)


def test_what_it_knows_of_the_gpu(device) -> None:
    assert device.name == "NVIDIA Pretended"
    assert device.architecture == 90
    assert device.limits == Limits(processors=2, threads=512, shared=64 << 10)


def test_activation(be) -> None:
    x = np.random.default_rng(0).normal(0, 1, (5, 33)).astype("float32")
    bias = np.arange(33, dtype="float32")
    y = be.activation.leaky_relu_fwd(upload(x), 0.25, bias=upload(bias))
    assert type(y) is cupy.ndarray
    z = x + bias
    np.testing.assert_array_equal(values(y), np.where(z > 0, z, np.float32(0.25) * z))
    gx = be.activation.leaky_relu_bwd(upload(x), upload(x), 0.25)
    np.testing.assert_array_equal(values(gx), np.where(x > 0, x, np.float32(0.25) * x))


def test_dropout_softmax_and_sums(be) -> None:
    from gpunet import backend

    x = np.random.default_rng(0).normal(0, 1, (7, 33)).astype("float32")
    y = values(be.dropout.dropout(upload(x), 0.3, 2**40 + 1, 2**33 + 7))
    np.testing.assert_array_equal(y, backend.cpu.dropout.dropout(x, 0.3, 2**40 + 1, 2**33 + 7))
    y = values(be.softmax.softmax_fwd(upload(x)))
    np.testing.assert_allclose(y.sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(values(be.reduction.column_sum(upload(x))), x.sum(0), rtol=1e-5)


@pytest.mark.parametrize("several", [False, True], ids=["one GPU", "one of several"])
def test_arithmetic(device, several) -> None:
    from gpunet.backend.cuda import cupy_device

    if several:
        device.xp = cupy_device._OnDevice(0)
    xp, x = CUDABackend(device).xp, np.random.default_rng(0).normal(0, 1, (9, 33)).astype("float32")
    z = xp.subtract(0.1, xp.add(upload(x), upload(x)))
    assert type(z) is cupy.ndarray
    np.testing.assert_array_equal(values(z), np.float32(0.1) - (x + x))
    np.testing.assert_array_equal(values(xp.abs(upload(x))), abs(x))
    assert xp.add.at == cupy.add.at
    assert xp.float32 is cupy.float32


def test_a_whole_grid_with_much_shared_memory(be, monkeypatch) -> None:
    from gpunet.backend.cuda import cupy_device

    asked = []
    most = cupy_device.driver.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    pretended = SimpleNamespace(
        CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES=most,
        funcSetAttribute=lambda *given: asked.append(given),
    )
    monkeypatch.setattr(cupy_device, "driver", pretended)
    steps, batch, units = 3, 2, 5
    rng = np.random.default_rng(0)
    shapes = dict(z=(steps, batch, 4 * units), w=(4 * units, units), h=(batch, units))
    shapes |= dict(c=(batch, units), y=(steps, batch, units), cells=(steps, batch, units))
    given = {name: rng.normal(0, 1, shape).astype("float32") for name, shape in shapes.items()}
    moving = np.zeros((2, 1, units, 4), "float32")
    z, w, *rest = map(upload, given.values())
    kernel = be.recurrent.kernel("lstm_fwd_persistent", np.dtype("float32"))
    arrays = z, w, None, None, *rest, upload(moving), upload(np.zeros(1, np.uint64))
    sizes = steps, batch, units, 4, 4
    for shared in (4 * units * 4 * 4, 50 << 10):
        kernel((2, 1), 64, *arrays, *sizes, False, True, shared=shared)
        ctypes.memset(arrays[-1].data.ptr, 0, 8)
    assert asked == [("function", most, 50 << 10)]


def test_strides_and_overlaps_are_seen(be) -> None:
    x = upload(np.ones((4, 6), "float32"))
    with pytest.raises(
        ArgumentError, match=r"relu_fwd: x must be C-contiguous, got strides \(4, 24"
    ):
        be.activation.relu_fwd(x.T)
    with pytest.raises(ArgumentError, match="y and x must not overlap"):
        be.activation.relu_fwd(x[:2], out=x[1:3])
    assert be.activation.relu_fwd(x[1:], out=x[1:]).base is x


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_products(be, monkeypatch, dtype) -> None:
    blas = HostBLAS()
    monkeypatch.setattr(type(be.gpu), "_cublas", blas)
    rng = np.random.default_rng(0)
    a = rng.integers(-4, 4, (7, 3, 4)).astype(dtype)
    b = rng.integers(-4, 4, (7, 5, 4)).astype(dtype)
    c = be.matmul(upload(a), upload(b).swapaxes(-1, -2))
    np.testing.assert_array_equal(values(c), np.matmul(a, b.swapaxes(-1, -2)))
    c = be.matmul(upload(a[0]).T, upload(b[0, :3]))
    np.testing.assert_array_equal(values(c), a[0].T @ b[0, :3])
    be.allow_tf32 = True
    be.matmul(upload(a[0]).T, upload(b[0, :3]))
    plain = {"float32": 68, "float64": 70, "float16": 68}[dtype]
    assert blas.sums == [plain, plain, 77 if dtype == "float32" else plain]


def test_out_of_memory_anywhere_in_cupy(device, monkeypatch) -> None:
    monkeypatch.setattr(device, "release", lambda: released.append(1))
    monkeypatch.setattr(
        device, "_pool", SimpleNamespace(used_bytes=lambda: 7 * 10**8, free_bytes=lambda: 0)
    )
    released: list[int] = []
    with pytest.raises(DeviceMemoryError) as caught:
        cupy.empty((2 * 10**9,), "uint8")
    assert "asked for 2 GB, got 200 MB free of 1 GB, 100 MB in one block; arrays" in str(
        caught.value
    )
    assert released == [1]


def test_a_gpu_that_is_not_there(device) -> None:
    with pytest.raises(DeviceError, match=r"^device: cuda:7 does not exist: 1 GPU found"):
        type(device)(7)


def test_cublas_that_is_not_there(be, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy_backends.cuda.libs.cublas", None)
    vars(cupy.cuda).pop("cublas", None)  # which would be found without an import
    x = upload(np.ones((2, 2), "float32"))
    words = r"^matmul: cuBLAS is missing .*; pip install .*cublas"
    with pytest.raises(MissingPackageError, match=words):
        be.matmul(x, x)


def test_what_the_probe_says_here() -> None:
    probe.cache_clear()
    assert probe() == "there is no NVIDIA driver (CuPy is installed)"
    probe.cache_clear()


def test_the_pretended_gpu_knows_what_cupy_has() -> None:
    assert cupy_names.read() == cupy_names.of_cupy(cupy)


# --- our compiler and CuPy's


@needs.nvrtc_wheels
@pytest.mark.parametrize("family", source.kernels())
def test_the_binary_is_the_one_that_cupy_would_make(family) -> None:
    """CuPy gives the same options, so a kernel runs as it would as a `RawKernel` of its source."""
    compiler = nvrtc.get(cupy.cuda.runtime.runtimeGetVersion() // 1000)
    options = loader.options("float32", 90, compiler)
    ours = compiler.compile(source.text(family), options).cubin
    theirs = cupy.cuda.compiler._NVRTCProgram(source.text(family), "kernels.cu", method="cubin")
    own = cupy._core.core.assemble_cupy_compiler_options(("-DDTYPE=float",))
    own = (*own, "-ftz=true", "-arch=sm_90", "--device-as-default-execution-space")
    assert ours.rstrip(b"\0") == theirs.compile(own)[0].rstrip(b"\0")
