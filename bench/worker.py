"""One framework in one process: `python -m bench.worker FRAMEWORK NAME[,NAME...] SECONDS [DEVICE]`.

Prints a JSON object by name: the time of each step in milliseconds (`ms`), what came before (to
import the framework, to build what is measured, its first step), the peak memory in MiB, what other
processes took of the cores meanwhile and, of convolutions, `bench.conv.memory_share`. On a GPU also
what it takes to bring the batch there. With 0 seconds there is the first step alone.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.workloads import limit_threads

WARM_UP = 0.3  # of the measuring time
BATCH_BYTES = {"W1": 128 * 784 * 4, "W1s": 32 * 784 * 4, "W2": 64 * 784 * 4, "W2l": 128 * 784 * 4}
BATCH_BYTES |= {"W3": 32 * 3072 * 4, "W4": 2 * 64 * 32 * 8, "W7": 784 * 4, "W8": 2 * 12 * 64 * 8}


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
    wait = waiting(framework, device)
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
    if device != "cpu" and name in BATCH_BYTES:
        result["transfer_ms"] = transfer_ms(framework, BATCH_BYTES[name], device, wait)
    result["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"ms": times, **result}


def waiting(framework: str, device: str) -> Callable[[], None]:
    """A function that returns when the device has done all it was given."""
    if device == "cpu":
        return lambda: None
    if framework == "gpunet":
        from gpunet import backend

        return backend.get(device).synchronize
    import torch

    return torch.cuda.synchronize


def transfer_ms(framework: str, nbytes: int, device: str, wait: Callable[[], None]) -> float:
    """To bring so many bytes to the device, median of several."""
    import numpy as np

    from bench import on

    host = np.zeros(nbytes, np.uint8)
    tensor = importlib.import_module(framework).tensor
    times = []
    for _ in range(20):
        start = time.perf_counter()
        on(tensor(host), device)
        wait()
        times.append(1e3 * (time.perf_counter() - start))
    return sorted(times)[len(times) // 2]


def main() -> None:
    framework, names, seconds, *device = sys.argv[1:]
    limit_threads()
    start = time.perf_counter()
    importlib.import_module(framework.split("-")[0])
    imported = 1e3 * (time.perf_counter() - start)
    found = {
        name: {
            "import_ms": imported,
            **measure(framework, name, float(seconds), *device or ["cpu"]),
        }
        for name in names.split(",")
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
