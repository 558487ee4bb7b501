"""One framework, one workload, one process: `python -m bench.worker FRAMEWORK WORKLOAD SECONDS`.

Prints a JSON object: the time of each step in milliseconds, the peak memory in MiB and, of
convolutions, `bench.conv.memory_share`. With 0 seconds it does a single step, for the time from the
start of the process.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Any

from bench.workloads import limit_threads

WARM_UP = 0.3  # of the measuring time


def main() -> None:
    framework, workload, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    limit_threads()
    from bench import conv
    from bench.workloads import prepare

    result: dict[str, Any] = {}
    if workload in conv.WORKLOADS:
        result["memory_share"] = conv.memory_share(framework, workload)
    step = prepare(framework, workload)
    step()
    times = []
    for limit, kept in ((WARM_UP * seconds, False), (seconds, True)):
        end = time.perf_counter() + limit
        while (start := time.perf_counter()) < end:
            step()
            if kept:
                times.append(1e3 * (time.perf_counter() - start))
    result["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"ms": times, **result}))


if __name__ == "__main__":
    main()
