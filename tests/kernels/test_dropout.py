"""kernels/dropout.cu, executed: the same bits as the CPU twin, and Philox's published words."""

from __future__ import annotations

import numpy as np
import pytest

from gpunet.backend.cpu import dropout as twin
from gpunet.backend.cuda import source
from tests.kernels import needs
from tests.kernels.dtypes import BFLOAT16, DTYPES, FLOAT16, FLOAT32, FLOAT64, Array, DType
from tests.kernels.host import build
from tests.kernels.host.device import Device, everywhere

pytestmark = needs.compiler

SEED, COUNTER = 2**40 + 12345, 2**33 + 7  # both halves of the words count


def dropout(dtype: DType, x: Array, p: float, launch: tuple[int, int] = (2, 32)) -> Array:
    threshold, scale = round(p * 2**32), 1 / (1 - p) if p < 1 else 0.0

    def program(device: Device) -> Array:
        y = device.empty(x.shape, dtype.storage)
        kernel = build.load("dropout", dtype)["dropout"]
        numbers = x.size, threshold, scale, SEED, COUNTER, None
        device.launch(kernel, *launch, device.array(x), y, *numbers)
        return y

    return everywhere(program)


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 31, 33, 257])
@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=str)
def test_same_bits_as_the_cpu_twin(dtype: DType, size: int, p: float) -> None:
    x = np.random.default_rng(1).normal(0, 3, size).astype(dtype.storage)
    assert dropout(dtype, x, p).tobytes() == twin.dropout(x, p, SEED, COUNTER).tobytes()


@pytest.mark.parametrize("dtype", [FLOAT16, BFLOAT16], ids=str)
def test_half_types_have_the_same_mask(dtype: DType) -> None:
    ones = np.ones(257)
    expected = twin.dropout(ones.astype(np.float32), 0.5, SEED, COUNTER)
    assert (dtype.decode(dropout(dtype, dtype.encode(ones), 0.5)) == expected).all()


def uniform(dtype: DType, size: int, low: float, high: float, aligned: bool = True) -> Array:
    def program(device: Device) -> Array:
        y = device.empty(size, dtype.storage, aligned)
        kernel = build.load("dropout", dtype)["uniform"]
        device.launch(kernel, 2, 32, y, size, low, high, SEED, COUNTER, None)
        return y

    return everywhere(program)


@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 33, 257])
@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=str)
def test_uniform_numbers_are_those_of_the_cpu_twin(dtype: DType, size: int) -> None:
    like = np.empty(size, dtype.storage)
    assert (uniform(dtype, size, 0, 1) == twin.uniform(like, 0, 1, SEED, COUNTER)).all()
    actual, expected = uniform(dtype, size, -2, 3), twin.uniform(like, -2, 3, SEED, COUNTER)
    assert (np.abs(actual - expected) <= 3 * dtype.epsilon).all()  # rounded once or twice


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_uniform_numbers_fill_the_range_evenly(dtype: DType) -> None:
    u = dtype.decode(uniform(dtype, 4096, 0, 1, aligned=False))
    # The number of 4096 that lie in each tenth is 410 with a deviation of 19.
    counts, _ = np.histogram(u, 10, (0, 1))
    assert (np.abs(counts - 409.6) < 6 * 19.2).all()
    exact = twin.uniform(np.empty(4096), 0, 1, SEED, COUNTER)
    assert (np.abs(u - exact) <= dtype.epsilon / 2).all()
    assert 0 < exact.min()
    assert exact.max() < 1


@pytest.mark.parametrize("launch", [(1, 32), (3, 64), (1, 96)], ids=str)
def test_the_mask_does_not_depend_on_the_launch(launch: tuple[int, int]) -> None:
    x = np.ones(1000, np.float32)
    assert (dropout(FLOAT32, x, 0.5, launch) == dropout(FLOAT32, x, 0.5)).all()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_misaligned_arrays_and_in_place(dtype: DType) -> None:
    x = dtype.encode(np.random.default_rng(2).normal(0, 3, 37))

    def in_place(device: Device) -> Array:
        y = device.array(x, aligned=False)
        kernel = build.load("dropout", dtype)["dropout"]
        device.launch(kernel, 1, 32, y, y, x.size, 2**31, 2.0, SEED, COUNTER, None)
        return y

    assert everywhere(in_place).tobytes() == dropout(dtype, x, 0.5).tobytes()


# From the file kat_vectors of the authors' Random123 library: counter, key, result.
KNOWN = (
    (
        "00000000 00000000 00000000 00000000",
        "00000000 00000000",
        "6627e8d5 e169c58d bc57ac4c 9b00dbd8",
    ),
    (
        "ffffffff ffffffff ffffffff ffffffff",
        "ffffffff ffffffff",
        "408f276d 41c83b0e a20bc7c6 6d5451fd",
    ),
    (
        "243f6a88 85a308d3 13198a2e 03707344",
        "a4093822 299f31d0",
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
)
PHILOX = """
KERNEL(words)(const unsigned long long* counter, const unsigned long long* key, unsigned* result) {
    const RandomWords words = philox(counter[0], counter[1], *key);
    GRID_STRIDE(k, 4) result[k] = words.at[k];
}
"""


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN)
def test_philox_gives_the_published_words(counter: str, key: str, result: str) -> None:
    def words(text: str) -> Array:
        return np.array([int(word, 16) for word in text.split()], np.uint32)

    def program(device: Device) -> Array:
        out = device.empty(4, np.uint32)
        given = [device.array(words(text).view(np.uint64)) for text in (counter, key)]
        device.launch(kernel, 1, 32, *given, out)
        return out

    kernel = build.load_text(source.text("dropout") + PHILOX, FLOAT32)["words"]
    assert (everywhere(program) == words(result)).all()
