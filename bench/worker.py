"""One process of measuring: `python -m bench.worker SECONDS DEVICE FRAMEWORK=NAME[,NAME...] ...`.

The frameworks are one, or PyTorch with several settings. Prints a JSON object by framework and
name: the time of each step in milliseconds (`ms`), what came before (to import the framework, to
build what is measured, its first step), the peak memory in MiB, what other processes took of the
cores meanwhile and, of convolutions, `bench.conv.memory_share`. On a GPU the memory is the GPU's,
and there is also what it takes to bring the batch there. With 0 seconds there is the first step
alone. Of what raised an error there is the error (`failed`) alone.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import keep_all_bits, limit_threads, on

WARM_UP = 0.3  # of the measuring time
BATCH_BYTES = {"W1": 128 * 784 * 4, "W1s": 32 * 784 * 4, "W2": 64 * 784 * 4, "W2l": 128 * 784 * 4}
BATCH_BYTES |= {"W3": 32 * 3072 * 4, "W4": 2 * 64 * 32 * 8, "W7": 784 * 4, "W8": 2 * 12 * 64 * 8}
BATCH_BYTES |= {"W5": 50 * 32 * 256 * 4, "lstm-b32": 64 * 32 * 128 * 4}
BATCH_BYTES |= {"lstm-b1": 64 * 128 * 4, "lstm-step": 128 * 4}


class Neighbours:
    """What other processes take of the cores, from one call to the next."""

    def __init__(self) -> None:
        self.before = self._now()

    def cores(self) -> float:
        """Cores that they kept busy since the last call, on average."""
        before, self.before = self.before, self._now()
        wall, busy, own = (b - a for a, b in zip(before, self.before, strict=True))
        return max(0.0, (busy - own) / wall) if wall else 0.0

    @staticmethod
    def _now() -> tuple[float, float, float]:
        used = resource.getrusage(resource.RUSAGE_SELF)
        own = used.ru_utime + used.ru_stime
        try:
            fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
        except OSError:  # not Linux
            return time.perf_counter(), own, own
        user, nice, system, _, _, irq, softirq, steal = map(int, fields)
        ticks = user + nice + system + irq + softirq + steal
        return time.perf_counter(), ticks / os.sysconf("SC_CLK_TCK"), own


def measure(framework: str, name: str, seconds: float, device: str) -> dict[str, Any]:
    """Figures of one workload or operation."""
    from bench import conv, overhead, plan

    result: dict[str, Any] = {}
    if framework == "gpunet" and name in overhead.WORKLOADS and device == "cpu" and seconds:
        result["parts"] = overhead.parts(name)
    if name in conv.WORKLOADS and device == "cpu" and Path("/proc/self/clear_refs").exists():
        result["memory_share"] = conv.memory_share(framework, name)
    package = framework.split("-")[0]
    wait, peak_mib = waiting(package, device), memory(package, device)
    start = time.perf_counter()
    step = plan.prepare(framework, name, device)
    wait()
    prepared = time.perf_counter()
    step()
    wait()
    result["prepare_ms"] = 1e3 * (prepared - start)
    result["first_ms"] = 1e3 * (time.perf_counter() - prepared)
    neighbours = Neighbours()
    times = []
    for limit, kept in ((WARM_UP * seconds, False), (seconds, True)):
        end = time.perf_counter() + limit
        while (start := time.perf_counter()) < end:
            step()
            wait()
            if kept:
                times.append(1e3 * (time.perf_counter() - start))
    if seconds:
        result["others"] = neighbours.cores()
    result["peak_mib"] = peak_mib()
    if device != "cpu" and name in BATCH_BYTES:
        result["transfer_ms"] = transfer_ms(framework, BATCH_BYTES[name], device, wait)
    return {"ms": times, **result}


def waiting(package: str, device: str) -> Callable[[], None]:
    """A function that returns when the device has done all it was given."""
    if device == "cpu":
        return lambda: None
    if package == "gpunet":
        from gpunet import backend

        return backend.get(device).synchronize
    import torch

    return torch.cuda.synchronize


def memory(package: str, device: str) -> Callable[[], float]:
    """A function that returns the peak of the memory in MiB: of the process, or on the device."""
    if device == "cpu":
        return lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    gc.collect()  # nothing is left of what was measured before
    if package == "gpunet":
        from gpunet import backend

        gpu: Any = backend.get(device)
        gpu.gpu.release()
        return lambda: _held(gpu.gpu.memory()) / 2**20  # what was ever in use, the pool keeps
    import torch

    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    return lambda: torch.cuda.max_memory_reserved() / 2**20


def _held(memory: Any) -> int:
    return memory.used + memory.kept


def transfer_ms(framework: str, nbytes: int, device: str, wait: Callable[[], None]) -> float:
    """To bring so many bytes to the device, median of several."""
    import numpy as np

    host = np.zeros(nbytes, np.uint8)
    tensor = importlib.import_module(framework.split("-")[0]).tensor
    times = []
    for _ in range(20):
        start = time.perf_counter()
        on(tensor(host), device)
        wait()
        times.append(1e3 * (time.perf_counter() - start))
    return sorted(times)[len(times) // 2]


def tried(framework: str, name: str, seconds: float, device: str) -> dict[str, Any]:
    """Figures, or why there are none: the rest is measured all the same."""
    try:
        return measure(framework, name, seconds, device)
    except Exception as error:
        return {"failed": " ".join(f"{type(error).__name__}: {error}".split())}


def work(seconds: float, device: str, asked: dict[str, list[str]]) -> dict[str, Any]:
    """{framework: {name: figures}} of the names asked for, by framework."""
    package = next(iter(asked)).split("-")[0]
    start = time.perf_counter()
    module = importlib.import_module(package)
    imported = 1e3 * (time.perf_counter() - start)
    from bench import plan

    if package == "torch" and device != "cpu":
        keep_all_bits(module)
    waiting(package, device)()  # a GPU is opened now, not in the first that is measured
    return {
        framework: {
            name: {
                "import_ms": imported,
                **tried(framework, name, plan.share(name) * seconds, device),
            }
            for name in names
        }
        for framework, names in asked.items()
    }


def main() -> None:
    seconds, device, *parts = sys.argv[1:]
    limit_threads()
    asked = {framework: names.split(",") for framework, names in (p.split("=") for p in parts)}
    print(json.dumps(work(float(seconds), device, asked)))


if __name__ == "__main__":
    main()
