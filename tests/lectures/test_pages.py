"""docs/lectures.md and docs/lectures.ru.md: every row is there, and every link leads somewhere."""

from __future__ import annotations

import re

import pytest

from gpunet.recipes import demonstrations
from tests.lectures import pages

every_page = pytest.mark.parametrize("page", pages.PAGES, ids=lambda page: page.name)


@every_page
def test_every_row_is_there_once(page) -> None:
    text = page.read_text(encoding="utf-8")
    assert [name for name, _ in pages.ROW.findall(text)] == list(pages.NAMES)
    assert {len(cells) for cells in pages.rows(page).values()} == {5}


@every_page
def test_links_are_up_to_date(page) -> None:
    text = page.read_text(encoding="utf-8")
    assert text == pages.with_links(text), "run: python -m tests.lectures --write"


@every_page
def test_links_lead_somewhere(page) -> None:
    found = re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8"))
    assert found
    assert [link for link in found if not (page.parent / link).exists()] == []


def test_every_row_of_a_demonstration_is_a_row() -> None:
    shown = {row for each in demonstrations().values() for row in each.rows}
    assert shown <= set(pages.NAMES)
    assert {row for row, _, _ in pages.tests()} <= set(pages.NAMES)


@pytest.mark.parametrize("name", [e.name for e in demonstrations().values() if not e.minutes])
def test_the_figures_of_the_page_are_those_that_are_written(name, performance) -> None:
    how = "run: gpunet demo --all --out docs/images/lectures; python -m tests.lectures --write"
    drawn = {path.name for path in performance(name).figures}
    assert drawn == {path.name for path in (pages.FIGURES / name).glob("*.*")}, how
