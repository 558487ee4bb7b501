"""Where a demonstration shows what it has found: tables and sentences in the terminal, figures."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gpunet.train.toml import parse
from gpunet.viz import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Results = dict[str, Any]  # numbers and arrays by name, for those who check what was shown

LANGUAGES = ("en", "ru")


def translation(name: str, language: str) -> Mapping[str, str]:
    """English text to that of `language`, for the demonstration `name`; empty for English."""
    if language == "en":
        return {}
    return parse(Path(__file__).parent / "russian" / f"{name}.toml")


class Show:
    """The stage of a demonstration.

    Args:
        folder: where its figures go; made with the first of them.
        texts: English text to what is shown in its place; what is missing stays English.
        console: the terminal.
        point: what stands between whole and fraction of a number.

    `written` lists the figures, `asked` every text in English that was shown.
    """

    def __init__(
        self,
        folder: Path,
        texts: Mapping[str, str] | None = None,
        console: Console | None = None,
        point: str = ".",
    ):
        self.folder, self.texts, self.point = Path(folder), texts or {}, point
        self.console = console or Console(highlight=False)
        self.written: list[Path] = []
        self.asked: dict[str, None] = {}  # ordered, each once

    def text(self, english: str) -> str:
        """`english` in the language of this show."""
        self.asked[english] = None
        return self.texts.get(english, english)

    def heading(self, title: str, seen: str) -> None:
        """The title of a demonstration, and below it what is to be seen."""
        self.console.print(f"\n[bold]{escape(self.text(title))}[/]")
        self.console.print(escape(self.text(seen)))

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """A table; columns of numbers are set flush right, floats to four significant digits.

        `title` and `columns` are translated; words in cells are not, unless `text` gave them.
        """
        cells = [list(row) for row in rows]
        table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
        for place, column in enumerate(columns):
            numbers = all(not isinstance(row[place], str) for row in cells)
            table.add_column(escape(self.text(column)), justify="right" if numbers else "left")
        for row in cells:
            table.add_row(*(escape(self._cell(value)) for value in row))
        self.console.print(f"\n[bold]{escape(self.text(title))}[/]")  # wider than a narrow table
        self.console.print(table)

    def _cell(self, value: object) -> str:
        """A value as it stands in a table."""
        # A bool is an int, and reads "True".
        text = str(value) if isinstance(value, str | int) else f"{value:.4g}"
        return re.sub(r"(?<=\d)\.(?=\d)", self.point, text)

    def say(self, text: str, *values: object) -> None:
        """A sentence, translated first, with the values where its braces are."""
        self.console.print()
        numbers = [_Number(v, self.point) if isinstance(v, float) else v for v in values]
        self.console.print(escape(self.text(text).format(*numbers)))

    def figure(self, name: str, figure: Figure) -> Path:
        """Writes a figure of matplotlib as `name`, a PNG in the folder."""
        return style.write(figure, self.path(name))

    def path(self, name: str) -> Path:
        """Where the figure `name` is to be written, for functions that write it themselves."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.written.append(self.folder / name)
        return self.written[-1]


class _Number(float):
    """A number with another decimal point, whichever way it is formatted."""

    def __new__(cls, value: float, point: str) -> _Number:
        self = super().__new__(cls, value)
        self.point = point
        return self

    point: str

    def __format__(self, how: str) -> str:
        return format(float(self), how).replace(".", self.point)
