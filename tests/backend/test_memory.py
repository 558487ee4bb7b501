"""The buffer cache: no memory is handed out while anything can read it, and little is hoarded."""

import ctypes
import gc
import os
import pickle
import random
import subprocess
import sys
import threading

import numpy as np
import pytest

from gpunet.backend.cpu import memory
from gpunet.backend.cpu.memory import SMALL, BufferCache

SHAPE = (SMALL // 4,)  # float32: the smallest that is cached


@pytest.fixture
def cache() -> BufferCache:
    return BufferCache()


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


# --- what is handed out


@pytest.mark.parametrize("shape", [(), (0,), (7,), (0, 10**6), (SMALL // 4 - 1,)], ids=str)
def test_small_arrays_are_numpys_own(cache, shape) -> None:
    array = cache.empty(shape, "float32")
    assert array.shape == shape
    assert array.base is None
    assert cache.allocated == 0


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8", "bool"])
@pytest.mark.parametrize("shape", [(SMALL,), (SMALL + 1,), (257, 513), (3, 5, 7, 1001)], ids=str)
def test_large_arrays_are_aligned_contiguous_and_writable(cache, shape, dtype) -> None:
    array = cache.empty(shape, dtype)
    assert (array.shape, array.dtype) == (shape, dtype)
    assert array.flags.c_contiguous
    assert array.flags.writeable
    assert address(array) % 64 == 0
    array[...] = 1
    assert array.sum() == array.size


def test_arrays_alive_together_do_not_overlap(cache) -> None:
    arrays = [cache.empty((SMALL // 4 + 100 * i,), "float32") for i in range(20)]
    for i, array in enumerate(arrays):
        array.fill(i)
    for i, array in enumerate(arrays):
        assert (array == i).all()


def test_memory_of_a_dead_array_is_handed_out_again(cache) -> None:
    array = cache.empty(SHAPE, "float32")
    before = address(array)
    del array
    assert cache.unused == cache.allocated == SMALL
    assert address(cache.empty((SMALL // 8,), "float64")) == before
    assert cache.allocated == SMALL


FORK = """
import os
from gpunet.backend.cpu.memory import SMALL, BufferCache
array = BufferCache().empty((SMALL,), "uint8")
array.fill(7)
child = os.fork()
array.fill(8) if child == 0 else os.waitpid(child, 0)
print(set(array.tolist()))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_process_writes_into_memory_of_its_own() -> None:
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["{8}", "{7}"]


# --- what keeps an array's memory

HOLDERS = {
    "slice": lambda a: a[10:20],
    "transpose": lambda a: a.reshape(128, -1).T,
    "view of a view": lambda a: a.reshape(128, -1)[3:].T[::2],
    "other dtype": lambda a: a.view("int32"),
    "broadcast": lambda a: np.broadcast_to(a, (3, *a.shape)),
    "strided by hand": lambda a: np.lib.stride_tricks.as_strided(a, (5,), (8,)),
    "subclass": lambda a: a.view(np.recarray),
    "view of a subclass": lambda a: a.view(np.recarray).view(np.ndarray)[1:],
    "iterator": lambda a: a.flat,
    "memoryview": memoryview,
    "part of a memoryview": lambda a: memoryview(a)[5:9],
    "array over a memoryview": lambda a: np.frombuffer(memoryview(a), "float32"),
    "array over a view's buffer": lambda a: np.asarray(memoryview(a[7:])),
    "ctypes": lambda a: (ctypes.c_float * 8).from_buffer(a),
    "pickle buffer": lambda a: pickle.PickleBuffer(a),
    "dlpack": lambda a: np.from_dlpack(a),
    "array interface": lambda a: np.asarray(type("Lender", (), {"a": a, **interface(a)})()),
}


def interface(a: np.ndarray) -> dict:
    return {"__array_interface__": property(lambda self: self.a.__array_interface__)}


@pytest.mark.parametrize("holder", HOLDERS)
def test_what_can_read_an_array_keeps_its_memory(cache, holder) -> None:
    array = cache.empty(SHAPE, "float32")
    array.fill(7)
    taken, held = address(array), HOLDERS[holder](array)
    del array
    gc.collect()
    others = [cache.empty(SHAPE, "float32") for _ in range(5)]
    for other in others:
        other.fill(8)
        assert address(other) != taken
    del held
    gc.collect()
    assert address(cache.empty(SHAPE, "float32")) == taken


class Node:
    """An object in a cycle, which only the collector frees."""

    def __init__(self, array: np.ndarray):
        self.array, self.itself = array, self


def test_an_array_in_a_cycle_keeps_its_memory_until_collected(cache) -> None:
    gc.disable()
    try:
        node = Node(cache.empty(SHAPE, "float32"))
        taken = address(node.array)
        del node
        fresh = cache.empty(SHAPE, "float32")
        assert address(fresh) != taken
        gc.collect()
        assert address(cache.empty(SHAPE, "float32")) == taken
    finally:
        gc.enable()


def test_an_array_saved_by_a_finalizer_keeps_its_memory(cache) -> None:
    saved = []

    class Stubborn(Node):
        def __del__(self) -> None:
            saved.append(self.array)

    node = Stubborn(cache.empty(SHAPE, "float32"))
    node.array.fill(7)
    del node
    gc.collect()
    (array,) = saved
    other = cache.empty(SHAPE, "float32")
    other.fill(8)
    assert (array == 7).all()


def test_threads_never_share_memory(cache) -> None:
    wrong = []

    def work(number: int) -> None:
        for _ in range(500):
            array = cache.empty(SHAPE, "float32")
            array.fill(number)
            if not (array == number).all():
                wrong.append(number)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # seconds: as many switches as can be had
    try:
        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert not wrong
    assert cache.unused == cache.allocated <= 8 * SMALL  # two a thread: one comes, one goes


# --- how much is kept


def test_unused_memory_stays_below_what_is_in_use_or_the_constant(cache, monkeypatch) -> None:
    """Checked whenever the system is asked for more, which is the only time memory grows."""
    monkeypatch.setattr(memory, "ALWAYS_KEPT", 8 * SMALL)
    rng, alive, cleared = random.Random(0), [], 0
    for _ in range(2000):
        if alive and rng.random() < 0.5:
            alive.pop(rng.randrange(len(alive)))
            continue
        before = cache.allocated
        alive.append(cache.empty((rng.randrange(1, 20) * SMALL,), "uint8"))
        in_use = cache.allocated - cache.unused
        assert in_use >= sum(array.nbytes for array in alive)
        assert in_use <= 1.125 * sum(array.nbytes for array in alive)
        if cache.allocated > before:
            assert cache.unused <= max(in_use, 8 * SMALL)
        cleared += cache.allocated < before
        if rng.random() < 0.02:
            alive.clear()
    assert cleared > 5  # or the rule was never put to use


def test_clear_gives_back_what_is_unused_only(cache) -> None:
    kept, dropped = cache.empty(SHAPE, "float32"), cache.empty((2 * SMALL,), "uint8")
    kept.fill(7)
    del dropped
    assert cache.unused == 2 * SMALL
    cache.clear()
    assert cache.unused == 0
    assert cache.allocated == SMALL
    assert (kept == 7).all()


def test_shapes_that_come_once_do_not_pile_up(cache) -> None:
    early = cache.empty((SMALL,), "uint8")
    taken = address(early)
    for i in range(20_001):
        cache.empty((SMALL + i,), "uint8")
    assert len(cache._by_shape) <= 10_001
    del early
    assert address(cache.empty((SMALL,), "uint8")) == taken  # its home outlived the table
