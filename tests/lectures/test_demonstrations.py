"""What holds for every demonstration: short, with public names alone, and in Russian, too."""

from __future__ import annotations

import ast
import re
import string
import sys
from pathlib import Path

import pytest

from gpunet import recipes
from gpunet.cli.demo import WORDS
from tests.lectures.conftest import perform

NAMES = tuple(recipes.demonstrations())
every_demonstration = pytest.mark.parametrize("name", NAMES)
# Applications train for minutes; tests/recipes/ runs them with little of everything.
SHORT = tuple(each.name for each in recipes.demonstrations().values() if not each.minutes)
every_short_one = pytest.mark.parametrize("name", SHORT)
MOST = 120  # lines
RUSSIAN = Path(recipes.__file__).parent / "russian"
WORD = re.compile("[a-z]{3}")  # "x1", "AND" and "{:.1%}" need no translation
KNOWN = {"gpunet", "matplotlib", "numpy", *sys.stdlib_module_names}


@every_demonstration
def test_it_is_short(name) -> None:
    assert len(recipes.find(name).source.splitlines()) < MOST


@every_demonstration
def test_it_says_what_is_to_be_seen(name) -> None:
    demonstration = recipes.find(name)
    assert 0 < len(demonstration.title) < 80
    sentences = re.findall(r"[.!?](?:\s|$)", demonstration.seen)
    assert len(sentences) == 2, demonstration.seen
    assert all(re.fullmatch("[A-K][0-9]+", row) for row in demonstration.rows)


def private(source: str) -> list[str]:
    """The private names of others that a program touches, and modules it should not import."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and re.match("_(?!_)", node.attr):
            found.append(node.attr)
        elif isinstance(node, ast.ImportFrom):
            names = [str(node.module).split("."), *([alias.name] for alias in node.names)]
            found += [part for name in names for part in name if re.match("_(?!_)", part)]
            found += {str(node.module).split(".")[0]} - KNOWN
        elif isinstance(node, ast.Import):
            found += {alias.name.split(".")[0] for alias in node.names} - KNOWN
    return found


@every_demonstration
def test_it_touches_no_private_name(name) -> None:
    assert private(recipes.find(name).source) == []


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("x._data", ["_data"]),
        ("from gpunet.viz.maps import _draw", ["_draw"]),
        ("from gpunet._kernels import f", ["_kernels"]),
        ("import torch", ["torch"]),
        ("def _f(): ...\n_f().__dict__", []),
    ],
)
def test_private_names_are_found(source, names) -> None:
    assert private(source) == names


@every_short_one
def test_it_writes_figures_and_prints(name, performance) -> None:
    shown = performance(name)
    assert recipes.find(name).title in shown.printed
    for figure in shown.figures:
        assert figure.read_bytes().startswith(b"\x89PNG" if figure.suffix == ".png" else b"<?xml")


def fields(text: str) -> list[tuple[str | None, str | None]]:
    """Name and format of every pair of braces; 1,797 is 1797 in Russian."""
    found = [(name, spec) for _, name, spec, _ in string.Formatter().parse(text)]
    return [(name, spec and spec.replace(",", "")) for name, spec in found if name is not None]


@every_short_one
def test_it_is_wholly_in_russian(name, performance) -> None:
    texts = recipes.translation(name, "ru")
    asked = performance(name).texts
    missing = [text for text in asked if WORD.search(text) and text not in texts]
    assert missing == [], f"{RUSSIAN / name}.toml lacks these"
    assert [text for text in texts if text not in asked] == [], "never shown"
    for english, russian in texts.items():
        assert sorted(fields(english)) == sorted(fields(russian)), english


def test_topics_are_in_russian() -> None:
    texts = recipes.translation(WORDS, "ru")
    assert [topic for topic in recipes.TOPICS.values() if topic not in texts] == []


def test_no_text_is_left_without_its_demonstration() -> None:
    assert {file.stem for file in RUSSIAN.iterdir()} == {*NAMES, WORDS}


@pytest.mark.exhaustive
@every_short_one
def test_it_can_be_read_in_russian(name, tmp_path) -> None:
    """Its figures, too: Russian words are longer."""
    shown = perform(name, tmp_path, dict(recipes.translation(name, "ru")))
    assert re.search("[а-я]{3}", shown.printed)
