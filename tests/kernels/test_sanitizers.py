"""The kernels under the sanitizers: silent on all of them, and not on planted faults."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from gpunet.backend.cuda import source
from tests.kernels import needs, sanitized

pytestmark = needs.sanitizers


QUICK = ("dropout", "embedding", "reduction")  # whose tests take seconds; the rest takes minutes
SANITIZERS = ("address", "thread")


@pytest.mark.parametrize("sanitizer", SANITIZERS)
@pytest.mark.parametrize(
    "family",
    [
        pytest.param(family, marks=() if family in QUICK else pytest.mark.exhaustive)
        for family in source.kernels()
    ],
)
def test_no_kernel_is_reported(family: str, sanitizer: str) -> None:
    done = sanitized.run(sanitizer, "-m", "tests.kernels.sanitized", sanitizer, family)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[:4000]
    lacks = sanitized.lacking(done.stdout, family)
    assert not lacks, (
        f"no test of {family} launches {lacks} with at most {sanitized.THREADS} threads"
    )


def test_a_kernel_without_a_launch_is_named() -> None:
    first, *others = source.kernels()["softmax"]
    ran = sanitized.RAN + " ".join(others)
    assert sanitized.lacking(f"1 passed\n{ran}\n", "softmax") == [first]


@dataclass(frozen=True)
class Fault:
    """A kernel with a fault, its launch, and what the sanitizer must say of it."""

    sanitizer: str
    text: str
    grid: int
    message: str
    cooperative: bool = False  # whether it gets a barrier of the grid


# x are 64 elements of float32, 0 at first; count is one word of 64 bits; n is 64.
FAULTS = {
    "no barrier before shared memory is read": Fault(
        "thread",
        "__shared__ T all[64]; all[threadIdx.x] = 1; x[threadIdx.x] = all[63 - threadIdx.x];",
        1,
        "data race planted.cu:1",
    ),
    "no barrier before shared memory is overwritten": Fault(
        "thread",
        "__shared__ T all[64]; all[threadIdx.x] = 1; __syncthreads(); "
        "x[threadIdx.x] = all[63 - threadIdx.x]; all[threadIdx.x] = 2;",
        1,
        "data race planted.cu:1",
    ),
    "a sum that several blocks add to": Fault(
        "thread", "if (threadIdx.x == 0) x[0] += 1;", 4, "data race planted.cu:1"
    ),
    "no grid barrier before another block's result is read": Fault(
        "thread",
        "if (threadIdx.x == 0) { x[blockIdx.x] = 1; x[2 + blockIdx.x] = x[1 - blockIdx.x]; }",
        2,
        "data race planted.cu:1",
        cooperative=True,
    ),
    "a barrier of the grid that no fence precedes": Fault(
        "thread",
        "if (threadIdx.x == 0) { x[blockIdx.x] = 1; atomicAdd(&barrier->arrived, 1ull); "
        "while (atomicAdd(&barrier->arrived, 0ull) < 2) __nanosleep(20); "
        "x[2 + blockIdx.x] = x[1 - blockIdx.x]; }",
        2,
        "data race planted.cu:1",
        cooperative=True,
    ),
    "another thread's shared memory, right behind a barrier of the grid": Fault(
        "thread",
        "DYNAMIC_SHARED(all); row_barrier(barrier, 0); all[threadIdx.x] = 1; "
        "x[threadIdx.x] = all[63 - threadIdx.x];",
        1,
        "data race planted.cu:1",
        cooperative=True,
    ),
    "dynamic shared memory that is too short": Fault(
        "address",
        "DYNAMIC_SHARED(all); all[threadIdx.x + 1] = 1; row_barrier(barrier, 0);",
        1,
        "AddressSanitizer: heap-buffer-overflow",
        cooperative=True,
    ),
    "an arrival that no fence precedes": Fault(
        "thread",
        "if (threadIdx.x == 0) { x[blockIdx.x] = 1; "
        "if (atomicAdd(count, 1ull) == 1) x[2] = x[0] + x[1]; }",
        2,
        "data race planted.cu:1",
    ),
    "a load one too far": Fault(
        "address",
        "x[threadIdx.x] = x[threadIdx.x + 1];",
        1,
        "AddressSanitizer: use-after-poison",
    ),
    "a store in front": Fault(
        "address", "x[(long long)threadIdx.x - 1] = 1;", 1, "AddressSanitizer: use-after-poison"
    ),
    "shared memory that is too short": Fault(
        "address",
        "__shared__ T all[32]; all[threadIdx.x] = 1; __syncthreads(); x[threadIdx.x] = all[0];",
        1,
        "index 32 out of bounds",
    ),
    "a wide load from a narrow address": Fault(
        "address",
        "if (threadIdx.x == 0) store<WIDE>(x, load<WIDE>(x + 1));",
        1,
        "misaligned address",
    ),
    "an index that overflows": Fault(
        "address",
        "const int many = int(n) << 24; x[threadIdx.x] = many * (int(threadIdx.x) + 3) > 0;",
        1,
        "signed integer overflow",
    ),
}
CORRECT = (
    "__shared__ T all[64]; all[threadIdx.x] = 1; __syncthreads(); if (threadIdx.x < 16) "
    "x[threadIdx.x + 16 * blockIdx.x] = all[63 - threadIdx.x]; "
    "__syncthreads(); all[threadIdx.x] = 2;"
)
FENCED = (
    "if (threadIdx.x == 0) { x[blockIdx.x] = 1; __threadfence(); "
    "if (atomicAdd(count, 1ull) == 1) x[2] = x[0] + x[1]; }"
)
ROW_BARRIER = (
    "DYNAMIC_SHARED(all); all[threadIdx.x] = 1; if (threadIdx.x == 0) x[blockIdx.x] = 1; "
    "row_barrier(barrier, 0); if (threadIdx.x == 0) x[2 + blockIdx.x] = x[1 - blockIdx.x]; "
    "all[63 - threadIdx.x] = 2; row_barrier(barrier, 1); "
    "if (threadIdx.x == 0) x[blockIdx.x] = x[3 - blockIdx.x] + all[7];"
)
LAUNCH = """
import sys
import numpy as np
from gpunet.backend.cuda import source
from tests.kernels.dtypes import FLOAT32
from tests.kernels.host import build, device
from tests.kernels.sanitized import Sampler

sanitizer, body, grid, cooperative = sys.argv[1:]
what = 'GridBarrier* barrier' if cooperative == 'True' else 'unsigned long long* count'
text = 'KERNEL(planted)(T* x, ' + what + ', long long n) {' + body + '}'
with Sampler(sanitizer).installed():
    on = device.Device(device.SCHEDULES[0])
    x, count = on.array(np.zeros(64, np.float32)), on.array(np.zeros(1, np.uint64))
    text = source.text('dropout') + '#line 1 "planted.cu"\\n' + text
    kernel = build.load_text(text, FLOAT32)['planted']
    on.launch(kernel, int(grid), 64, x, count, 64, shared=4 * 64)
print('ended well')
"""


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_planted_fault_is_reported(fault: Fault) -> None:
    how = fault.sanitizer, fault.text, str(fault.grid), str(fault.cooperative)
    done = sanitized.run(fault.sanitizer, "-c", LAUNCH, *how)
    said = done.stderr.replace(f"{sanitized.TOP}/", "")
    assert done.returncode != 0, "nothing was noticed"
    assert fault.message in said, said[:3000]


@pytest.mark.parametrize("sanitizer", SANITIZERS)
@pytest.mark.parametrize(
    ("text", "grid", "cooperative"),
    [(CORRECT, 4, False), (FENCED, 2, False), (ROW_BARRIER, 2, True)],
    ids=["barriers", "fence", "barrier of the grid"],
)
def test_what_is_correct_is_not_reported(
    sanitizer: str, text: str, grid: int, cooperative: bool
) -> None:
    done = sanitized.run(sanitizer, "-c", LAUNCH, sanitizer, text, str(grid), str(cooperative))
    assert done.stdout == "ended well\n", done.stderr[:3000]
