"""Writes down when every operation, layer, backward pass, optimizer step and batch began and ended.

What the recorder itself takes is measured too, and left out of every figure.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from gpunet.autograd import Op, Watcher, watching
from gpunet.autograd.memory import arrays_of, owner
from gpunet.backend import Backend
from gpunet.profiling.floor import multiply_adds
from gpunet.profiling.rows import Row, rows


@dataclass(slots=True)
class Record:
    """A piece of work.

    Attributes:
        kind: "forward" or "backward" of an operation; "layer", "pass" (backward), "gradients",
            "optimizer", "data".
        name: of the operation or what else is at work. layer: dotted name of the layer, "" outside.
        entered, start, stop, left: seconds; the recorder is at work outside of start and stop.
        events: of the device, where it works by itself: before and after.
        moved: bytes that an operation reads and writes at the least.
        multiply_adds: of an operation, where they are counted.
        made: bytes of new results. kept: bytes that the backward pass will need, counted once.
        in_use: bytes of the backend's memory afterwards.
        backend: of an operation.
    """

    kind: str
    name: str
    layer: str
    entered: float
    start: float = 0.0
    stop: float = 0.0
    left: float = 0.0
    events: tuple[Any, Any] | None = None
    moved: int = 0
    multiply_adds: int = 0
    made: int = 0
    kept: int = 0
    in_use: int = 0
    backend: Backend | None = None

    @property
    def device_seconds(self) -> float | None:
        """What it took on a device that works by itself, such as a GPU."""
        if self.events is None:
            return None
        before, after = self.events
        return after.milliseconds_since(before) / 1e3


class Profile(Watcher):
    """What happened inside `with gpunet.profile() as p:`.

    Attributes:
        records: a `Record` for each piece of work, in the order in which they ended.
        seconds: from the beginning to the end, without the recorder's own time.
    """

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.seconds = 0.0
        self._names: dict[int, tuple[Any, dict[int, str]]] = {}  # by id of the outermost module
        self._inside: list[dict[int, str]] = []
        self._layers = [""]
        self._made: set[int] = set()  # ids of arrays that operations made and nobody keeps yet
        self._watching: AbstractContextManager[None] | None = None
        self.began = 0.0
        self.first_event: Any = None

    def __enter__(self) -> Profile:
        self._watching = watching(self)
        self._watching.__enter__()
        self.began = perf_counter()
        return self

    def __exit__(self, *error: Any) -> None:
        for be in {record.backend for record in self.records if record.events is not None}:
            assert be is not None
            be.synchronize()
        ended = perf_counter()
        assert self._watching is not None
        self._watching.__exit__(*error)
        self.seconds = ended - self.began - self.recording

    # --- what is seen

    def forward(self, op: Op, be: Backend, inputs: list[Any]) -> Any:
        record = Record("forward", _name(op), self._layers[-1], perf_counter(), backend=be)
        op.profiled = record.name, record.layer  # type: ignore[attr-defined]
        before = self._event(be)
        record.start = perf_counter()
        result = op.forward(be, *inputs)
        record.stop = perf_counter()
        if before is not None:
            record.events = before, self._event(be)
        results = result if type(result) is tuple else (result,)
        record.moved = _bytes(inputs) + _bytes(results)
        record.multiply_adds = multiply_adds(op, inputs, results[0])
        self._count(record, op, inputs, results)
        return self._end(record, result)

    def backward(self, op: Op, gys: list[Any]) -> Any:
        be, start = op.backend, perf_counter()
        name, layer = getattr(op, "profiled", (_name(op), ""))  # made before, it has no layer
        record = Record("backward", name, layer, start, backend=be)
        kept = list(arrays_of(op.saved))
        record.moved = _bytes(gys) + _bytes(kept)
        before = self._event(be)
        record.start = perf_counter()
        result = op.backward(be, *gys)
        record.stop = perf_counter()
        if before is not None:
            record.events = before, self._event(be)
        results = result if type(result) is tuple else (result,)
        record.moved += _bytes(results)
        record.multiply_adds = multiply_adds(op, None, gys[0])
        record.made = _made(results, {id(owner(x)) for x in (*gys, *kept) if x is not None})
        return self._end(record, result)

    def span(self, kind: str, subject: Any) -> AbstractContextManager[Any]:
        return _Span(self, kind, subject)

    def _event(self, be: Backend) -> Any:
        gpu = vars(be).get("gpu")  # as an attribute it would be looked for on the disk
        if gpu is None:
            return None
        if self.first_event is None:
            be.synchronize()
            self.first_event = perf_counter(), gpu.event()
        return gpu.event()

    def _count(self, record: Record, op: Op, inputs: list[Any], results: tuple[Any, ...]) -> None:
        """What an operation made, and what it keeps: nobody else's, so no weights and no data."""
        given = {id(owner(x)) for x in inputs if hasattr(x, "base")}
        record.made = _made(results, given)
        self._made.update(id(owner(y)) for y in results)
        if op.needs:
            for array in arrays_of(op.saved):
                it = owner(array)
                if id(it) in self._made or id(it) not in given:
                    self._made.discard(id(it))
                    record.kept += it.nbytes

    def _end(self, record: Record, result: Any) -> Any:
        assert record.backend is not None
        record.in_use = record.backend.memory_in_use()
        self.records.append(record)
        record.left = perf_counter()
        return result

    # --- what it comes to

    @property
    def recording(self) -> float:
        """Seconds that the recorder itself took."""
        return sum(r.left - r.entered - (r.stop - r.start) for r in self.records)

    @property
    def steps(self) -> int:
        """Steps of optimizers."""
        return sum(record.kind == "optimizer" for record in self.records)

    @property
    def peak(self) -> int:
        """Bytes of the backend's memory in use after the operation after which there were most.

        Arrays of less than 64 KiB are not counted on the CPU.
        """
        return max((record.in_use for record in self.records), default=0)

    def rows(self, floors: bool = True) -> list[Row]:
        """A row for each layer and operation, what took longest first.

        Args:
            floors: compare with what this machine can do, which takes a moment to measure.
        """
        return rows(self.records, self.seconds, floors)

    def table(self, least: float = 0.0) -> Any:
        """The rows as a `rich.table.Table`, those below `least` of the time in one."""
        from gpunet.profiling.table import table

        return table(self, least)

    def write_trace(self, file: str | Path) -> None:
        """Writes a JSON file that chrome://tracing and https://ui.perfetto.dev show."""
        from gpunet.profiling.trace import write

        write(self, file)

    def __str__(self) -> str:
        from gpunet.profiling.table import text

        return text(self)


class _Span:
    """A longer piece of work, from `with` to its end."""

    __slots__ = ("kind", "profile", "record", "subject")

    def __init__(self, profile: Profile, kind: str, subject: Any):
        self.profile, self.kind, self.subject = profile, kind, subject

    def __enter__(self) -> None:
        entered, profile, subject = perf_counter(), self.profile, self.subject
        if self.kind == "layer":
            if not profile._inside or id(subject) not in profile._inside[-1]:
                if id(subject) not in profile._names:
                    names = {id(module): name for name, module in subject.named_modules()}
                    profile._names[id(subject)] = subject, names  # held, so that the id stays its
                names = profile._names[id(subject)][1]
            else:
                names = profile._inside[-1]
            profile._inside.append(names)
            kind = type(subject).__name__
            profile._layers.append(names[id(subject)] or kind)
            self.record = Record("layer", kind, profile._layers[-1], entered)
        else:
            kind = "pass" if self.kind == "backward" else self.kind
            name = {"pass": "graph", "gradients": subject}.get(kind, type(subject).__name__)
            self.record = Record(kind, name, "", entered)
        self.record.start = perf_counter()

    def __exit__(self, *_: Any) -> None:
        record, profile = self.record, self.profile
        record.stop = perf_counter()
        if self.kind == "layer":
            profile._layers.pop()
            profile._inside.pop()
        profile.records.append(record)
        record.left = perf_counter()


def _name(op: Op) -> str:
    """Of the operation, and of what is fused into it."""
    activation = getattr(op, "activation", None)
    return op.name if activation is None else f"{op.name} + {activation.name}"


def _bytes(arrays: Any) -> int:
    return sum(x.nbytes for x in arrays if hasattr(x, "nbytes"))


def _made(results: Any, given: set[int]) -> int:
    """Bytes of results that are in no memory given, by the ids of the arrays that have it."""
    return sum(y.nbytes for y in results if y is not None and id(owner(y)) not in given)


def profile() -> Profile:
    """Inside `with gpunet.profile() as p:`, everything this thread computes is timed.

    Afterwards `print(p)` shows time and memory by layer and operation, forward and backward, and
    `p.write_trace("trace.json")` writes a file for https://ui.perfetto.dev. Times on a GPU are
    its own. Without a `with profile()` nothing is slower.

    >>> import gpunet
    >>> from gpunet import nn
    >>> model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> with gpunet.profile() as p:
    ...     model(gpunet.tensor([[1.0, 2.0, 3.0, 4.0]])).sum().backward()
    >>> sorted({(row.layer, row.name) for row in p.rows(floors=False) if row.kind == "backward"})
    [('', 'Sum'), ('', 'graph'), ('0', 'Linear + ReLU'), ('2', 'Linear')]
    """
    return Profile()
