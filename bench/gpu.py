"""Speed on a GPU: `python -m bench.gpu` prints the tables, and keeps the figures.

First what this GPU can do is measured: GB/s of a copy, TFLOP/s of a matrix product, microseconds of
a launch. Then each kernel, between two events, against the least time that its bytes and its
operations take at those rates; then whole steps, forward and backward, beside PyTorch's in the same
run. 64 Mi elements are more than any cache holds. PyTorch's convolutions may round to TF32 unless
told otherwise; here they are told.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import keep_all_bits, kernels
from bench.machine import machine, told
from gpunet import backend
from gpunet.backend import Backend
from gpunet.backend.cuda import probe

console = Console(highlight=False)
RESULTS = Path(__file__).parent / "results"
REPEATS = 20
PRODUCT = 4096  # rows and columns of the matrices
START = time.perf_counter()


# --- what the GPU can do


def median_ms(gpu: Any, step: Callable[[], object], repeats: int = REPEATS) -> float:
    """Of a step on the device, between events; after one that does not count."""
    step()
    events = [gpu.event()]
    for _ in range(repeats):
        step()
        events.append(gpu.event())
    gpu.synchronize()
    pairs = zip(events[1:], events, strict=False)
    return statistics.median(after.milliseconds_since(before) for after, before in pairs)


def copy_rate(be: Backend, n: int) -> float:
    """GB/s of a copy of n float32 numbers, read and written."""
    x, y = be.full((n,), 1.0, "float32"), be.empty((n,), "float32")

    def copy() -> None:
        y[...] = x

    return 2 * x.nbytes / median_ms(be.gpu, copy) / 1e6


def product_rate(be: Backend, size: int, dtype: str = "float32") -> float:
    """TFLOP/s of a product of two matrices, of float32 with all their bits."""
    x = be.full((size, size), 1.0, dtype)
    return 2 * size**3 / median_ms(be.gpu, lambda: be.matmul(x, x)) / 1e9


def product_rates(be: Any, size: int) -> dict[str, float]:
    """TFLOP/s of products of float32, of float32 rounded to TF32, and of float16."""
    found = {"float32": product_rate(be, size)}
    be.allow_tf32 = True
    try:
        found["tf32"] = product_rate(be, size)
    finally:
        be.allow_tf32 = False
    return {**found, "float16": product_rate(be, size, "float16")}


def launch_us(be: Backend, launches: int = 2000) -> float:
    """Microseconds of Python for one checked launch, of a kernel that is done sooner."""
    x = be.full((10,), 1.0, "float32")
    out = be.empty((10,), "float32")
    be.activation.relu_fwd(x, out=out)
    be.synchronize()
    start = time.perf_counter()
    for _ in range(launches):
        be.activation.relu_fwd(x, out=out)
    took = time.perf_counter() - start
    be.synchronize()
    return 1e6 * took / launches


# --- kernels and steps


def kernel_figures(
    be: Backend, n: int, copy: float, product: float, repeats: int = REPEATS
) -> dict[str, dict[str, Any]]:
    """For each kernel and dtype: ms, GB/s or TFLOP/s, and the share of its floor."""
    found: dict[str, dict[str, Any]] = {}
    for work in kernels.WORKS:
        for dtype in kernels.DTYPES:
            for name, one in kernels.measure(be, work, n, dtype, repeats).items():
                key = f"{name} {dtype}"
                if key in found and found[key]["nbytes"] >= one.nbytes:
                    continue
                found[key] = {
                    "ms": one.ms,
                    "nbytes": one.nbytes,
                    "gb_per_s": one.gb_per_s,
                    "share_of_floor": one.floor_ms(copy, product) / one.ms,
                }
                if one.flops:
                    found[key]["tflop_per_s"] = one.flops / one.ms / 1e9
            be.gpu.release()
    return found


def step_figures(
    be: Backend, n: int, rival: kernels.Torch | None, repeats: int = REPEATS
) -> dict[str, dict[str, float]]:
    """ms of whole steps, forward and backward, of float32: gpunet's and PyTorch's in turn."""
    found: dict[str, dict[str, float]] = {}
    for work in kernels.WORKS:
        step = kernels.prepared(work, kernels.Framework(), n, "float32", be.device)
        found[work.name] = {"gpunet": median_ms(be.gpu, step, repeats)}
        del step
        be.gpu.release()
        if rival is not None and work.rival:
            theirs = kernels.prepared(work, rival, n, "float32", be.device)
            found[work.name]["torch"] = median_ms(TorchGPU(rival.torch), theirs, repeats)
            del theirs
            rival.torch.cuda.empty_cache()
    return found


class TorchGPU:
    """PyTorch's events, as `median_ms` asks for them."""

    def __init__(self, torch: Any):
        self.torch, self.synchronize = torch, torch.cuda.synchronize

    def event(self) -> Any:
        made = self.torch.cuda.Event(enable_timing=True)
        made.record()
        made.milliseconds_since = lambda earlier: earlier.elapsed_time(made)
        return made


def find_torch() -> kernels.Torch | None:
    """PyTorch, if it is here and has a GPU; its products in float32 then keep all bits."""
    try:
        torch = kernels.Torch()
    except ImportError:
        return None
    if not torch.torch.cuda.is_available():
        return None
    keep_all_bits(torch.torch)
    return torch


# --- all of it


def fitting(be: Backend) -> int:
    """Elements for the largest arrays: 64 Mi, or fewer where memory is short."""
    n = kernels.LARGE
    while 64 * n > be.gpu.memory().free:  # eight arrays of float64
        n //= 2
    return n


def measure(be: Backend, n: int, size: int, repeats: int = REPEATS) -> dict[str, Any]:
    """The content of a file of results."""
    rival = find_torch()
    versions = {"torch": rival.torch.__version__} if rival else {}
    copy, products = copy_rate(be, n), product_rates(be, size)
    tell("whole steps")
    steps = step_figures(be, n, rival, repeats)
    tell("every kernel")
    return {
        "machine": machine(versions, "make bench-gpu", be.gpu),
        "copy_gb_per_s": copy,
        "product_tflop_per_s": products,
        "launch_us": launch_us(be),
        "elements": n,
        "steps": steps,
        "kernels": kernel_figures(be, n, copy, products["float32"], repeats),
    }


def tell(what: str) -> None:
    """Says what is measured now, and when."""
    console.print(f"{time.perf_counter() - START:4.0f} s  {what}")


def kernel_rows(content: dict[str, Any]) -> list[tuple[str, ...]]:
    """The table of kernels: name and dtype, ms, GB/s, TFLOP/s, share of the floor."""
    return [
        (
            name,
            f"{one['ms']:.4f}",
            f"{one['gb_per_s']:.0f}",
            f"{one['tflop_per_s']:.1f}" if "tflop_per_s" in one else "",
            f"{one['share_of_floor']:.0%}",
        )
        for name, one in content["kernels"].items()
    ]


def step_rows(content: dict[str, Any]) -> list[tuple[str, ...]]:
    """The table of steps: name, ms of gpunet and PyTorch, their ratio."""
    return [
        (
            name,
            f"{one['gpunet']:.4f}",
            f"{one['torch']:.4f}" if "torch" in one else "",
            f"{one['torch'] / one['gpunet']:.2f}" if "torch" in one else "",
        )
        for name, one in content["steps"].items()
    ]


KERNEL_HEAD = ("kernel", "ms", "GB/s", "TFLOP/s", "of the floor")
STEP_HEAD = ("forward + backward", "gpunet, ms", "PyTorch, ms", "ratio")


def summary(content: dict[str, Any]) -> str:
    """What the GPU can do, in a line."""
    products = content["product_tflop_per_s"]
    return (
        f"a copy reaches {content['copy_gb_per_s']:.0f} GB/s, a product of float32 matrices "
        f"{products['float32']:.1f} TFLOP/s (rounded to TF32 {products['tf32']:.0f}, of float16 "
        f"{products['float16']:.0f}); Python takes {content['launch_us']:.1f} µs for a launch"
    )


def section(content: dict[str, Any], name: str) -> str:
    """Of docs/benchmarks.md."""
    made = content["machine"]
    lines = [
        f"## Kernels on a GPU: {made['device']}, {made['date']}",
        "",
        f"Driver {made['driver']}, {made['processor']}; {told(made, name)} Here "
        f"{summary(content)}. The floor of a kernel is the least time that its bytes and "
        f"operations take at the rates of the copy and of float32; {content['elements']} elements.",
        "",
        "![What kernels reach](images/bench-gpu-kernels.png)",
        "",
    ]
    for head, rows in ((STEP_HEAD, step_rows(content)), (KERNEL_HEAD, kernel_rows(content))):
        lines += [f"| {' | '.join(head)} |", "|---" + "|---:" * (len(head) - 1) + "|"]
        lines += [f"| {' | '.join(row)} |" for row in rows]
        lines.append("")
    return "\n".join(lines)


def show(content: dict[str, Any]) -> None:
    """The tables, and the line about the GPU."""
    console.print(f"{content['machine']['device']}: {summary(content)}")
    for head, rows in ((STEP_HEAD, step_rows(content)), (KERNEL_HEAD, kernel_rows(content))):
        table = Table(*head, box=None, header_style="dim", padding=(0, 2, 0, 0))
        for row in rows:
            table.add_row(*row)
        console.print(table)


def main(arguments: list[str] | None = None) -> str:
    """Measures on cuda:0; what is wrong, or nothing."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__)
    parser.add_argument("--json", type=Path, help="the file; else bench/results/gpu-DEVICE.json")
    file = parser.parse_args(arguments).json
    if reason := probe():
        return f"no GPU, no figures: {reason}"
    be = backend.get("cuda:0")
    content = measure(be, fitting(be), PRODUCT)
    show(content)
    file = file or RESULTS / f"gpu-{be.gpu.name.lower().replace(' ', '-')}.json"
    file.write_text(json.dumps(content, indent=1) + "\n")
    console.print(f"written to {file}")
    return ""


if __name__ == "__main__":
    raise SystemExit(main() or 0)
