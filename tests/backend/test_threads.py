"""One owner of the threads: gpunet starts its own few helpers, which sleep, and no other pool.

Two pools that spin against each other turn a step of 0.4 ms into one of 8 ms. A second pool shows
in a count of the process's threads, so no clock is needed.
"""

import json
import os
import sys
import threading

import numpy as np
import pytest

from gpunet.backend.cpu import threads
from gpunet.backend.cpu.crew import look
from gpunet.backend.cpu.jit import kernel
from gpunet.backend.cpu.tile import take
from gpunet.errors import ArgumentError, DeviceMemoryError
from tests.process import python

STEP = """
import gc, json, os, threading
{first}
import numpy as np
np.ones((400, 400), "float32") @ np.ones((400, 400), "float32")
import numba
numba.njit(lambda x: x)(1)  # Numba loads SciPy's BLAS where SciPy is: a pool that sleeps
before = len(os.listdir("/proc/self/task"))

import gpunet
from gpunet import functional as F, nn, optim
from gpunet.backend.cpu.jit import Kernel

gpunet.manual_seed(0)
layers = nn.Linear(256, 512), nn.ReLU(), nn.Dropout(0.2), nn.Linear(512, 10)
model = nn.Sequential(*layers)
x = gpunet.tensor(np.ones((256, 256), "float32"))
t = gpunet.tensor(np.zeros(256, "int64"))
for rule in (optim.SGD, optim.AdamW):
    optimizer = rule(model.parameters(), lr=0.1)
    F.cross_entropy(model(x), t).backward()
    optimizer.step()

try:
    layer = numba.threading_layer()
except ValueError:
    layer = None
kernels = [k for k in gc.get_objects() if type(k) is Kernel and not k.pointer]
variants = [variant for k in kernels for variant in k.values()]
print(json.dumps({{
    "before": before,
    "cores": os.cpu_count(),
    "after": len(os.listdir("/proc/self/task")),
    "helpers": sum(thread.name == "gpunet" for thread in threading.enumerate()),
    "layer": layer,
    "kernels": len(variants),
    "parallel": [str(v) for v in variants if v.targetoptions.get("parallel")],
}}))
"""

needs_proc = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="threads are counted in /proc: Linux only"
)


def check(done: dict) -> None:
    assert done["after"] - done["before"] == done["helpers"] < done["cores"]
    assert done["layer"] is None, "Numba has started a threading layer"
    assert done["kernels"] >= 8
    assert done["parallel"] == []


@needs_proc
def test_training_starts_no_thread_but_its_helpers() -> None:
    check(json.loads(python("-c", STEP.format(first=""))))


@needs_proc
def test_nor_does_it_beside_pytorch() -> None:
    """PyTorch brings OpenMP, which parallel code of Numba's would share a pool with."""
    pytest.importorskip("torch", reason="PyTorch is not installed: its threads are NOT looked at")
    first = """
import warnings
warnings.simplefilter("default")  # what PyTorch warns of is not looked at here
import torch
torch.ones(300, 300) @ torch.ones(300, 300)
"""
    check(json.loads(python("-c", STEP.format(first=first))))


@needs_proc
def test_one_thread_asked_for_means_none_but_the_caller() -> None:
    done = json.loads(python("-c", STEP.format(first=""), GPUNET_NUM_THREADS="1"))
    check({**done, "cores": 1})


# --- the helpers


@pytest.fixture
def run(monkeypatch):
    """`threads.run` on a fresh pool of three, however many cores there are."""
    monkeypatch.setenv("GPUNET_NUM_THREADS", "3")
    threads.close()
    assert threads.count() == 3
    yield threads.run
    threads.close()


@pytest.mark.parametrize("count", [0, 1, 2, 3, 50])
def test_every_task_is_done_once(run, count) -> None:
    done = []
    for _ in range(20):
        done.clear()
        run([(done.append, (number,)) for number in range(count)])
        assert sorted(done) == list(range(count))


def test_tasks_are_shared_out(run) -> None:
    """Three tasks that wait for each other end only if three threads take one each."""
    barrier, seen = threading.Barrier(3), set()

    def meet() -> None:
        barrier.wait()
        seen.add(threading.current_thread())

    run([(meet, ())] * 3)
    assert len(seen) == 3
    assert threading.current_thread() in seen
    assert {thread.name for thread in seen - {threading.current_thread()}} == {"gpunet"}


def test_an_error_is_passed_on_after_all_tasks_have_ended(run) -> None:
    done = []
    with pytest.raises(ZeroDivisionError):
        run([(done.append, (1,)), (divmod, (1, 0)), (done.append, (2,)), (done.append, (3,))])
    assert sorted(done) == [1, 2, 3]
    run([(done.append, (4,)), (done.append, (5,))])
    assert sorted(done) == [1, 2, 3, 4, 5]


def test_a_task_may_share_out_its_own_work(run) -> None:
    done = []
    inner = [(done.append, (number,)) for number in range(5)]
    run([(threads.run, (inner,))] * 4)
    assert sorted(done) == sorted(list(range(5)) * 4)


def test_two_threads_of_the_user_at_once(run) -> None:
    done = [[], []]

    def work(number: int) -> None:
        for i in range(200):
            run([(done[number].append, (2 * i,)), (done[number].append, (2 * i + 1,))])

    users = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert [sorted(its) for its in done] == [list(range(400))] * 2


@pytest.mark.parametrize("asked", ["0", "-1", "two", "", "1.5"])
def test_a_number_of_threads_that_is_none(monkeypatch, asked) -> None:
    monkeypatch.setenv("GPUNET_NUM_THREADS", asked)
    threads.close()
    with pytest.raises(ArgumentError, match=f"GPUNET_NUM_THREADS must be .*, got '{asked}'"):
        threads.run([(print, ()), (print, ())])


def test_without_a_wish_there_is_a_thread_a_core(monkeypatch) -> None:
    monkeypatch.delenv("GPUNET_NUM_THREADS", raising=False)
    threads.close()
    assert 1 <= threads.count() <= os.cpu_count()


@pytest.mark.parametrize("multiple", [1, 4, 16])
@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 1000])
def test_edges_cut_the_length_in_pieces_alike(length, multiple) -> None:
    edges = threads.edges(length, 3, multiple)
    assert (edges[0], edges[-1]) == (0, length)
    assert edges.size <= 4
    assert not (edges[:-1] % multiple).any()
    sizes = np.diff(edges)
    assert (sizes > 0).all()
    assert sizes.max(initial=0) <= length / 3 + multiple


# --- calls of kernels


@kernel
def _count(counts, start, stop):
    for i in range(start, stop):
        counts[i] += i


@kernel
def _of_many_kinds(out, pair, matrix, number, flag, start, stop):
    """Arguments of every kind that a call may have; returns a number, which nobody reads."""
    a, b = pair
    for i in range(start, stop):
        out[i] = a[i] + b[i, 0] + matrix[0, i] + (number if flag else 0.0)
    return out[start]


@kernel
def _ask_for_too_much(sizes, start, stop):
    for i in range(start, stop):
        sizes[i] = np.empty(1 << 60, np.float64).size


FLOAT = np.dtype("float32")


@pytest.mark.parametrize("count", [0, 1, 2, 3, 50, 500])
def test_every_call_of_a_kernel_is_made_once(run, count) -> None:
    counts, call = np.zeros(7 * count, np.float32), _count[FLOAT]
    for _ in range(20):
        run([(call, (counts, 7 * i, 7 * i + 7)) for i in range(count)])
    np.testing.assert_array_equal(counts, 20 * np.arange(7 * count))


@pytest.mark.parametrize("pieces", [1, 2, 3, 50, 500])
def test_a_kernel_is_called_once_between_two_edges(run, pieces) -> None:
    counts, edges = np.zeros(7 * pieces, np.float32), threads.edges(7 * pieces, pieces)
    for _ in range(20):
        threads.spread(_count[FLOAT], edges, (counts,))
    np.testing.assert_array_equal(counts, 20 * np.arange(7 * pieces))


def test_the_edges_stand_where_a_kernel_wants_them(run) -> None:
    """Behind none of its arguments, some or all, of one type or another."""
    counts, edges = np.zeros((2, 60), np.float64), threads.edges(60, 7)
    for dtype in ("float32", "float64", "float32"):
        threads.spread(_ones_last[FLOAT], edges, (), (counts[0].astype(dtype), counts[1]))
    threads.spread(_ones_amid[FLOAT], edges, (counts[0],), (2.0, 3))
    np.testing.assert_array_equal(counts, [[5] * 60, [3] * 60])


@kernel
def _ones_last(start, stop, x, y):
    for i in range(start, stop):
        x[i] += 1
        y[i] += 1


@kernel
def _ones_amid(x, start, stop, number, another):
    for i in range(start, stop):
        x[i] += number + another


def test_functions_between_edges(run) -> None:
    done = []
    threads.spread(lambda x, i, j, y: done.append((x, i, j, y)), threads.edges(6, 3), (1,), (2,))
    assert sorted(done) == [(1, 0, 2, 2), (1, 2, 4, 2), (1, 4, 6, 2)]


def test_calls_are_made_by_several_threads(run) -> None:
    """Kernels that only end when three threads are in one each."""
    waiting = np.zeros(1, np.int64)
    run([(_meet[FLOAT], (waiting, 3))] * 3)
    assert waiting[0] == 3


@kernel
def _meet(waiting, count):
    take(waiting, 0)
    while look(waiting, 0) < count:
        pass


def test_arguments_of_many_kinds_and_of_other_types_the_next_time(run) -> None:
    rng = np.random.default_rng(0)
    a, b, m = (rng.random(shape) for shape in ((20,), (20, 3), (2, 20)))
    for dtype in ("float64", "float32", "float64"):
        x, y, z = (v.astype(dtype) for v in (a, b, m))
        for matrix in (z, z[:, ::-1], z):  # of other strides is of another type
            out, call = np.zeros(20, dtype), _of_many_kinds[np.dtype(dtype)]
            run([(call, (out, (x, y), matrix, 2.5, True, i, i + 2)) for i in range(0, 20, 2)])
            np.testing.assert_array_equal(out, x + y[:, 0] + matrix[0] + x.dtype.type(2.5))


def test_kernels_and_functions_in_turns(run) -> None:
    counts, done = np.zeros(40, np.float32), []
    for _ in range(100):
        run([(_count[FLOAT], (counts, 0, 20)), (_count[FLOAT], (counts, 20, 40))])
        run([(done.append, (1,)), (done.append, (2,)), (done.append, (3,))])
        run([(_count[FLOAT], (counts, 0, 40)), (done.append, (4,))])
    np.testing.assert_array_equal(counts, 200 * np.arange(40))
    assert sorted(done) == [1] * 100 + [2] * 100 + [3] * 100 + [4] * 100


def test_a_kernel_without_memory_is_told(run) -> None:
    sizes = np.zeros(4, np.float32)
    with pytest.raises(DeviceMemoryError, match="cpu: out of memory inside a kernel"):
        run([(_ask_for_too_much[FLOAT], (sizes, i, i + 1)) for i in range(4)])
    with pytest.raises(DeviceMemoryError, match="cpu: out of memory inside a kernel"):
        threads.spread(_ask_for_too_much[FLOAT], threads.edges(4, 4), (sizes,))
    assert not sizes.any()
    run([(_count[FLOAT], (sizes, 0, 2)), (_count[FLOAT], (sizes, 2, 4))])
    np.testing.assert_array_equal(sizes, np.arange(4))


def test_a_call_that_cannot_be_written_down_ends_the_run(run) -> None:
    counts, call = np.zeros(4, np.float32), _count[FLOAT]
    with pytest.raises(Exception, match="unicode_type"):
        run([(call, (counts, 0, 2)), (call, (counts, "2", 4)), (call, (counts, 2, 4))])
    assert list(counts[:2]) == [0, 1]
    with pytest.raises(Exception, match="unicode_type"):
        threads.spread(call, threads.edges(4, 2), (["2"],))
    run([(call, (counts, 0, 2)), (call, (counts, 2, 4))])
    np.testing.assert_array_equal(counts, [0, 2, 2, 3])


@kernel
def _count_often(x, start, stop):
    for _ in range(200):
        for i in range(start, stop):
            x[i] += 1


INTERRUPTED = """
import _thread, signal, threading
import numpy as np
from gpunet.backend.cpu import threads
from tests.backend.test_threads import _count_often

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell began this behind
call, x = _count_often[np.dtype("float64")], np.zeros(400_000)
tasks = [(call, (x, i, i + 20_000)) for i in range(0, x.size, 20_000)]
edges = threads.edges(x.size, 20)
threads.run(tasks)
threads.spread(call, edges, (x,))
before, interrupts = x[0], 0
for _ in range(20):
    threading.Timer(0.01, _thread.interrupt_main).start()
    try:
        while True:
            threads.run(tasks)
            threads.spread(call, edges, (x,))
    except KeyboardInterrupt:
        interrupts += 1
    assert (x == x[0]).all(), "a run was left before its end"
print(interrupts, x[0] > before)
"""


def test_an_interrupt_waits_for_the_end_of_the_run() -> None:
    assert python("-c", INTERRUPTED, GPUNET_NUM_THREADS="3").split() == ["20", "True"]


def test_a_process_may_end_right_after_a_run() -> None:
    """Compiled code is taken down then, and helpers must not stand in it."""
    code = """
import numpy as np, gpunet
x = gpunet.tensor(np.ones((600, 600), "float32"))
for _ in range(3):
    y = x @ x
"""
    for _ in range(5):
        assert python("-c", code, GPUNET_NUM_THREADS="4") == ""
