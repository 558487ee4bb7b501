"""Measures for one framework: `python -m bench.worker PACKAGE`.

It imports the framework, and then answers requests, one a line, in JSON:

    {"device": "cpu", "seconds": 0.45, "asked": {"torch": ["W1"], "torch-fused": ["W1"]}}

Each is measured in a process of its own, forked from this one, which has computed nothing: so the
import is waited for once, while no threads, memory or compiled kernels of one measurement meet the
next. `python -m bench.worker PACKAGE REQUEST` answers one itself and ends.

An answer is an object by framework and name: the time of each step in milliseconds (`ms`), what
came before (to import the framework, to build what is measured, its first step), the peak memory in
MiB, what other processes took of the cores meanwhile and, of convolutions,
`bench.conv.memory_share`. On a GPU the memory is the GPU's, and there is also what it takes to
bring the batch there. With 0 seconds there is the first step alone. Of what raised an error there
is the error (`failed`) alone.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import keep_all_bits, limit_threads, memory, on

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
    if name in conv.WORKLOADS and device == "cpu" and memory.can_begin_anew():
        result["memory_share"] = conv.memory_share(framework, name)
    package = framework.split("-")[0]
    wait, peak_mib = waiting(package, device), peak(package, device)
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


def peak(package: str, device: str) -> Callable[[], float]:
    """A function that returns the peak of the memory in MiB: of the process, or on the device."""
    gc.collect()  # nothing is left of what was measured before
    if device == "cpu":
        if package == "gpunet":
            from gpunet.backend.cpu.memory import cache

            cache.clear()
        memory.begin_anew()
        return lambda: memory.peak() / 2**20
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


def answer(request: dict[str, Any], imported_ms: float) -> dict[str, Any]:
    """{framework: {name: figures}} of the names asked for, by framework."""
    from bench import plan

    device, seconds = request["device"], request["seconds"]
    package = next(iter(request["asked"])).split("-")[0]
    if package == "torch" and device != "cpu":
        keep_all_bits(importlib.import_module(package))
    waiting(package, device)()  # a GPU is opened now, not in the first that is measured
    return {
        framework: {
            name: {
                "import_ms": imported_ms,
                **tried(framework, name, plan.share(name) * seconds, device),
            }
            for name in names
        }
        for framework, names in request["asked"].items()
    }


def in_a_child(request: dict[str, Any], imported_ms: float) -> dict[str, Any]:
    """The answer of a forked process; if it ends without one, `{"failed": why}`."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            with os.fdopen(writing, "w") as pipe:
                json.dump(answer(request, imported_ms), pipe)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return json.loads(text) if code == 0 else {"failed": f"a process ended with {code}"}


def main() -> None:
    package, *requests = sys.argv[1:]
    limit_threads()
    # Whatever a framework prints shall not be taken for an answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    start = time.perf_counter()
    importlib.import_module(package)
    imported_ms = 1e3 * (time.perf_counter() - start)
    answered = answer if requests else in_a_child
    for line in requests or sys.stdin:
        print(json.dumps(answered(json.loads(line), imported_ms)), file=answers, flush=True)


if __name__ == "__main__":
    main()
