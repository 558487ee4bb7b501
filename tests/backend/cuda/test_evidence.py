"""The ledger of what was run on a GPU: none, fresh or stale, by the code that the sources give."""

from __future__ import annotations

import dataclasses
import json
import struct
from types import SimpleNamespace
from typing import Any

import pytest

from gpunet.backend.cuda import evidence, loader, source

LINE = evidence.Line(
    *("dropout", "uniform", "float32", 90, "", "13.4", "2026-01-31", "a GPU"),
    *(1e-7, 3000.0, 0.9, ("memcheck",)),
)
COMPILER: Any = SimpleNamespace(version=(13, 4))


def binary(**sections: bytes) -> bytes:
    """The least ELF file with sections of these names, dots written as __."""
    names = b"\0" + b"".join(n.replace("__", ".").encode() + b"\0" for n in sections) + b".names\0"
    bodies = [*sections.values(), names]
    content, headers, name_at = b"", struct.pack("<IIQQQQIIQQ", *[0] * 10), 1
    labels = [*(n.replace("__", ".") for n in sections), ".names"]
    for label, body in zip(labels, bodies, strict=True):
        start = 64 + len(content)
        headers += struct.pack("<IIQQQQIIQQ", name_at, 1, 0, 0, start, len(body), 0, 0, 1, 0)
        content, name_at = content + body, name_at + len(label) + 1
    count = len(bodies) + 1
    head = b"\x7fELF\x02".ljust(0x28, b"\0") + struct.pack("<Q", 64 + len(content))
    head = head.ljust(0x3A, b"\0") + struct.pack("<HHH", 64, count, count - 1)
    return head + content + headers


def test_the_ledger_is_whole() -> None:
    names = {family: set(found) for family, found in source.kernels().items()}
    lines = evidence.read()
    assert len({line.key for line in lines}) == len(lines), "two lines of one kernel"
    for line in lines:
        assert line.kernel in names[line.family], f"{line.kernel} is no kernel"


def test_a_hash_is_of_one_kernels_code() -> None:
    before = evidence.code_hashes(binary(__text__f=b"1", __text__g=b"2", __nv__constant0__g=b"3"))
    assert before.keys() == {"f", "g"}
    after = evidence.code_hashes(binary(__text__f=b"1", __text__g=b"2", __nv__constant0__g=b"4"))
    assert before["f"] == after["f"]
    assert before["g"] != after["g"]
    with pytest.raises(ValueError, match="no binary"):
        evidence.code_hashes(b"text")


def test_fresh_stale_and_none(monkeypatch, tmp_path) -> None:
    cubin = binary(__text__uniform=b"1", __text__dropout=b"2")
    (tmp_path / "made").write_bytes(cubin)
    monkeypatch.setattr(loader, "binary", lambda *place: tmp_path / "made")
    fresh = dataclasses.replace(LINE, code=evidence.code_hashes(cubin)["uniform"])
    assert evidence.states([], COMPILER)["uniform"] == "none"
    assert evidence.states([fresh], COMPILER)["uniform"] == "fresh"
    assert evidence.states([fresh], COMPILER)["dropout"] == "none"
    assert evidence.states([LINE], COMPILER)["uniform"] == "stale"
    other = dataclasses.replace(fresh, architecture=80, code="of older sources")
    assert evidence.states([fresh, other], COMPILER)["uniform"] == "stale", "the worst line counts"
    assert evidence.states([fresh], None)["uniform"] == "unchecked"
    older: Any = SimpleNamespace(version=(12, 9))
    assert evidence.states([LINE], older)["uniform"] == "unchecked"


def test_lines_are_recorded_in_place_of_older_ones(tmp_path) -> None:
    ledger = tmp_path / "evidence.json"
    evidence.write([LINE], ledger)
    newer = dataclasses.replace(LINE, date="2026-02-28")
    other = dataclasses.replace(LINE, architecture=80)
    evidence.record([newer, other], ledger)
    assert evidence.read(ledger) == [other, newer]
    assert len(json.loads(ledger.read_text())) == 2
