"""`gpunet warmup`: compiles every CUDA kernel for this machine's GPU, ahead of the first training.

What it makes lies in the user's cache, where later runs find it.
"""

from __future__ import annotations

import time
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from gpunet.backend import cuda
from gpunet.backend.cuda import loader, source
from gpunet.cli.console import console
from gpunet.errors import DeviceError


def run(options: Any) -> int:
    if reason := cuda.probe():
        raise DeviceError("warmup", f"there must be a GPU to compile for, but {reason}")
    gpu = cuda.get(0).gpu
    started = time.perf_counter()
    work = [(family, dtype) for family in source.kernels() for dtype in source.CUDA_TYPES]
    columns = (TextColumn("{task.description:<20}"), BarColumn(bar_width=32), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        bar = bars.add_task("", total=len(work))
        for family, dtype in work:
            bars.update(bar, description=f"{family} {dtype}")
            gpu.load(family, dtype)
            bars.advance(bar)
    count = sum(map(len, source.kernels().values()))
    console.print(
        f"{count} kernels in {len(source.CUDA_TYPES)} dtypes are ready for {gpu.name} "
        f"after {time.perf_counter() - started:.1f} s; {loader.state()}",
        markup=False,
        soft_wrap=True,
    )
    return 0
