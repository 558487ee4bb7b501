"""Starts the workers, framework by framework in turns, and adds their figures up."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import plan
from bench.machine import TOP

COMPILED = ("W1s", "W1", "W2", "W4")  # of which the very first run is measured, nothing compiled
NOISY = 0.15  # cores that other processes kept busy, from which a figure is not to be trusted
Tell = Callable[[str], None]
# Figures by framework and name; of what failed, {"failed": why}.
Found = dict[str, dict[str, dict[str, Any]]]


@dataclass(frozen=True)
class Process:
    """What one process measures: workloads and operations, by framework."""

    python: str
    device: str
    names: dict[str, list[str]]

    @property
    def package(self) -> str:
        """What it imports."""
        return next(iter(self.names)).split("-")[0]

    def request(self, seconds: float) -> str:
        """What a worker is asked for."""
        return json.dumps({"device": self.device, "seconds": seconds, "asked": self.names})

    def failed(self, why: str) -> Found:
        """What there is instead of figures."""
        return {f: {name: {"failed": why} for name in names} for f, names in self.names.items()}

    def run(self, seconds: float, **environment: str) -> Found:
        """Figures of a process that is started for that alone."""
        worker = Worker(self.python, self.package, self.request(seconds), **environment)
        with worker:
            return worker.answer_to(self)

    def __str__(self) -> str:
        (framework, names), *_ = self.names.items()
        return f"{names[0]}{' ...' if names[1:] else ''} {framework}"


class Worker:
    """A process of `bench.worker`, from its start to the end of the `with` block."""

    def __init__(self, python: str, package: str, *requests: str, **environment: str):
        self._errors = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            [python, "-m", "bench.worker", package, *requests],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=TOP,
            env=variables(**environment),
        )

    def answer_to(self, process: Process, request: str = "") -> Found:
        """What it says to a request, or to that with which it was started."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            print(request, end="\n" if request else "", file=self._process.stdin, flush=True)
        except BrokenPipeError:
            pass  # it has ended, and says why
        line = self._process.stdout.readline()
        found = json.loads(line) if line else {"failed": self._last_words()}
        return process.failed(found["failed"]) if "failed" in found else found

    def _last_words(self) -> str:
        self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines()
        return lines[-1] if lines else f"a process ended with {self._process.returncode}"

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()  # ends its input, and so itself
        self._errors.close()


def variables(**more: str) -> dict[str, str]:
    """The environment of a process that measures."""
    # Warm caches include Python's own, also where the environment forbids to write them.
    inherited = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    paths = f"{TOP}{os.pathsep}{inherited.get('PYTHONPATH', '')}".rstrip(os.pathsep)
    return {**inherited, "PYTHONPATH": paths, **more}


class Workers(ExitStack):
    """A worker for each interpreter, framework and device, started when it is first asked."""

    def __init__(self) -> None:
        super().__init__()
        self._workers: dict[tuple[str, str, str], Worker] = {}

    def run(self, process: Process, seconds: float) -> Found:
        key = process.python, process.package, process.device
        if key not in self._workers:
            self._workers[key] = self.enter_context(Worker(process.python, process.package))
        return self._workers[key].answer_to(process, process.request(seconds))


def from_start_to_end(process: Process) -> Found:
    """W9: what a process takes, from its start to the end of its first step of W1s."""
    (framework,) = process.names
    begun = time.perf_counter()
    found = Process(process.python, process.device, {framework: ["W1s"]}).run(0)[framework]["W1s"]
    took = 1e3 * (time.perf_counter() - begun)
    return {framework: {"W9": found if "failed" in found else {**found, "ms": [took]}}}


def run(
    names: list[str], rivals: dict[str, str], seconds: float, rounds: int, device: str, tell: Tell
) -> tuple[dict[str, Any], dict[str, str]]:
    """Frameworks in turn: {workload: {framework: figures}}, and what failed, {what: why}.

    In the first round processes are started for what they measure alone, and the peak of their
    memory counts. In the others they are forked, which saves a third of the time; they share pages
    with the one that they come from.

    Args:
        rivals: for each rival that is there, the interpreter that has it.
        seconds: of measuring, a round; operations and convolutions take a quarter of it.
        tell: is called with what is being measured.
    """
    samples: dict[str, dict[str, list[Any]]] = {name: {} for name in names}
    if device != "cpu":
        tell("the kernels of both compile")
        warm_up(names, device)
    with Workers() as workers:
        for group, number in turns(names, rounds, device):
            for process in processes(group, rivals, device):
                tell(str(process))
                if group == ["W9"]:
                    found = from_start_to_end(process)
                    if not number:
                        continue  # its files are in the system's cache from now on
                elif number == 1:
                    found = process.run(seconds)
                else:
                    found = workers.run(process, seconds)
                for framework, by_name in found.items():
                    if process.device != device:
                        framework = plan.ON_CPU
                    for name, figures in by_name.items():
                        samples[name].setdefault(framework, []).append(figures)
    return summed_up(samples)


def turns(names: list[str], rounds: int, device: str) -> Iterator[tuple[list[str], int]]:
    """Each group, with the number of the round; W9 has one before, which does not count."""
    for group in groups(names, device):
        for number in range(0 if group == ["W9"] else 1, rounds + 1):
            yield group, number


def groups(names: list[str], device: str) -> list[list[str]]:
    """What shares a process: operations, and on a GPU everything."""
    if device != "cpu":
        return [names]
    operations = [name for name in names if name in plan.OPERATIONS]
    alone = [[name] for name in names if name not in operations]
    return alone + ([operations] if operations else [])


def processes(group: list[str], rivals: dict[str, str], device: str) -> list[Process]:
    """A process for each framework; on a GPU one for all of PyTorch's, and gpunet on the CPU."""
    asked = {f: [n for n in group if f in plan.RIVALS[n]] for f in rivals}
    asked = {framework: mine for framework, mine in asked.items() if mine}
    ours = Process(sys.executable, device, {"gpunet": group})
    if device == "cpu":
        return [ours] + [Process(rivals[f], device, {f: mine}) for f, mine in asked.items()]
    found = [ours]
    if workloads := [name for name in group if name in plan.WORKLOADS]:
        ours.names[plan.CAPTURED] = workloads
        found.append(Process(sys.executable, "cpu", {"gpunet": workloads}))
    if asked:
        found.append(Process(rivals[next(iter(asked))], device, asked))
    return found


def warm_up(names: list[str], device: str) -> None:
    """The first steps on the GPU and on the CPU, side by side: compiled kernels are kept."""
    ours = processes(names, {}, device)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda process: process.run(0), ours))


def summed_up(
    samples: dict[str, dict[str, list[Any]]],
) -> tuple[dict[str, Any], dict[str, str]]:
    """Figures of the rounds, where none failed; nothing of a workload that gpunet failed."""
    failures = {
        f"{name}, {plan.NAMES[framework]}": found["failed"]
        for name, by_framework in samples.items()
        for framework, rounds in by_framework.items()
        for found in rounds
        if "failed" in found
    }
    results: dict[str, Any] = {}
    for name, by_framework in samples.items():
        figures = {
            framework: figures_of(rounds)
            for framework, rounds in by_framework.items()
            if not any("failed" in found for found in rounds)
        }
        if "gpunet" in figures:
            results[name] = figures
    add_rates(results)
    return results, failures


def add_compiling(results: dict[str, Any], tell: Tell) -> None:
    """What the very first step takes, with no kernel compiled yet."""
    for name in COMPILED:
        if name in results:
            tell(f"{name} gpunet, nothing compiled")
            with tempfile.TemporaryDirectory() as folder:
                fresh = Process(sys.executable, "cpu", {"gpunet": [name]})
                found = fresh.run(0, XDG_CACHE_HOME=folder)["gpunet"][name]
            if "failed" not in found:
                results[name]["gpunet"]["compile_ms"] = found["first_ms"]


def figures_of(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """One framework's figures, of all rounds."""
    medians = [statistics.median(found["ms"]) for found in rounds]
    figures = {
        "median_ms": statistics.median(medians),
        "fastest_round_ms": min(medians),
        "slowest_round_ms": max(medians),
        "steps": sum(len(found["ms"]) for found in rounds),
        "peak_mib": max(found["peak_mib"] for found in rounds),
    }
    for key in ("import_ms", "prepare_ms", "first_ms", "others", "transfer_ms"):
        if values := [found[key] for found in rounds if key in found]:
            figures[key] = statistics.median(values)
    if parts := [found["parts"] for found in rounds if "parts" in found]:
        figures["parts"] = {name: min(found[name] for found in parts) for name in parts[0]}
    if shares := [found["memory_share"] for found in rounds if "memory_share" in found]:
        figures["memory_share"] = max(shares)
    return figures


def add_rates(results: dict[str, Any]) -> None:
    """GB/s and GFLOP/s, and their shares of the best copy and the best large product of the run."""
    for name, frameworks in results.items():
        for figures in frameworks.values():
            if nbytes := plan.moved(name):
                figures["gb_per_s"] = nbytes / figures["median_ms"] / 1e6
            if count := plan.multiply_adds(name):
                figures["gflop_per_s"] = 2 * count / figures["median_ms"] / 1e6
    for rate, share, of in (
        ("gb_per_s", "share_of_copy", "W6-copy"),
        ("gflop_per_s", "share_of_product", "op-matmul"),
    ):
        best = max((figures[rate] for figures in results.get(of, {}).values()), default=0.0)
        for frameworks in results.values() if best else ():
            for figures in frameworks.values():
                if rate in figures:
                    figures[share] = figures[rate] / best


def find_rivals(python: str, asked: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """The rivals `python` has, as {framework: python}, and their versions, {package: version}."""
    names = sorted(set(plan.PACKAGE.values()) & set(asked))
    code = f"""if True:
        import json
        from importlib import metadata
        have = {{d.metadata["Name"]: d.version for d in metadata.distributions()}}
        print(json.dumps({{n: have[n] for n in {names} if n in have}}))"""
    found = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    versions = json.loads(found.stdout)
    rivals = {
        name: sys.executable if package == "numpy" else python
        for name, package in plan.PACKAGE.items()
        if package in versions
    }
    return rivals, versions


def keep(file: Path, made: dict[str, Any], results: dict[str, Any], **more: Any) -> None:
    """Writes the figures; those of other workloads stay if made in the same circumstances.

    Args:
        more: what else the file shall have.
    """
    if file.exists():
        before = json.loads(file.read_text())
        if {**before["machine"], "command": made["command"]} == made:
            if made["command"] not in before["machine"]["command"]:
                made["command"] = f"{before['machine']['command']}`, `{made['command']}"
            results = {**before["workloads"], **results}
    file.write_text(json.dumps({"machine": made, "workloads": results, **more}, indent=1) + "\n")
