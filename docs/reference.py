"""The reference pages, made while the site is built (a hook of MkDocs).

Each module of `gpunet.functional`, `gpunet.nn` and `gpunet.optim` has a page, and so have tensors;
what is on it are the docstrings of the module's public names. There is no list of them: a new
function, layer or module has its page at the next build. Functions of one variable are drawn.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from docs import curves
from gpunet.backend.cuda import evidence, nvrtc, source

PACKAGE = Path(__file__).parent.parent / "gpunet"
# Folders whose modules have a page each, with what of a module is shown.
FAMILIES = {
    "functional": '["!^_", "!^[A-Z]"]',  # functions, not the operations behind them
    "nn": '["!^_"]',
    "optim": '["!^_"]',
    "models": '["!^_"]',
    "text": '["!^_"]',
}
PAGES = {  # further pages: title, and the modules on it
    "tensor": ("Tensors", ["autograd.tensor", "autograd.creation"]),
    "autograd": (
        "Differentiation",
        [
            "autograd.gradient",
            "autograd.gradcheck",
            "autograd.graph",
            "autograd.mode",
            "autograd.op",
        ],
    ),
    "data": (
        "Data",
        ["data.datasets", "data.dataset", "data.folder", "data.loader", "data.transforms"],
    ),
}


# What differs in more than one function; the page goes on with what the functions say themselves.
EVERYWHERE = """# Differences from PyTorch

Names, arguments, defaults, shapes, dtypes and results are PyTorch's, and so are the gradients at
kinks and ties: the tests run their cases through PyTorch, too. What is meant to differ stands here.
"There" is in PyTorch.

## Everywhere

- The first tensor argument of a function, `input` there, is called `x`.
- A dtype is a `numpy.dtype` (`gpunet.float32`), and may be given by name.
- `state_dict` holds NumPy arrays.
- The dtypes are float16, float32, float64, int8, int16, int32, int64, uint8 and bool.
- Where NumPy and PyTorch disagree on the dtype in which operands meet, it is PyTorch's here, too:
  int64 and float32 make float32, where NumPy makes float64.
- Tensors of different devices are refused even if one has no axes; only `copy_` and `to` cross.
- Gradients of gradients (`create_graph`) are not computed.
- There is no `out=`; the methods in place (`x.exp_()`) are there.
"""


def public_names(source: Path) -> list[str]:
    """Public functions and classes written in a file."""
    nodes = ast.parse(source.read_text()).body
    kinds = (ast.FunctionDef, ast.ClassDef)
    return [n.name for n in nodes if isinstance(n, kinds) and not n.name.startswith("_")]


def pages() -> Iterator[tuple[str, str]]:
    """Path and text of every reference page."""
    for name, (title, modules) in PAGES.items():
        yield f"reference/{name}.md", f"# {title}\n\n" + "\n".join(map(_shown, modules))
    for folder, filters in FAMILIES.items():
        for file in sorted((PACKAGE / folder).rglob("[!_]*.py")):
            module = file.relative_to(PACKAGE).with_suffix("").as_posix()
            names = public_names(file)
            if folder == "functional":
                names = [n for n in names if n[0].islower()]
            if not names or file.stem in ("check", "criterion", "promotion"):
                continue
            text = f"# {module.replace('/', ': ').replace('_', ' ')}\n\n"
            drawn = curves.FIGURES.get(f"{folder}.{file.stem}")
            if drawn:
                text += f"![{drawn.title}](../images/{file.stem}.png)\n\n"
            yield f"reference/{module}.md", text + _shown(module.replace("/", "."), filters)


DIFFERS = re.compile(r"^Differs from PyTorch: (.*?)(?:\n\n|\Z)", re.M | re.S)


def differences() -> str:
    """The page of what is not as in PyTorch: what the docstrings of functions say of it."""
    families = []
    for file in sorted((PACKAGE / "functional").glob("[!_]*.py")):
        told = []
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.FunctionDef):
                found = DIFFERS.search(ast.get_docstring(node) or "")
                if found:
                    name, text = node.name, " ".join(found[1].split())
                    page = f"reference/functional/{file.stem}.md"
                    address = f"{page}#gpunet.functional.{file.stem}.{name}"
                    told.append(f"- [`{name}`]({address}): {text}\n")
        if told:
            families.append(f"\n## {file.stem.replace('_', ' ').capitalize()}\n\n{''.join(told)}")
    return EVERYWHERE + "".join(families)


def _shown(module: str, filters: str = '["!^_"]') -> str:
    return f"::: gpunet.{module}\n    options:\n      filters: {filters}\n"


LECTURES = ("lectures.md", "lectures.ru.md")
SOURCE = re.compile(r"\]\(\.\./((?:configs|gpunet|tests)/[\w./]+)\)")  # a file of the repository


def sources(config: MkDocsConfig) -> Iterator[tuple[str, str]]:
    """Path and text of a page for every source that the pages of the lectures lead to."""
    pages = [Path(config.docs_dir, name).read_text(encoding="utf-8") for name in LECTURES]
    for name in sorted({name for page in pages for name in SOURCE.findall(page)}):
        text = (PACKAGE.parent / name).read_text(encoding="utf-8")
        kind = "toml" if name.endswith(".toml") else "python"
        yield f"source/{name}.md", f"# {name}\n\n````{kind}\n{text}````\n"


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """The links to sources that a reader of the repository follows, for a reader of the site."""
    if page.file.src_path in LECTURES:
        return SOURCE.sub(r"](source/\1.md)", markdown)
    return markdown


def kernel_page() -> str:
    """Every CUDA kernel, and whether what was seen of it on a GPU still holds."""
    states = evidence.states(evidence.read(), nvrtc.find())
    lines = [
        "# CUDA kernels",
        "",
        "`kernels/FAMILY.cu` holds the kernels of a family, `gpunet/backend/cpu/FAMILY.py` their",
        "twins. Evidence from a GPU (`make check-gpu`) is *fresh* as long as the sources give the",
        "machine code that was run, else *stale*; *unchecked* where that compiler is missing.",
        "",
    ]
    for family, names in source.kernels().items():
        lines += [f"## {family}", "", "| kernel | on a GPU |", "|---|---|"]
        lines += [f"| `{name}` | {states[name]} |" for name in names]
        lines.append("")
    return "\n".join(lines)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages and the pictures to what MkDocs found in docs/."""
    for path, text in (*pages(), *sources(config)):
        files.append(File.generated(config, path, content=text))
    files.append(File.generated(config, "reference/kernels.md", content=kernel_page()))
    files.append(File.generated(config, "differences.md", content=differences()))
    for name, figure in curves.FIGURES.items():
        path = f"reference/images/{name.rpartition('.')[2]}.png"
        files.append(File.generated(config, path, content=figure.png()))
    return files
