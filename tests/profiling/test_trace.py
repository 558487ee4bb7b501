"""The trace: a JSON file in the trace-event format, with the operations inside their layers."""

import json
from typing import Any

import pytest

import gpunet
from gpunet import optim
from gpunet.profiling import trace
from tests.kernels import needs
from tests.kernels.host.gpu import HostGPU, pretended
from tests.profiling.test_profile import batch, network, step


def faults(content: Any) -> list[str]:
    """What is wrong with a trace, by the format's definition (the kinds of events used here)."""
    if not isinstance(content, dict) or not isinstance(content.get("traceEvents"), list):
        return ["traceEvents must be a list"]
    found = []
    if content.get("displayTimeUnit", "ms") not in ("ms", "ns"):
        found.append("displayTimeUnit must be ms or ns")
    for i, event in enumerate(content["traceEvents"]):
        for key, kind in (("name", str), ("ph", str), ("ts", (int, float)), ("pid", int),
                          ("tid", int), ("args", dict)):  # fmt: skip
            if not isinstance(event.get(key), kind):
                found.append(f"event {i}: {key}")
        phase = event.get("ph")
        if phase == "X" and not (isinstance(event.get("dur"), (int, float)) and event["dur"] >= 0):
            found.append(f"event {i}: dur")
        elif phase == "M" and event["name"] in ("process_name", "thread_name"):
            if not isinstance(event["args"].get("name"), str):
                found.append(f"event {i}: name of a thread")
        elif phase == "C" and not all(isinstance(v, (int, float)) for v in event["args"].values()):
            found.append(f"event {i}: counter")
        elif phase not in ("X", "M", "C"):
            found.append(f"event {i}: phase {phase}")
    if found:  # what lies where can only be said of whole events
        return found
    early = [f"{e['name']} is before the beginning" for e in content["traceEvents"] if e["ts"] < 0]
    return early + overlaps(content["traceEvents"])


def overlaps(events: list[dict[str, Any]]) -> list[str]:
    """Complete events of one thread must lie beside or inside each other."""
    found, open_ = [], {}
    for event in sorted((e for e in events if e["ph"] == "X"), key=lambda e: (e["ts"], -e["dur"])):
        ends = open_.setdefault(event["tid"], [])
        while ends and ends[-1] <= event["ts"]:
            ends.pop()
        end = event["ts"] + event["dur"]
        if ends and end > ends[-1]:
            found.append(f"{event['name']} is partly inside another")
        ends.append(end)
    return found


def recorded(device: str = "cpu"):
    model = network().to(device)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    with gpunet.profile() as p:
        step(model, optimizer, *batch(device))
    return p


def test_the_file(tmp_path) -> None:
    p = recorded()
    p.write_trace(tmp_path / "trace.json")
    content = json.loads((tmp_path / "trace.json").read_text())
    assert faults(content) == []
    complete = [event for event in content["traceEvents"] if event["ph"] == "X"]
    assert len(complete) == len(p.records)
    by_name = {(event["cat"], event["name"]): event for event in complete}
    layer, inner = by_name["layer", "2 (Sequential)"], by_name["forward", "Linear + Tanh"]
    assert layer["ts"] < inner["ts"] < inner["ts"] + inner["dur"] < layer["ts"] + layer["dur"]
    assert inner["args"]["layer"] == "2.0"
    assert inner["args"]["multiply_adds"] == 16 * 8 * 8
    counters = [event["args"]["bytes"] for event in content["traceEvents"] if event["ph"] == "C"]
    assert max(counters) == p.peak


@needs.compiler
def test_a_gpu_has_a_line_of_its_own() -> None:
    with pretended(HostGPU()):
        content = {"traceEvents": trace.events(recorded("cuda:0"))}
    assert faults(content) == []
    names = [e["args"]["name"] for e in content["traceEvents"] if e["name"] == "thread_name"]
    assert names == ["Python", "GPU"]
    on_gpu = [e["name"] for e in content["traceEvents"] if e["tid"] == trace.DEVICE]
    assert on_gpu[0] == "thread_name"
    assert sorted(on_gpu[1:]) == sorted(
        2 * ["Linear + ReLU", "Linear + Tanh", "Linear", "CrossEntropy"]
    )


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"ph": "Y"}, "phase Y"),
        ({"dur": -1.0}, "dur"),
        ({"dur": 1e9}, "partly inside"),
        ({"ts": "0"}, "ts"),
        ({"name": 3}, "name"),
        ({"ts": -5.0}, "before the beginning"),
    ],
    ids=["phase", "duration", "overlap", "time", "name", "negative"],
)
def test_a_broken_trace_is_found(change, fault) -> None:
    events = trace.events(recorded())
    inner = next(e for e in events if e["name"] == "Linear + Tanh")
    inner.update(change)
    assert any(fault in found for found in faults({"traceEvents": events}))
