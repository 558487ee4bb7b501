"""Starts the workers, framework by framework in turns, and adds their figures up."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from bench import THREADS, conv, plan

TOP = Path(__file__).parent.parent
COMPILED = ("W1s", "W1", "W2", "W4")  # of which the very first run is measured, nothing compiled
NOISY = 0.15  # cores that other processes kept busy, from which a figure is not to be trusted
Tell = Callable[[str], None]


def worker(python: str, *arguments: str, **environment: str) -> dict[str, Any]:
    """What a worker prints."""
    return start([python, "-m", "bench.worker", *arguments], **environment)


def start(command: list[str], **environment: str) -> dict[str, Any]:
    """What a process prints in its last line, as JSON."""
    # Warm caches include Python's own, also where the environment forbids to write them.
    inherited = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    paths = f"{TOP}{os.pathsep}{inherited.get('PYTHONPATH', '')}".rstrip(os.pathsep)
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd=TOP,
        env={**inherited, "PYTHONPATH": paths, **environment},
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def one(python: str, framework: str, names: list[str], seconds: float, device: str) -> Any:
    """A round of one framework: what its worker prints."""
    if names == ["W9"]:
        start = time.perf_counter()
        found = worker(python, framework, "W1s", "0", device)["W1s"]
        return {"W9": {**found, "ms": [1e3 * (time.perf_counter() - start)]}}
    return worker(python, framework, ",".join(names), str(seconds), device)


def run(
    names: list[str], rivals: dict[str, str], seconds: float, rounds: int, device: str, tell: Tell
) -> dict[str, Any]:
    """Frameworks in turn; returns {workload: {framework: figures}}.

    Args:
        rivals: for each rival that is there, the interpreter that has it.
        seconds: of measuring, a round; operations and convolutions take a quarter of it.
        tell: is called with what is being measured.
    """
    pythons = {"gpunet": sys.executable, **rivals}
    results: dict[str, Any] = {name: {} for name in names}
    for group, part in _groups(names):
        frameworks = ["gpunet", *(f for f in rivals if any(f in plan.RIVALS[n] for n in group))]
        samples: dict[str, dict[str, list[Any]]] = {name: {} for name in group}
        for number in range(rounds + (group == ["W9"])):
            for framework in frameworks:
                mine = [n for n in group if framework in ("gpunet", *plan.RIVALS[n])]
                tell(f"{mine[0]}{' ...' if mine[1:] else ''} {framework}")
                found = one(pythons[framework], framework, mine, part * seconds, device)
                if group == ["W9"] and not number:
                    continue  # its files are in the system's cache from now on
                for name, figures in found.items():
                    samples[name].setdefault(framework, []).append(figures)
        for name, by_framework in samples.items():
            results[name] = {f: figures_of(found) for f, found in by_framework.items()}
    add_rates(results)
    return results


def _groups(names: list[str]) -> list[tuple[list[str], float]]:
    """What shares a process, and its share of the seconds: operations; all else is alone."""
    operations = [name for name in names if name in plan.OPERATIONS]
    alone = [
        ([name], 0.25 if name in conv.WORKLOADS else 1.0)
        for name in names
        if name not in operations
    ]
    return alone + ([(operations, 0.25)] if operations else [])


def add_compiling(results: dict[str, Any], tell: Tell) -> None:
    """What the very first step takes, with no kernel compiled yet."""
    for name in COMPILED:
        if name in results:
            tell(f"{name} gpunet, nothing compiled")
            with tempfile.TemporaryDirectory() as folder:
                found = worker(sys.executable, "gpunet", name, "0", XDG_CACHE_HOME=folder)[name]
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


def machine(rival_versions: dict[str, str], command: str, device: str) -> dict[str, Any]:
    """Where and with what the figures were measured."""
    own = {package: metadata.version(package) for package in ("gpunet", "numpy", "numba")}
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
        cwd=TOP,
    )
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": THREADS,
        **({"device": device} if device != "cpu" else {}),
        "versions": {"python": platform.python_version(), **own, **rival_versions},
        "commit": commit.stdout.strip(),
        "command": command,
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def keep(file: Path, made: dict[str, Any], results: dict[str, Any]) -> None:
    """Writes the figures; those of other workloads stay if made in the same circumstances."""
    if file.exists():
        before = json.loads(file.read_text())
        if {**before["machine"], "command": made["command"]} == made:
            if made["command"] not in before["machine"]["command"]:
                made["command"] = f"{before['machine']['command']}`, `{made['command']}"
            results = {**before["workloads"], **results}
    file.write_text(json.dumps({"machine": made, "workloads": results}, indent=1) + "\n")
