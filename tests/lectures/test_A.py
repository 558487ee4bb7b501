"""Neurons and gates: the rows A1 to A8 of docs/lectures.md."""

from __future__ import annotations

INPUTS = ((0, 0), (1, 0), (0, 1), (1, 1))


def test_A1_hand_set_gates(demo) -> None:
    tables = demo("gates")["by hand"]
    assert tables["AND"] == [x1 and x2 for x1, x2 in INPUTS]
    assert tables["NAND"] == [int(not (x1 and x2)) for x1, x2 in INPUTS]
    assert tables["OR"] == [x1 or x2 for x1, x2 in INPUTS]


def test_A2_xor_from_two_layers(demo) -> None:
    results = demo("gates")
    assert results["by hand"]["XOR"] == [int(x1 != x2) for x1, x2 in INPUTS]
    assert results["one neuron"] <= 0.75
    assert results["learned"]["XOR"] <= 0.75
    assert results["two layers"] == 1


def test_A3_learned_gates(demo, performance) -> None:
    learned = demo("gates")["learned"]
    assert {name: learned[name] for name in ("AND", "OR", "NAND")} == {"AND": 1, "OR": 1, "NAND": 1}
    (figure,) = (path for path in performance("gates").figures if path.name == "boundaries.png")
    assert figure.stat().st_size > 10_000
