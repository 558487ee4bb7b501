"""`gpunet info`: what is installed, which devices work, and why others do not."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from typing import Any

from rich.markup import escape
from rich.table import Table

from gpunet import __version__
from gpunet.backend import crossover
from gpunet.backend.cpu import jit, threads
from gpunet.backend.cuda import folder, loader, nvrtc, probe
from gpunet.backend.cuda.probe import devices
from gpunet.cli.console import console

PACKAGES = (
    "numpy",
    "numba",
    "llvmlite",
    "rich",
    "safetensors",
    "ml_dtypes",
    "matplotlib",
    "pillow",
    "tensorboardX",
    "cupy-cuda12x",
    "cupy-cuda13x",
)


def run(options: Any) -> int:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim")
    table.add_column(overflow="fold")  # paths are there to be copied, to the last letter
    table.add_row(
        "gpunet",
        f"{__version__}, Python {platform.python_version()}, "
        f"{platform.system()} {platform.machine()}",
    )
    table.add_row("packages", ", ".join(installed()))
    table.add_row(
        "cpu",
        f"{processor()}, {os.cpu_count()} cores; {threads.count()} threads compute",
    )
    table.add_row("cuda", escape(probe() or "\n".join(devices())))
    if not probe():
        table.add_row("cuda or cpu", escape(crossover.describe()))
    table.add_row("cuda compiler", escape(_nvrtc()))
    table.add_row("cpu kernels", escape(_cache()))
    table.add_row("cuda kernels", escape(loader.state()))
    table.add_row("cuda sources", escape(str(folder())))
    console.print(table)
    return 0


def installed() -> list[str]:
    """Name and version of each of `PACKAGES` that is there."""
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return found


def processor() -> str:
    """What the CPU calls itself."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown processor"


def _nvrtc() -> str:
    compiler = nvrtc.find()
    if compiler is None:
        return "no NVRTC found"
    version = ".".join(map(str, compiler.version))
    headers = "" if compiler.headers else ", without its headers"
    return f"NVRTC {version}{headers} ({compiler.library})"


def _cache() -> str:
    folder = jit.compiler.folder
    if folder is None:
        return f"{jit.cache_folder()} cannot be written: kernels are compiled anew at every start"
    files = [file for file in folder.rglob("*.nbc") if file.is_file()]
    size = sum(file.stat().st_size for file in files)
    return f"{len(files)} compiled, {size / 1e6:.1f} MB in {folder}"
