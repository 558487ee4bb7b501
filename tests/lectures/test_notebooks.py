"""The notebooks of docs/notebooks: they are sound files, and every cell runs.

The cells are run here one after another in one namespace, which is all that they need: a kernel of
Jupyter (nbclient, ipykernel, ZeroMQ) would be the heaviest thing in the tests.
"""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from tests.lectures.pages import DOCS

NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))
every_notebook = pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)


def cells(file: Path, kind: str) -> list[str]:
    notebook = json.loads(file.read_text(encoding="utf-8"))
    return ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == kind]


def test_both_are_there() -> None:
    assert [file.name for file in NOTEBOOKS] == ["learning.ipynb", "perceptron.ipynb"]


@every_notebook
def test_it_is_a_notebook(file) -> None:
    """Version 4.5, with an id for each cell, and no outputs that would age."""
    notebook = json.loads(file.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])
    for cell in notebook["cells"]:
        assert cell["cell_type"] in ("code", "markdown")
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None


@every_notebook
def test_every_cell_runs(file, tmp_path, monkeypatch, capsys) -> None:
    """In an empty folder, where its pictures are then to be found."""
    monkeypatch.chdir(tmp_path)
    space: dict[str, object] = {"__name__": "__main__"}
    for number, source in enumerate(cells(file, "code")):
        code = compile(ast.parse(source), f"{file.name}, code cell {number}", "exec")
        exec(code, space)
    assert len(capsys.readouterr().out.splitlines()) > 10
    shown = [
        line for text in cells(file, "markdown") for line in text.splitlines() if line[:2] == "!["
    ]
    for line in shown:
        assert (tmp_path / line.rpartition("(")[2].rstrip(")")).stat().st_size > 5_000
    assert shown
