"""`gpunet report`: all of a run, finished or failed, on one page of HTML with its pictures inside.

The page is a file that needs nothing beside it.
"""

from __future__ import annotations

import base64
import json
import os
import platform
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from gpunet import __version__
from gpunet.cli.console import console
from gpunet.cli.info import installed, processor
from gpunet.train import checkpoint
from gpunet.train.build import build_example, build_model
from gpunet.train.config import to_toml
from gpunet.train.diagnostics import advice, read_records
from gpunet.train.run import FAILURE, METRICS, Run
from gpunet.train.summary import summarize

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; max-width: 60rem; margin: 2rem auto;
       padding: 0 1rem; }
h1 { font-size: 1.6rem; margin: 0 } h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem }
table { border-collapse: collapse; font-size: .85rem; width: 100% }
th { text-align: left; color: #666; font-weight: normal }
th, td { padding: .15rem .8rem .15rem 0; border-bottom: 1px solid #ebebeb }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums }
pre { background: #f6f6f6; padding: .8rem 1rem; overflow-x: auto; font-size: .8rem }
img { max-width: 100%; margin: .5rem 0 } .note { color: #666 }
.failed { border-left: 4px solid #d55e00; padding: .4rem 1rem; background: #fdf3ec }
"""


def run(options: Any) -> int:
    found = Run.open(Path(options.run))
    path = found.folder / "report.html"
    checkpoint.write_atomically(path, page(found).encode())
    console.print(f"report, open it: {path}", markup=False, soft_wrap=True)
    return 0


def page(found: Run) -> str:
    """The page of a run, as HTML."""
    config, history = found.config, _history(found.folder)
    body = [f"<h1>{escape(config.name)}</h1>", _headline(found, history)]
    body += _section("Pictures", _pictures(found.folder, history))
    sample = found.folder / "sample.txt"
    written = [sample.read_text(encoding="utf-8")] if sample.exists() else []
    body += _section("Sample", [f"<pre>{escape(text)}</pre>" for text in written])
    findings = advice(read_records(found.folder))
    body += _section("Unusual", [f"<p>{escape(line)}</p>" for line in findings])
    body += _section("Epochs", _epochs(history))
    body += _section("Layers", _layers(found))
    body += _section("Configuration", [f"<pre>{escape(to_toml(config))}</pre>"])
    body += _section("Environment", [f"<p>{escape(line)}</p>" for line in _environment()])
    title = escape(config.name)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{title}: gpunet</title><style>{STYLE}</style></head><body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _section(title: str, content: list[str]) -> list[str]:
    return [f"<h2>{title}</h2>", *content] if content else []


def _headline(found: Run, history: list[dict[str, Any]]) -> str:
    config, failure = found.config, found.folder / FAILURE
    done = f"{len(history)} of {config.train.epochs} epochs of {config.task} on {config.data.name}"
    text = f'<p class="note">{escape(done)}</p>'
    if failure.exists():
        text += f'<p class="failed">{escape(failure.read_text(encoding="utf-8"))}</p>'
    return text


def _history(folder: Path) -> list[dict[str, Any]]:
    file = folder / METRICS
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return [json.loads(line) for line in lines]


def _pictures(folder: Path, history: list[dict[str, Any]]) -> list[str]:
    """Those in the folder; the learning curve is drawn where a failed run has none yet."""
    if history and not (folder / "learning_curve.png").exists():
        from gpunet import viz

        viz.learning_curve(history, folder / "learning_curve.png")
    found = []
    for path in sorted(folder.glob("*.png"), key=lambda p: (p.stem != "learning_curve", p.stem)):
        content = base64.b64encode(path.read_bytes()).decode()
        name = escape(path.stem.replace("_", " "))
        found.append(f'<img alt="{name}" title="{name}" src="data:image/png;base64,{content}">')
    return found


def _epochs(history: list[dict[str, Any]]) -> list[str]:
    if not history:
        return []
    names = [name for name in history[0] if name != "samples_per_second"]
    rows = [[_number(record.get(name, "")) for name in names] for record in history]
    return [_table([name.replace("_", " ") for name in names], rows, left=0)]


def _layers(found: Run) -> list[str]:
    lines = summarize(build_model(found.config), *build_example(found.config.data))
    rows = [
        [
            line.name,
            line.kind,
            " × ".join(map(str, line.output)),
            *(f"{n:,}" if n else "" for n in (line.weights, line.biases, line.multiply_adds)),
        ]
        for line in lines
    ]
    total = sum(line.weights + line.biases for line in lines)
    columns = ["", "layer", "output", "weights", "biases", "multiply-adds"]
    return [_table(columns, rows, left=2), f'<p class="note">{total:,} parameters</p>']


def _environment() -> Iterable[str]:
    yield f"gpunet {__version__}, Python {platform.python_version()}, {platform.platform()}"
    yield f"{processor()}, {os.cpu_count()} cores"
    yield ", ".join(installed())


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> str:
    """The first `left` columns are text, the others numbers."""
    kinds = ["" if i < left else ' class="number"' for i in range(len(columns))]

    def line(tag: str, cells: Sequence[str]) -> str:
        made = (
            f"<{tag}{kind}>{escape(cell)}</{tag}>" for kind, cell in zip(kinds, cells, strict=True)
        )
        return f"<tr>{''.join(made)}</tr>"

    return f"<table>{line('th', columns)}{''.join(line('td', row) for row in rows)}</table>"
