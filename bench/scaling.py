"""How the time of a step grows: with the batch, the width, the depth, the length of a sequence and
the number of threads; beside PyTorch. `python -m bench.scaling [SWEEP ...]`.

Writes bench/results/scaling.json. The network is W1s's, an MLP with SGD, with one of its sizes
changed; the sequences go through an LSTM, forward and backward.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from bench import THREADS

FILE = Path(__file__).parent / "results" / "scaling.json"
SECONDS, ROUNDS = 0.15, 3
# What each sweep goes through, and the sizes it leaves alone: batch, width, depth; or steps.
SWEEPS: dict[str, tuple[int, ...]] = {
    "batch": (1, 4, 16, 64, 256, 1024),
    "width": (32, 64, 128, 256, 512, 1024),
    "depth": (1, 2, 4, 8, 16),
    "length": (1, 4, 16, 64, 256),
}
TEXT = {
    "batch": "MLP 784–128–10, SGD: examples in a batch",
    "width": "MLP 784–width–10, batch 32, SGD: width",
    "depth": "MLP with layers 128 wide, batch 32, SGD: hidden layers",
    "length": "LSTM 64 to 128, batch 8, forward + backward: steps",
}
FRAMEWORKS = ("gpunet", "torch")
SWEEPS_OF_THREADS = ("batch",)  # that are also measured with one thread


def prepare(framework: str, sweep: str, size: int) -> Callable[[], object]:
    """A function that does one step."""
    package, functional, tensor = {"gpunet": _gpunet, "torch": _torch}[framework]()
    nn = package.nn
    rng = np.random.default_rng(0)
    if sweep == "length":
        layer = nn.LSTM(64, 128)
        x = tensor(rng.standard_normal((size, 8, 64), np.float32))
        gy = tensor(rng.standard_normal((size, 8, 128), np.float32))

        def through_time() -> object:
            layer.zero_grad()
            y = layer(x)[0]
            y.backward(gy)
            return y

        return through_time
    sizes = {"batch": 32, "width": 128, "depth": 1} | {sweep: size}
    widths = [784, *([sizes["width"]] * sizes["depth"]), 10]
    layers = [part for n, m in pairwise(widths) for part in (nn.Linear(n, m), nn.ReLU())]
    model = nn.Sequential(*layers[:-1])
    optimizer = package.optim.SGD(model.parameters(), lr=1e-2)
    x = tensor(rng.standard_normal((sizes["batch"], 784), np.float32))
    t = tensor(rng.integers(0, 10, sizes["batch"]))

    def step() -> object:
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(x), t)
        loss.backward()
        optimizer.step()
        return loss

    return step


def _gpunet() -> tuple[Any, Any, Any]:
    import gpunet

    return gpunet, gpunet.functional, gpunet.tensor


def _torch() -> tuple[Any, Any, Any]:
    import os

    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    return torch, torch.nn.functional, torch.from_numpy


def figures(rounds: list[dict[str, float]]) -> dict[str, float]:
    """The fastest of the rounds' times, by size: what the machine's other work did not disturb."""
    return {size: min(found[size] for found in rounds) for size in rounds[0]}


def work(framework: str, sweep: str, seconds: float) -> dict[str, float]:
    """Milliseconds of a step by size, medians, in this process."""
    import time

    found = {}
    for size in SWEEPS[sweep]:
        step = prepare(framework, sweep, size)
        for _ in range(3):  # loads kernels, fills caches
            step()
        times = []
        end = time.perf_counter() + seconds
        while (start := time.perf_counter()) < end or len(times) < 3:
            step()
            times.append(1e3 * (time.perf_counter() - start))
        kept = sorted(times)
        found[str(size)] = kept[len(kept) // 2]
    return found


def run(sweeps: list[str], pythons: dict[str, str], seconds: float, rounds: int) -> dict[str, Any]:
    """{sweep: {"framework, n threads": {size: ms}}}, frameworks in turn."""
    results: dict[str, Any] = {}
    for sweep in sweeps:
        for threads in (THREADS, 1) if sweep in SWEEPS_OF_THREADS else (THREADS,):
            samples: dict[str, list[dict[str, float]]] = {name: [] for name in pythons}
            for _ in range(rounds):
                for framework, python in pythons.items():
                    asked = framework, sweep, str(threads), str(seconds)
                    samples[framework].append(_answer(python, asked))
            for framework, found in samples.items():
                key = f"{framework}, {threads} thread{'s' * (threads > 1)}"
                results.setdefault(sweep, {})[key] = figures(found)
    return results


def _answer(python: str, asked: tuple[str, ...]) -> dict[str, float]:
    """What `work` finds in a process of its own."""
    from bench.measure import variables

    command = [python, "-m", "bench.scaling", "--work", *asked]
    done = subprocess.run(command, capture_output=True, text=True, env=variables(), check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def section(content: dict[str, Any]) -> str:
    """Of docs/benchmarks.md: the pictures and their tables."""
    made = content["machine"]
    lines = [
        "## Scaling",
        "",
        f"{made['processor']}, {made['date']}, commit {made['commit']}. Made by "
        f"`{made['command']}`, figures in `bench/results/scaling.json`: milliseconds of a step, "
        f"the fastest of {made['rounds']} rounds' medians.",
        "",
        "![Time of a step](images/bench-scaling.png)",
        "",
    ]
    for sweep, by_line in content["scaling"].items():
        sizes = list(next(iter(by_line.values())))
        lines += [f"| {TEXT[sweep]} | {' | '.join(sizes)} |", "|---" + "|---:" * len(sizes) + "|"]
        for name, found in by_line.items():
            cells = " | ".join(f"{found[size]:.3f}" for size in sizes)
            lines.append(f"| {name.replace('torch', 'PyTorch')} | {cells} |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.scaling", description=__doc__)
    parser.add_argument("sweeps", nargs="*", metavar="SWEEP", help=f"of {', '.join(SWEEPS)}")
    parser.add_argument("--rivals-python", default=sys.executable, metavar="PATH")
    parser.add_argument("--work", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        framework, sweep, threads, seconds = options.work
        from bench import limit_threads

        limit_threads(int(threads))
        print(json.dumps(work(framework, sweep, float(seconds))))
        return
    from bench.machine import machine
    from bench.measure import find_rivals

    rivals, versions = find_rivals(options.rivals_python, ["torch"])
    pythons = {"gpunet": sys.executable} | {f: p for f, p in rivals.items() if f in FRAMEWORKS}
    made = machine(versions, "python -m bench.scaling") | {"rounds": ROUNDS}
    before = json.loads(FILE.read_text()) if FILE.exists() else {}
    kept = before["scaling"] if before.get("machine") == made else {}
    found = run(options.sweeps or list(SWEEPS), pythons, SECONDS, ROUNDS)
    content = {"machine": made, "scaling": {**kept, **found}}
    FILE.write_text(json.dumps(content, indent=1) + "\n")
    print(f"written: {FILE}")


if __name__ == "__main__":
    main()
