"""`gpunet demo`: the programs of the lectures, listed, run one at a time or all in a row."""

from __future__ import annotations

import time
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.syntax import Syntax
from rich.table import Table

from gpunet.cli.console import console
from gpunet.errors import ArgumentError, GpunetError
from gpunet.recipes import TOPICS, Demonstration, Show, demonstrations, find, topic, translation

WORDS = "words"  # russian/words.toml has the topics and what is said around a demonstration


def run(options: Any) -> int:
    words = translation(WORDS, options.lang)
    if options.all and (options.name or options.source or options.input):
        raise ArgumentError("demo", "--all must stand alone, got a name, --source or --input")
    if options.source and not options.name:
        raise ArgumentError(
            "demo", "--source must have a name, got none", "`gpunet demo` lists them"
        )
    if options.all:
        return _all(options, words)
    if not options.name:
        _list(options.lang, words)
    elif options.source:
        _print_source(find(options.name))
    else:
        _perform(find(options.name), options, words)
    return 0


def _list(language: str, words: Mapping[str, str]) -> None:
    """The demonstrations under the topics of the lectures, with the rows they show."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column()
    table.add_column(style="dim", no_wrap=True)
    for letter, group in groupby(demonstrations().values(), topic):
        heading = words.get(TOPICS[letter], TOPICS[letter])
        table.add_row(f"[bold]{letter}[/]", f"[bold]{heading}[/]")
        for each in group:
            title = translation(each.name, language).get(each.title, each.title)
            long = f" ({each.minutes} {words.get('min', 'min')})" if each.minutes else ""
            table.add_row(f"  {each.name}", escape(title + long), " ".join(each.rows))
    console.print(table)


def _print_source(demonstration: Demonstration) -> None:
    """In colour for a person, as it is for a pipe."""
    if console.is_terminal:
        console.print(Syntax(demonstration.source, "python", background_color="default"))
    else:
        console.out(demonstration.source, end="")


def _perform(demonstration: Demonstration, options: Any, words: Mapping[str, str]) -> float:
    """Runs one; returns the seconds it took."""
    start = time.perf_counter()
    folder = Path(options.out) / demonstration.name
    show = Show(folder, translation(demonstration.name, options.lang), console, words.get(".", "."))
    demonstration.run(show, options.input)
    console.print()
    for path in show.written:
        console.print(f"{words.get('figure', 'figure')}: {path}", markup=False, soft_wrap=True)
    return time.perf_counter() - start


def _all(options: Any, words: Mapping[str, str]) -> int:
    """One after the other, but for applications, which take minutes.

    What could not run is said at the end, with the reason.
    """
    seconds: dict[str, float] = {}
    failed: dict[str, GpunetError] = {}
    for each in demonstrations().values():
        if each.minutes:
            continue
        try:
            seconds[each.name] = _perform(each, options, words)
        except GpunetError as error:
            failed[each.name] = error
    text = "{} demonstrations in {:.0f} s, figures in {}"
    total = words.get(text, text).format(len(seconds), sum(seconds.values()), options.out)
    console.print(f"\n{escape(total)}")
    for name, reason in failed.items():
        console.print(f"[bold red]{words.get('did not run', 'did not run')}[/] {name}: ", end="")
        console.print(str(reason), markup=False, soft_wrap=True)
    return 1 if failed else 0
