"""`python -m tests.lectures`: the lectures' table, each row with the result of its test.

With `--write`, bring the links in docs/lectures.md and docs/lectures.ru.md up to date instead.
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from typing import Any

import pytest
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.lectures import pages

COLOURS = {"passed": "green", "failed": "bold red", "skipped": "yellow", "no test": "bold red"}


class Outcomes:
    """A plugin of pytest that notes the outcomes of the tests of each row."""

    def __init__(self) -> None:
        self.of: dict[str, set[str]] = defaultdict(set)

    def pytest_runtest_logreport(self, report: Any) -> None:
        match = re.search(r"::test_([A-K]\d+)_", report.nodeid)
        if match and (report.when == "call" or report.outcome != "passed"):
            self.of[match[1]].add(report.outcome)

    def result(self, row: str) -> str:
        """One word for a row: a failed test weighs more than a skipped one."""
        words = [word for word in ("failed", "skipped", "passed") if word in self.of[row]]
        return words[0] if words else "no test"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.lectures", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the links of the pages")
    if parser.parse_args().write:
        for page in pages.PAGES:
            page.write_text(pages.with_links(page.read_text("utf-8")), "utf-8")
        return 0
    outcomes = Outcomes()
    files = [str(file) for file in sorted(pages.HERE.glob("test_[A-K]*.py"))]
    pytest.main(files, plugins=[outcomes])
    table = Table("row", "what", "check", "result", box=None, header_style="dim")
    for row, (what, check, *_) in pages.rows(pages.PAGES[0]).items():
        result = outcomes.result(row)
        check = re.sub(r"\[(.*?)\]\(.*?\)", r"\1", check)
        table.add_row(row, escape(what), escape(check), f"[{COLOURS[result]}]{result}[/]")
    Console().print(table)
    results = [outcomes.result(row) for row in pages.NAMES]
    print(", ".join(f"{results.count(word)} {word}" for word in COLOURS if word in results))
    return int(results.count("passed") != len(results))


if __name__ == "__main__":
    raise SystemExit(main())
