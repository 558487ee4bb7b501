"""What was recorded, added up: a row for each layer and operation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from gpunet.profiling.floor import floor_seconds

# What a span does beside the operations and spans inside it.
_OWN = {"layer": "Python", "pass": "graph"}


@dataclass
class Row:
    """A layer and an operation.

    Attributes:
        kind: "forward", "backward", "gradients", "optimizer", "data", or "outside" of all these.
        name: of the operation; "Python" is what a layer does beside its operations (checks, new
            tensors), "graph" what the backward pass does.
        layer: dotted name of the layer, "" outside of layers.
        calls: how often. seconds: of all calls. share: of the whole time.
        made: bytes of new results. kept: bytes kept for the backward pass.
        floor: the least time for its bytes and multiply-adds, in seconds; 0 where it is not known.
    """

    kind: str
    name: str
    layer: str
    calls: int = 0
    seconds: float = 0.0
    share: float = 0.0
    made: int = 0
    kept: int = 0
    floor: float = 0.0


def rows(records: list[Any], whole: float, floors: bool) -> list[Row]:
    """See `Profile.rows`. What is outside of all records is a row, too."""
    found: dict[tuple[str, str, str], Row] = {}
    inside = 0.0
    for record, own in own_seconds(records):
        kind = {"layer": "forward", "pass": "backward"}.get(record.kind, record.kind)
        name = _OWN.get(record.kind, record.name)
        row = found.setdefault((kind, record.layer, name), Row(kind, name, record.layer))
        device = record.device_seconds
        row.calls += 1
        row.seconds += own if device is None else device
        row.made += record.made
        row.kept += record.kept
        if floors and record.backend is not None:
            row.floor += floor_seconds(record.backend, record.moved, record.multiply_adds)
        inside += own
    found["outside", "", ""] = Row("outside", "Python", "", 1, max(0.0, whole - inside))
    for row in found.values():
        row.share = row.seconds / whole if whole else 0.0
    return sorted(found.values(), key=lambda row: -row.seconds)


def own_seconds(records: Iterable[Any]) -> Iterator[tuple[Any, float]]:
    """Each record, and its time without the records inside it and without the recorder's."""
    ended: list[Any] = []  # and not inside a record that has ended
    for record in sorted(records, key=lambda record: record.left):
        own = record.stop - record.start
        while ended and ended[-1].entered >= record.start:
            child = ended.pop()
            own -= child.left - child.entered
        ended.append(record)
        yield record, own
