"""docs/lectures.md and docs/lectures.ru.md: their rows, and the links that can be derived.

A row reads `| A1 | what | a check | demonstrations | tests | figures |`. The last three cells
follow from the programs, the tests and the figures in docs/images/lectures/;
`python -m tests.lectures --write` puts them in.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from gpunet.recipes import demonstrations

HERE = Path(__file__).parent
DOCS = HERE.parent.parent / "docs"
PAGES = (DOCS / "lectures.md", DOCS / "lectures.ru.md")
FIGURES = (
    DOCS / "images" / "lectures"
)  # as `gpunet demo --all --out docs/images/lectures` leaves it

ROW = re.compile(r"^\| ([A-K]\d+) \| (.*) \|$", re.M)
SIZES = {"A": 8, "B": 5, "C": 3, "D": 7, "E": 5, "F": 6, "G": 4, "H": 3, "I": 3, "J": 1, "K": 13}
NAMES = tuple(f"{letter}{n}" for letter, size in SIZES.items() for n in range(1, size + 1))


def rows(page: Path) -> dict[str, list[str]]:
    """The cells of each row after its name, as the page has them."""
    found = ROW.findall(page.read_text(encoding="utf-8"))
    return {name: cells.split(" | ") for name, cells in found}


def tests() -> Iterator[tuple[str, str, Path]]:
    """Row, name and file of every test named after a row."""
    for file in sorted(HERE.glob("test_[A-K]*.py")):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            match = isinstance(node, ast.FunctionDef) and re.match(r"test_([A-K]\d+)_", node.name)
            if match:
                yield match[1], node.name, file


def links(row: str) -> list[str]:
    """The last three cells of a row: its demonstrations, tests and figures; "–" where none is."""
    shown = [each for each in demonstrations().values() if row in each.rows]
    programs = [f"[{each.name}](../gpunet/recipes/{each.name}.py)" for each in shown]
    checks = [
        f"[{name.removeprefix('test_')}](../tests/lectures/{file.name})"
        for other, name, file in tests()
        if other == row
    ]
    pictures = [
        f"[{file.stem}]({file.relative_to(DOCS).as_posix()})"
        for each in shown
        for file in sorted((FIGURES / each.name).glob("*.*"))
    ]
    return [", ".join(cell) or "–" for cell in (programs, checks, pictures)]


def with_links(text: str) -> str:
    """The text of a page with the derived cells in place."""

    def line(match: re.Match[str]) -> str:
        cells = [match[1], *match[2].split(" | ")[:2], *links(match[1])]
        return f"| {' | '.join(cells)} |"

    return ROW.sub(line, text)
