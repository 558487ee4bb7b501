"""The threads of the CPU backend: one small pool; nothing else in gpunet owns a computing thread.

`run(tasks)` shares tasks out over the calling thread and its helpers, one helper fewer than there
are cores this process may use. A task is a call of a compiled kernel, which releases Python's lock
while it works. Everybody takes the next task when done with the last, so a core that other programs
keep busy just does fewer of them. Between runs helpers look for the next one for some 50 µs, then
sleep (`waiting.py`): threads that spin for longer would slow down everybody else's, those of BLAS
for one. To begin and end a run takes 20 to 50 µs, and a task some more, as Python's lock goes from
thread to thread; so tasks are few, and work below `WORTHWHILE` stays serial.

The environment variable `GPUNET_NUM_THREADS` sets the number of threads, the calling one included;
1 means none but the caller.
"""

from __future__ import annotations

import os
import sys
import threading
from _thread import allocate_lock
from collections.abc import Callable
from typing import Any

from gpunet.errors import ArgumentError

WORTHWHILE = 100  # µs of work on one core, from which sharing it out is quicker

Task = tuple[Callable[..., Any], tuple[Any, ...]]  # a function and its arguments


class _Run:
    """One list of tasks, worked off by everybody who calls `work`."""

    def __init__(self, tasks: list[Task]):
        self._waiting = tasks[::-1]
        self.failures: list[BaseException] = []

    def work(self) -> None:
        while self._waiting:
            try:
                function, arguments = self._waiting.pop()
            except IndexError:  # somebody else took the last one
                return
            try:
                function(*arguments)
            except BaseException as failure:
                self.failures.append(failure)


class _Helper:
    """A thread that sleeps but for one run at a time, and a moment after it."""

    def __init__(self) -> None:
        from gpunet.backend.cpu import waiting  # and Numba, which `import gpunet` does without

        self._number, self._board, self._begun = 0, waiting.new_board(), waiting.BEGUN
        calls = waiting.for_end, waiting.for_next
        self._wait_for_end, self._wait_for_next = (call[self._board.dtype] for call in calls)
        self._run: _Run | None = None
        self._start, self._finished = _locked(), _locked()
        threading.Thread(target=self._loop, name="gpunet", daemon=True).start()

    def _loop(self) -> None:
        while True:
            self._start.acquire()
            run, number, finished = self._run, self._number, self._finished
            assert run is not None
            run.work()
            self._run = None
            finished.release()
            self._wait_for_next(self._board, number)

    def begin(self, run: _Run) -> None:
        self._finished = _locked()
        self._run = run
        self._number += 1
        self._board[self._begun] = self._number
        self._start.release()

    def end(self, run: _Run) -> None:
        """Returns when this helper has nothing to do with the run any more."""
        if self._run is run and self._start.acquire(blocking=False):
            self._run = None  # it has not even woken up, and need not
        while self._run is run:
            try:
                self._wait_for_end(self._board, self._number)
                self._finished.acquire()
            except KeyboardInterrupt as interrupt:  # the run still writes into the caller's arrays
                run.failures.append(interrupt)


class _Pool:
    """The helpers, started when first needed."""

    def __init__(self) -> None:
        self.size = _size()
        self._free = allocate_lock()
        self._helpers: list[_Helper] = []

    def run(self, tasks: list[Task]) -> None:
        # A task that shares out its own work, a second thread of the user and the last moments of
        # the interpreter do without help.
        if self.size == 1 or len(tasks) < 2 or sys.is_finalizing() or not self._free.acquire(False):
            for function, arguments in tasks:
                function(*arguments)
            return
        run = _Run(tasks)
        try:
            while len(self._helpers) < self.size - 1:
                self._helpers.append(_Helper())
            for helper in self._helpers[: len(tasks) - 1]:
                helper.begin(run)
            run.work()
        finally:
            for helper in self._helpers:
                helper.end(run)
            self._free.release()
        if run.failures:
            raise run.failures[0]


def _locked() -> Any:
    lock = allocate_lock()
    lock.acquire()
    return lock


def _size() -> int:
    """Threads to compute with, the calling one included."""
    asked = os.environ.get("GPUNET_NUM_THREADS")
    if asked is not None:
        if not asked.isdecimal() or int(asked) < 1:
            problem = f"GPUNET_NUM_THREADS must be a whole number from 1, got {asked!r}"
            raise ArgumentError("gpunet", problem)
        return int(asked)
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_pool: _Pool | None = None


def _forget_pool() -> None:
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)  # threads do not survive a fork


def _the_pool() -> _Pool:
    global _pool
    if _pool is None:
        _pool = _Pool()
    return _pool


def count() -> int:
    """Threads that work is shared out over, the calling one included."""
    return _the_pool().size


def cuts(length: int, multiple: int) -> list[slice]:
    """`length` cut into one slice a thread, alike up to a rest.

    All begin at a multiple of `multiple`.
    """
    pieces = count()
    edges = [length * piece // pieces // multiple * multiple for piece in range(pieces)]
    return [slice(i, j) for i, j in zip(edges, [*edges[1:], length], strict=True) if i < j]


def run(tasks: list[Task]) -> None:
    """Calls every task, in any order, on this thread and the helpers; returns when all have ended.

    Tasks must not write what another reads. If some raise, one of their exceptions is raised here.
    """
    _the_pool().run(tasks)
