"""The threads of the CPU backend: one small pool; nothing else in gpunet owns a computing thread.

`run(tasks)` shares tasks out over the calling thread and its helpers, one helper fewer than there
are cores this process may use. Everybody takes the next task when done with the last, so a core
that other programs keep busy just does fewer of them.

A task is most often a call of a compiled kernel. A run of such tasks passes from thread to thread
in compiled code (`crew.py`): it takes 2 µs, and 1 to 2 a task. Where tasks differ only in where
they start and stop (`spread`), it takes 4 altogether. A run with functions of Python among its
tasks takes 50 to 100, as Python's lock goes from thread to thread. Between runs helpers look for
the next one for some 400 µs, then sleep.

The environment variable `GPUNET_NUM_THREADS` sets the number of threads, the calling one included;
1 means none but the caller.
"""

from __future__ import annotations

import atexit
import functools
import os
import sys
import threading
import time
from _thread import allocate_lock
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from gpunet.backend.base import Array
from gpunet.errors import ArgumentError, DeviceMemoryError

PATIENCE = 40  # moments of 50 µs in which a helper should end what it is at

Task = tuple[Callable[..., Any], tuple[Any, ...]]  # a function and its arguments


class _Run:
    """One list of tasks in Python, worked off by everybody who calls `work`."""

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
    """A thread that serves the crew, and looks here when a run is one of Python's."""

    def __init__(self, crew: _Crew, number: int):
        self._crew, self._at = crew, crew.place(number)
        self._runs: list[_Run] = []  # one at most; whoever pops it has it
        self._finished = allocate_lock()
        self._finished.acquire()
        self.thread = threading.Thread(target=self._loop, name="gpunet", daemon=True)
        self.thread.start()

    def _loop(self) -> None:
        ended = 0
        while not self._crew.over:
            ended = self._crew.serve(self._crew.board, self._at, ended)
            try:
                run = self._runs.pop()
            except IndexError:  # it was over before this thread came
                continue
            run.work()
            self._finished.release()

    def begin(self, run: _Run) -> None:
        self._runs.append(run)

    def end(self, run: _Run, number: int) -> None:
        """Returns when this helper has nothing to do with the run any more."""
        try:
            self._runs.pop()
        except IndexError:
            self._crew.wait(self._crew.board, self._at, number)
        else:
            return  # it has not even woken up, and need not
        while True:
            try:
                self._finished.acquire()
                return
            except KeyboardInterrupt as interrupt:  # the run still writes into the caller's arrays
                run.failures.append(interrupt)


class _Crew:
    """The helpers, and the compiled code by which they work together."""

    def __init__(self, helpers: int):
        from gpunet.backend.cpu import crew  # and Numba, which `import gpunet` does without

        self.board, self.place, self._code = crew.new_board(helpers), crew.place, crew
        functions = crew.begin, crew.finish, crew.serve, crew.wait
        self._begin, self._finish, self.serve, self.wait = (f[self.board.dtype] for f in functions)
        self._number = 0  # of the last run
        # By compiled kernel, and by that and how many arguments stand in front.
        self._writers: dict[Any, tuple[Any, int]] = {}
        self._spreaders: dict[Any, tuple[Any, int]] = {}
        self._make_room(64)
        self.over = False
        self._helpers = [_Helper(self, number) for number in range(helpers)]
        atexit.register(self.dismiss)

    def _make_room(self, calls: int) -> None:
        self._calls = np.empty(calls * self._code.CALL, np.int64)
        self.board[self._code.CALLS] = self._calls.ctypes.data

    def run(self, tasks: list[Task]) -> None:
        """Shares tasks out over this thread and the helpers."""
        self._number += 1
        for function, _ in tasks:
            if function not in self._writers and not _is_kernel(function):
                self._run_in_python(tasks)
                return
        self._run_compiled(tasks)

    def spread(self, function: Any, edges: Array, front: int, arguments: tuple[Any, ...]) -> None:
        """What `spread` below says, with the arguments in one tuple."""
        key = function, front
        if key not in self._spreaders and not _is_kernel(function):
            cuts = pairwise(edges.tolist())
            self.run([(function, (*arguments[:front], *c, *arguments[front:])) for c in cuts])
            return
        self._number += 1
        total, over = edges.size - 1, False
        self._have_room(total)
        most, interrupt = min(total - 1, len(self._helpers)), None
        try:
            try:
                spreader, address = self._spreaders[key]
                over = spreader(self.board, self._number, most, address, edges, *arguments)
            except (KeyError, TypeError):  # never seen, or not with arguments of such types
                spreader, address = found = self._code.spread(function, front, arguments)
                over = spreader(self.board, self._number, most, address, edges, *arguments)
                self._spreaders[key] = found
        finally:
            if not over:
                interrupt = self._finished()
        self._check(interrupt)

    def _have_room(self, calls: int) -> None:
        if calls * self._code.CALL > self._calls.size:
            self._make_room(2 * calls)

    def _check(self, interrupt: KeyboardInterrupt | None) -> None:
        if interrupt is not None:
            raise interrupt
        if self.board[self._code.FAILED]:
            raise DeviceMemoryError("cpu", "out of memory inside a kernel")

    def _run_compiled(self, tasks: list[Task]) -> None:
        total, board, interrupt = len(tasks), self.board, None
        self._have_room(total)
        try:
            self._begin(board, self._number, total, min(total - 1, len(self._helpers)))
            for function, arguments in tasks:
                try:
                    writer, address = self._writers[function]
                    writer(board, address, *arguments)
                except (KeyError, TypeError):  # never seen, or not with arguments of such types
                    found = self._writers[function] = self._code.write(function, arguments)
                    found[0](board, found[1], *arguments)
        except BaseException:
            board[self._code.TOTAL] = board[self._code.WRITTEN]  # nobody must wait for more
            raise
        finally:
            interrupt = self._finished()
        self._check(interrupt)

    def _finished(self) -> KeyboardInterrupt | None:
        """Returns when the run is over, with what tried to cut it short."""
        interrupt, moments = None, 0
        while True:
            try:
                if self._finish(self.board):
                    return interrupt
                moments += 1
                if moments > PATIENCE:
                    time.sleep(0)  # the helper has lost its core, maybe to this thread
            except KeyboardInterrupt as failure:  # the run still writes into the caller's arrays
                interrupt = failure

    def _run_in_python(self, tasks: list[Task]) -> None:
        run, helpers = _Run(tasks), self._helpers[: len(tasks) - 1]
        for helper in helpers:
            helper.begin(run)
        try:
            self._begin(self.board, self._number, self._code.PYTHON, len(helpers))
            run.work()
        finally:
            # Nobody may still read whose run this is when the next one begins.
            if interrupt := self._finished():
                run.failures.append(interrupt)
            for helper in helpers:
                helper.end(run, self._number)
        if run.failures:
            raise run.failures[0]

    def dismiss(self) -> None:
        """Ends the helpers, at the latest before the compiled code they stand in is taken down."""
        atexit.unregister(self.dismiss)
        self.over = True
        self._number += 1
        self._begin(self.board, self._number, self._code.PYTHON, len(self._helpers))
        for helper in self._helpers:
            helper.thread.join(1)


def _is_kernel(function: Any) -> bool:
    return hasattr(function, "nopython_signatures")


class _Pool:
    """How many threads there are, and the crew, which comes when first needed."""

    def __init__(self) -> None:
        self.size = _size()
        self._free = allocate_lock()
        self._crew: _Crew | None = None

    def run(self, tasks: list[Task]) -> None:
        crew = self._taken(len(tasks))
        if crew is None:
            for function, arguments in tasks:
                function(*arguments)
            return
        try:
            crew.run(tasks)
        finally:
            self._free.release()

    def spread(self, function: Any, edges: Array, before: tuple[Any, ...], after: Any) -> None:
        crew = self._taken(edges.size - 1)
        if crew is None:
            for cut in pairwise(edges.tolist()):
                function(*before, *cut, *after)
            return
        try:
            crew.spread(function, edges, len(before), (*before, *after))
        finally:
            self._free.release()

    def _taken(self, tasks: int) -> _Crew | None:
        """The crew, to be given free again; None if so many tasks are this thread's own."""
        # One that shares out its own work, a second thread of the user and the last moments of the
        # interpreter do without help.
        if self.size == 1 or tasks < 2 or sys.is_finalizing() or not self._free.acquire(False):
            return None
        try:
            self._crew = self._crew or _Crew(self.size - 1)
        except BaseException:
            self._free.release()
            raise
        return self._crew

    def close(self) -> None:
        """Ends the helpers."""
        if self._crew is not None:
            self._crew.dismiss()


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


def close() -> None:
    """Ends the pool; the next run asks anew how many threads there may be."""
    if _pool is not None:
        _pool.close()
    _forget_pool()


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


def run(tasks: list[Task]) -> None:
    """Calls every task, in any order, on this thread and the helpers; returns when all have ended.

    Tasks must not write what another reads. If some raise, one of their exceptions is raised here.
    """
    _the_pool().run(tasks)


def spread(
    function: Callable[..., Any],
    edges: Array,
    before: tuple[Any, ...],
    after: tuple[Any, ...] = (),
) -> None:
    """Runs `function(*before, start, stop, *after)` for each two neighbours in `edges`, an array.

    All calls of a compiled kernel are written down by one call from Python.
    """
    _the_pool().spread(function, edges, before, after)


@functools.lru_cache(maxsize=1024)
def edges(length: int, pieces: int, multiple: int = 1) -> Array:
    """The ends of so many pieces of `length`, alike up to a rest; they begin at multiples."""
    ends = [length * piece // pieces // multiple * multiple for piece in range(pieces)]
    return np.array(sorted({*ends, length}), np.int64)
