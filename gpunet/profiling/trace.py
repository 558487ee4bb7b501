"""A profile as a trace for chrome://tracing and https://ui.perfetto.dev.

Format: "Trace Event Format", Google, 2016: complete events ("X") of a name, a beginning and a
duration in microseconds; counters ("C"); names of threads ("M").
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PROCESS, PYTHON, DEVICE = 1, 1, 2


def write(profile: Any, file: str | Path) -> None:
    """See `Profile.write_trace`."""
    content = {"traceEvents": events(profile), "displayTimeUnit": "ms"}
    Path(file).write_text(json.dumps(content) + "\n", encoding="utf-8")


def events(profile: Any) -> list[dict[str, Any]]:
    """All of them, names first."""
    found = [_named("process_name", PYTHON, "gpunet"), _named("thread_name", PYTHON, "Python")]
    if any(record.events for record in profile.records):
        found.append(_named("thread_name", DEVICE, "GPU"))
    for record in sorted(profile.records, key=lambda record: record.start):
        start = 1e6 * (record.start - profile.began)
        found.append(_complete(record, PYTHON, start, 1e6 * (record.stop - record.start)))
        if record.backend is None:
            continue
        stop = 1e6 * (record.stop - profile.began)
        found.append(_counter(stop, record.in_use))
        if record.events:
            synchronized, first = profile.first_event
            after = 1e3 * record.events[0].milliseconds_since(first)
            start = 1e6 * (synchronized - profile.began) + after
            found.append(_complete(record, DEVICE, start, 1e6 * record.device_seconds))
    return found


def _complete(record: Any, thread: int, start: float, duration: float) -> dict[str, Any]:
    name = record.name if record.kind != "layer" else f"{record.layer} ({record.name})"
    arguments = {"layer": record.layer} if record.kind in ("forward", "backward") else {}
    for of in ("moved", "multiply_adds", "made", "kept"):
        if value := getattr(record, of):
            arguments[of] = value
    return {
        "name": name,
        "cat": record.kind,
        "ph": "X",
        "ts": start,
        "dur": duration,
        "pid": PROCESS,
        "tid": thread,
        "args": arguments,
    }


def _counter(at: float, in_use: int) -> dict[str, Any]:
    return {
        "name": "memory in use",
        "ph": "C",
        "ts": at,
        "pid": PROCESS,
        "tid": PYTHON,
        "args": {"bytes": in_use},
    }


def _named(what: str, thread: int, name: str) -> dict[str, Any]:
    event = {"name": what, "ph": "M", "ts": 0, "pid": PROCESS, "tid": thread}
    return event | {"args": {"name": name}}
