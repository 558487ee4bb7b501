"""Where two workloads spend their time: writes bench/results/profile-NAME.json.

`python -m bench.profiles` profiles steps of W1s, which overhead binds, and of W4, which arithmetic
does. The shares are of the steps as they are with the profiler's own time taken out; the time of a
step without it stands beside.
"""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import limit_threads

STEPS = {"W1s": 2000, "W4": 30}
RESULTS = Path(__file__).parent / "results"
LEAST = 0.01  # of the time, from which a row stands alone


def measure(name: str, steps: int) -> dict[str, Any]:
    """Rows of a profile, in milliseconds a step, and the time of a step without the profiler."""
    import gpunet
    from bench import plan

    step = plan.prepare("gpunet", name)
    times = []
    for number in range(steps):
        start = time.perf_counter()
        step()
        if number >= steps // 5:
            times.append(1e3 * (time.perf_counter() - start))
    with gpunet.profile() as profile:
        for _ in range(steps):
            step()
    rows = []
    for row in profile.rows():
        of_step = asdict(row) | {"ms": 1e3 * row.seconds / steps, "calls": row.calls / steps}
        of_step |= {"made": row.made / steps, "kept": row.kept / steps}
        of_step["of_floor"] = row.floor / row.seconds if row.floor else None
        rows.append({k: v for k, v in of_step.items() if k not in ("seconds", "floor")})
    return {
        "step_ms": statistics.mean(times),
        "profiled_ms": 1e3 * profile.seconds / steps,
        "recorder_ms": 1e3 * profile.recording / steps,
        "peak_bytes": profile.peak,
        "rows": rows,
    }


def section(content: dict[str, Any], workload: str) -> str:
    """Of docs/benchmarks.md."""
    from bench import plan
    from gpunet.profiling.table import size

    made, found = content["machine"], content["profile"]
    lines = [
        f"### {workload}: {plan.TEXT[workload]}",
        "",
        f"{made['processor']}, {made['threads']} threads, {made['date']}, commit {made['commit']}. "
        f"Made by `{made['command']}`. A step takes {found['step_ms']:.3f} ms; as it was profiled "
        f"{found['profiled_ms']:.3f} ms, without the {found['recorder_ms']:.3f} ms of the recorder "
        f"itself. {size(found['peak_bytes']) or 'Nothing'} in arrays from 64 KiB on at the most.",
        "",
        "| | layer | operation | share | ms | made | kept | of the floor |",
        "|---|---|---|---:|---:|---:|---:|---:|",
    ]
    rest = [0.0, 0.0]
    for row in found["rows"]:
        if row["share"] < LEAST:
            rest = [rest[0] + row["share"], rest[1] + row["ms"]]
            continue
        floor = "" if row["of_floor"] is None else f"{row['of_floor']:.0%}"
        cells = [row["kind"], row["layer"], row["name"], f"{row['share']:.1%}", f"{row['ms']:.4f}"]
        lines.append(f"| {' | '.join([*cells, size(row['made']), size(row['kept']), floor])} |")
    if rest[0]:
        lines.append(f"| all others | | | {rest[0]:.1%} | {rest[1]:.4f} | | | |")
    return "\n".join([*lines, ""])


def main() -> None:
    limit_threads()
    from bench.machine import machine

    for name, steps in STEPS.items():
        content = {
            "machine": machine({}, "python -m bench.profiles"),
            "profile": measure(name, steps),
        }
        file = RESULTS / f"profile-{name}.json"
        file.write_text(json.dumps(content, indent=1) + "\n")
        print(f"written: {file}")


if __name__ == "__main__":
    main()
