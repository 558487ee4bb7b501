"""Neurons and gates: the rows A1 to A8 of docs/lectures.md."""

from __future__ import annotations

import math

import numpy as np
import pytest

import gpunet
from gpunet.cli import main
from gpunet.recipes import forward

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


def test_A4_step_and_sigmoid(demo, performance) -> None:
    sigmoid = demo("activations")["sigmoid"]
    assert int(1000 * sigmoid[1.0]) == 731  # to three digits, as the lecture cuts them off
    assert int(1000 * sigmoid[2.0]) == 880
    for x, y in sigmoid.items():
        assert y == pytest.approx(1 / (1 + math.exp(-x)), rel=1e-6)
    figures = {path.name: path for path in performance("activations").figures}
    for name in ("sigmoid.png", "activations.png"):
        assert figures[name].read_bytes().startswith(b"\x89PNG")


def test_A4_every_activation_is_drawn(demo) -> None:
    """All functions of one number in the two modules of activations that need no settings."""
    shown = set(demo("activations")["slopes"])
    assert {"step", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "selu", "gelu"} <= shown
    assert {"silu", "mish", "softplus", "softsign", "hardtanh", "relu6"} <= shown


def test_A5_matrix_form(demo) -> None:
    AB, xW = demo("forward")["products"]
    assert AB.tolist() == [[19, 22], [43, 50]]
    assert xW.tolist() == [5, 11, 17]


def test_A6_three_layers(demo) -> None:
    """Equal to the lecture's own evaluation in NumPy, with the functions and with layers."""
    z = np.array([1.0, 0.5])
    for W, b in zip(forward.WEIGHTS[:2], forward.BIASES[:2], strict=True):
        z = 1 / (1 + np.exp(-(z @ np.array(W) + b)))
    y = z @ np.array(forward.WEIGHTS[2]) + forward.BIASES[2]
    results = demo("forward")
    assert [len(output) for output in results["outputs"]] == [2, 3, 2, 2]
    np.testing.assert_allclose(results["outputs"][-1], y, rtol=1e-14)
    np.testing.assert_allclose(results["network"], y, rtol=1e-14)


def test_A7_linear_layers_collapse(demo) -> None:
    results = demo("forward")
    np.testing.assert_allclose(results["two layers"], results["one layer"], rtol=0, atol=1e-14)
    x, c = gpunet.tensor([0.5, -2.0, 3.0], dtype="float64"), 1.7
    thrice = c * (c * (c * x))
    np.testing.assert_allclose(thrice.numpy(), c**3 * x.numpy(), rtol=1e-15)


def test_A8_parameter_count(demo, performance) -> None:
    counts = demo("forward")["counts"]
    K = forward.CLASSES
    assert [weights for _, _, weights, _ in counts] == [3 * 10**6, 9 * 10**4, 300 * K]
    assert [biases for _, _, _, biases in counts] == [300, 300, K]
    for printed in ("3,000,000", "90,000", f"{300 * K:,}"):
        assert printed in performance("forward").printed


def test_A8_summary_prints_them(tmp_path, capsys) -> None:
    """`gpunet summary`, too, of a network on digits: weights and biases apart."""
    file = tmp_path / "three.toml"
    file.write_text(
        'name = "three"\n[data]\nset = "digits"\n[model]\nlayers = [\n{ kind = "Flatten" },\n'
        '{ kind = "Linear", in_features = 64, out_features = 300 },\n'
        '{ kind = "Linear", in_features = 300, out_features = 10 },\n]\n'
        '[optimizer]\nkind = "SGD"\nlr = 0.1\n[train]\nepochs = 1\nbatch_size = 8\n'
    )
    assert main(["summary", str(file)]) == 0
    words = capsys.readouterr().out.split()
    assert [n in words for n in ("19,200", "300", "3,000", "10")] == [True] * 4
