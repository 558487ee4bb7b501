"""The tests of the kernel tests: a fault planted in a kernel must make the kernel's own test fail.

And the pretended device must see by itself what no test asks for: threads that wait for ever, and
memory that is not theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from gpunet.backend.cuda import source
from tests.kernels import (
    needs,
    test_activation,
    test_cross_entropy,
    test_dropout,
    test_optim,
    test_recurrent,
    test_recurrent_steps,
    test_reduction,
    test_softmax,
)
from tests.kernels.dtypes import FLOAT32, FLOAT64, Array, DType
from tests.kernels.host import build
from tests.kernels.host.device import SCHEDULES, Device, KernelFault, everywhere

pytestmark = needs.compiler

ORDER = "order of the threads"
OUTSIDE = "outside an array"
WRONG = "allows"  # the message of assert_close
ACTIVATION = test_activation.Case(5, 8, bias=True, blocks=2, threads=64)
ROWS = (7, 100)


@dataclass(frozen=True)
class Fault:
    """Text of a family's source, what replaces it, and the test that must notice.

    `message` is a part of what the test then says, or empty for an assertion of the test's own.
    """

    family: str
    text: str
    planted: str
    test: Callable[..., None]
    arguments: tuple[Any, ...]
    message: str


def softmax(name: str) -> tuple[Callable[..., None], tuple[Any, ...]]:
    # 64 threads have 16 bytes each: in a row of 300 there are some for both warps.
    return test_softmax.test_equals_the_formula, (name, FLOAT32, (7, 300))


def without_barrier(following: str) -> tuple[str, str]:
    """A barrier of the grid, up to text that one kernel alone has behind it; and without it."""
    barrier = "row_barrier(barrier, s);\n        "
    text = (
        "TILE_STRIDE(i, Square::tiles(part)) {\n"
        "            const Square square(part, i, batch, units);\n"
        f"            const long long n = square.n, j = square.j{following}"
    )
    return barrier + text, text


GATES = ";\n            const T* gates = weights + square.column"
COLUMNS = ", k = n * units + j;\n            const T* columns = weights + square.column"

FAULTS = {
    "no barrier before partial results are read": Fault(
        "softmax",
        "partial[warp()] = value;\n    __syncthreads();",
        "partial[warp()] = value;",
        *softmax("softmax_fwd"),
        ORDER,
    ),
    "no barrier before partial results are overwritten": Fault(
        "softmax",
        "__syncthreads();  // the reduction before",
        "// the reduction before",
        *softmax("softmax_bwd"),
        ORDER,
    ),
    "no barrier between the warps' sums and their total": Fault(
        "reduction",
        "    __syncthreads();\n    if (warp() == 0) {\n        LANE_COLUMN",
        "    if (warp() == 0) {\n        LANE_COLUMN",
        test_reduction.test_equals_the_sum,
        (FLOAT32, (300, 10), 128, 3),
        ORDER,
    ),
    "shared memory that one lane never wrote": Fault(
        "reduction",
        "partial[warp()][lane()] = sum;",
        "if (lane() != 3) partial[warp()][lane()] = sum;",
        test_reduction.test_equals_the_sum,
        (FLOAT32, (300, 10), 128, 3),
        "",
    ),
    "a loop that runs one too far": Fault(
        "activation",
        "i < i##_end; i += grid_threads()",
        "i <= i##_end; i += grid_threads()",
        test_activation.test_forward_equals_the_formula,
        ("relu", FLOAT32, ACTIVATION),
        OUTSIDE,
    ),
    "a wide store where a row ends": Fault(
        "activation",
        "!bias || columns % WIDE == 0",
        "true",
        test_activation.test_forward_equals_the_formula,
        ("relu", FLOAT32, test_activation.Case(1, 33, bias=True)),
        "",
    ),
    "an element that is never written": Fault(
        "softmax",
        "return end < 0 ? 0 : end < all ? int(end) : all;",
        "return end < 0 ? 0 : end < all ? int(end) - 1 : all;",
        *softmax("log_softmax_bwd"),
        "",
    ),
    "a wrong constant": Fault(
        "activation",
        "x + C(0.044715) * x * x * x);\n        const",
        "x + C(0.04471) * x * x * x);\n        const",
        test_activation.test_backward_equals_the_formula,
        ("gelu_tanh", FLOAT32, ACTIVATION),
        WRONG,
    ),
    "a wrong sign": Fault(
        "softmax",
        "row_weight * acc_t(pi[j]) - wanted",
        "row_weight * acc_t(pi[j]) + wanted",
        test_cross_entropy.test_backward_equals_the_formula,
        (FLOAT32, ROWS, True, 0.25, "one a row"),
        WRONG,
    ),
    "a shuffle that leaves half of the warp out": Fault(
        "softmax",
        "__shfl_xor_sync(ALL_LANES, value, distance)",
        "__shfl_xor_sync(0x0000ffff, value, distance)",
        *softmax("softmax_fwd"),
        "mask",
    ),
    "a random word for the wrong element": Fault(
        "dropout",
        "words.at[k] >= threshold",
        "words.at[3 - k] >= threshold",
        test_dropout.test_same_bits_as_the_cpu_twin,
        (FLOAT32, 33, 0.3),
        "",
    ),
    "a step counted before all blocks have read it": Fault(
        "optim",
        "if (t.steps && atomicAdd(t.arrivals, 1ull) == others)",
        "if (t.steps && atomicAdd(t.arrivals, 1ull) == 0)",
        test_optim.test_equals_the_rule,
        (FLOAT32, "Adam", {}),
        "",
    ),
    "a rule read before it is there": Fault(
        "optim",
        "    __syncthreads();\n    update_chunk",
        "    update_chunk",
        test_optim.test_equals_the_rule,
        (FLOAT32, "SGD", {"momentum": 0.9, "dampening": 0.5}),
        "",
    ),
    "no barrier before the state of the last step is read": Fault(
        "recurrent",
        "__syncthreads();\n            BLOCK_STRIDE(j, units) {\n                const Unit",
        "BLOCK_STRIDE(j, units) {\n                const Unit",
        test_recurrent_steps.test_sequences,
        (FLOAT32, False, False, (5, 40)),
        ORDER,
    ),
    "no barrier of the grid before another block's units are read": Fault(
        "recurrent",
        *without_barrier(f"{GATES} * 16"),
        test_recurrent_steps.test_whole_grids,
        (FLOAT32, False, False, (3, 5, 4, 4, 64)),
        ORDER,
    ),
    "no barrier of the grid on the way back": Fault(
        "recurrent",
        *without_barrier(f"{COLUMNS} * 16"),
        test_recurrent_steps.test_whole_grids,
        (FLOAT32, False, False, (3, 5, 4, 4, 64)),
        ORDER,
    ),
    "no barrier of the grid in a GRU": Fault(
        "recurrent",
        *without_barrier(f"{GATES} * 12"),
        test_recurrent_steps.test_whole_grids_of_a_gru,
        (FLOAT32, False, False, (3, 5, 4, 4, 64)),
        ORDER,
    ),
    "no barrier of the grid on the way back through a GRU": Fault(
        "recurrent",
        *without_barrier(f"{COLUMNS} * 12"),
        test_recurrent_steps.test_whole_grids_of_a_gru,
        (FLOAT32, False, False, (3, 5, 4, 4, 64)),
        ORDER,
    ),
    "a part of the product that a GRU takes for another": Fault(
        "recurrent",
        "back.at(1 - now, n, 2 * units + j) = T(ga[3]);",
        "back.at(1 - now, n, 2 * units + j) = T(ga[2]);",
        test_recurrent_steps.test_whole_grids_of_a_gru,
        (FLOAT32, False, False, (3, 5, 4, 4, 64)),
        WRONG,
    ),
    "a barrier of the grid that opens when the first block comes": Fault(
        "recurrent",
        "(round + 1) * gridDim.x",
        "round * gridDim.x + 1",
        test_recurrent_steps.test_whole_grids,
        (FLOAT32, False, False, (3, 5, 4, 4, 64)),
        ORDER,
    ),
    "a barrier of the grid that waits for a block too many": Fault(
        "recurrent",
        "(round + 1) * gridDim.x",
        "(round + 1) * (gridDim.x + 1)",
        test_recurrent_steps.test_whole_grids,
        (FLOAT32, False, False, (3, 5, 4, 4, 64)),
        "sleeps for ever",
    ),
    "a step of a sequence that has ended": Fault(
        "recurrent",
        "return !lengths || t < lengths[n];",
        "return !lengths || t <= lengths[n];",
        test_recurrent.test_lstm,
        (FLOAT32, True, (3, 5)),
        WRONG,
    ),
    "a moment that is not kept": Fault(
        "optim",
        "store<N>(t.state[0] + i, m);\n        store<N>(t.state[1] + i, v);\n        if",
        "store<N>(t.state[1] + i, v);\n        if",
        test_optim.test_equals_the_rule,
        (FLOAT32, "Adam", {}),
        WRONG,
    ),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_planted_fault_fails_the_kernels_own_test(
    fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(family: str, dtype: DType) -> dict[str, build.Kernel]:
        text = source.text(family)
        assert text.count(fault.text) == 1
        return build.load_text(text.replace(fault.text, fault.planted), dtype)

    fault.test(*fault.arguments)
    monkeypatch.setattr(build, "load", load)
    with pytest.raises(AssertionError, match=fault.message or None):
        fault.test(*fault.arguments)


# --- what the device sees by itself

DIVERGENT = """
KERNEL(diverge)(T* x) {
    if (threadIdx.x < 7) __syncthreads();
    else
        __syncthreads();
    x[threadIdx.x] = 1;
}
KERNEL(leave)(T* x) {
    if (threadIdx.x == 40) return;
    __syncthreads();
    x[threadIdx.x] = 1;
}
KERNEL(half_a_shuffle)(T* x) {
    if (lane() < 16) x[lane()] = __shfl_xor_sync(ALL_LANES, x[lane()], 1);
}
KERNEL(outside_its_mask)(T* x) {
    x[threadIdx.x] = __shfl_xor_sync(0x0000ffff, x[threadIdx.x], 1);
}
KERNEL(outside_of_others_mask)(T* x) {
    if (lane() < 16) x[lane()] = __shfl_xor_sync(0x0000ffff, x[lane()], 16);
}
KERNEL(two_masks)(T* x) {
    x[threadIdx.x] = __shfl_xor_sync(lane() < 16 ? 0x0000ffff : ALL_LANES, x[threadIdx.x], 1);
}
KERNEL(before)(T* x) { x[-1] = 1; }
KERNEL(behind)(T* x) { x[blockDim.x] = 1; }
KERNEL(leak)(T* x) {
    __shared__ T kept;
    if (blockIdx.x == 0 && threadIdx.x == 0) kept = 5;
    __syncthreads();
    if (blockIdx.x == 1) x[threadIdx.x] = kept;
}
KERNEL(last_wins)(T* x) { x[0] = threadIdx.x; }
"""


COOPERATIVE = """
KERNEL(some_stay_away)(T* x, GridBarrier* barrier) {
    if (blockIdx.x > 0) row_barrier(barrier, 0);
}
KERNEL(shared_is_too_short)(T* x, GridBarrier* barrier) {
    DYNAMIC_SHARED(all);
    all[threadIdx.x + 1] = 1;
}
KERNEL(static_shared)(T* x, GridBarrier* barrier) {
    __shared__ T all[64];
    all[threadIdx.x] = 1;
    row_barrier(barrier, 0);
    x[threadIdx.x] = all[threadIdx.x];
}
KERNEL(dynamic_shared)(T* x, GridBarrier* barrier) {
    DYNAMIC_SHARED(all);
    all[threadIdx.x] = blockIdx.x;
    row_barrier(barrier, 0);
    if (all[63 - threadIdx.x] == 1) x[threadIdx.x] = 7;
}
"""


def cooperative(name: str, schedule: Any, blocks: int = 3, x_size: int = 64) -> Array:
    text = source.text("dropout") + '#line 1 "planted.cu"' + COOPERATIVE
    device, kernel = Device(schedule), build.load_text(text, FLOAT32)[name]
    x = device.array(np.zeros(x_size, np.float32))
    barrier = device.array(np.zeros(1, np.uint64))
    device.launch(kernel, blocks, 64, x, barrier, shared=4 * 64)
    return x


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_blocks_that_wait_for_each_other(schedule: Any) -> None:
    assert (cooperative("dynamic_shared", schedule) == 7).all()
    assert np.isnan(cooperative("static_shared", schedule)).all()
    with pytest.raises(KernelFault, match=r"block \(\d, 0\): sleeps for ever"):
        cooperative("some_stay_away", schedule)
    with pytest.raises(KernelFault, match="writes outside its shared memory"):
        cooperative("shared_is_too_short", schedule)
    with pytest.raises(KernelFault, match="launch is not legal"):
        cooperative("dynamic_shared", schedule, blocks=65)


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        ("diverge", "thread 0 waits at planted.cu:2, thread 7 waits at planted.cu:4"),
        ("leave", "thread 0 waits at .*, thread 40 has ended"),
        ("half_a_shuffle", "waits for lanes of its warp"),
        ("outside_its_mask", r"thread \d+ is not in the mask of its own shuffle"),
        ("outside_of_others_mask", r"thread \d+ asks a lane that is not in the mask"),
        ("two_masks", "waits for lanes of its warp"),
        ("before", OUTSIDE),
        ("behind", OUTSIDE),
    ],
)
@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_the_device_reports(schedule: Any, kernel: str, message: str) -> None:
    kernels = build.load_text(source.text("dropout") + '#line 1 "planted.cu"' + DIVERGENT, FLOAT32)
    device = Device(schedule)
    with pytest.raises(KernelFault, match=message):
        device.launch(kernels[kernel], 1, 64, device.array(np.zeros(64, np.float32)))


def test_a_double_in_a_float_kernel_does_not_compile() -> None:
    planted = source.text("dropout") + "KERNEL(half)(T* x) { x[0] = x[0] * 0.5; }"
    build.load_text(planted, FLOAT64)
    with pytest.raises(AssertionError, match="the C\\+\\+ compiler refuses"):
        build.load_text(planted, FLOAT32)


def test_shared_memory_does_not_outlive_its_block() -> None:
    kernel = build.load_text(source.text("dropout") + DIVERGENT, FLOAT32)["leak"]

    def program(device: Device) -> Array:
        x = device.array(np.zeros(32, np.float32))
        device.launch(kernel, 2, 32, x)
        return x

    assert np.isnan(everywhere(program)).all()


def test_a_result_that_depends_on_the_order_is_refused() -> None:
    kernel = build.load_text(source.text("dropout") + DIVERGENT, FLOAT32)["last_wins"]

    def program(device: Device) -> Array:
        x = device.empty(1, np.float32)
        device.launch(kernel, 1, 64, x)
        return x

    with pytest.raises(KernelFault, match=ORDER):
        everywhere(program)


def test_wrong_arguments_are_refused() -> None:
    kernel = build.load("dropout", FLOAT32)["dropout"]
    device = Device(SCHEDULES[0])
    x = device.array(np.zeros(4, np.float32))
    with pytest.raises(TypeError, match="takes 8 arguments, got 2"):
        device.launch(kernel, 1, 32, x, x)
    for wrong in (np.zeros(4), np.zeros((4, 2), np.float32)[:, 0]):
        with pytest.raises(TypeError, match="x must be a contiguous array of T"):
            device.launch(kernel, 1, 32, wrong, x, 4, 0, 1.0, 0, 0, None)
    with pytest.raises(KernelFault, match="launch is not legal"):
        device.launch(kernel, 1, 33, x, x, 4, 0, 1.0, 0, 0, None)
