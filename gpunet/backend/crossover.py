"""From which sizes the GPU of this machine is faster than its CPU, as `gpunet bench` measured it.

The figures lie beside the compiled CUDA kernels in the user's cache, by the name of the GPU.
"""

from __future__ import annotations

import json
from pathlib import Path

from gpunet.backend.cuda import loader

# What was measured, and in what its size is counted.
UNITS = {
    "elementwise": "numbers of an elementwise function",
    "product": "multiply-adds of a matrix product",
    "step": "multiply-adds of a training step, forward",
}


def _file() -> Path:
    return loader.writable_folder() / "crossover.json"


def _all() -> dict[str, dict[str, int | None]]:
    try:
        content = json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def store(gpu: str, sizes: dict[str, int | None]) -> None:
    """Keeps from which size on a GPU wins, by the keys of `UNITS`; None where it never did."""
    content = json.dumps({**_all(), gpu: sizes}, indent=1)
    _file().write_text(content + "\n", encoding="utf-8")


def known(gpu: str) -> dict[str, int | None]:
    """What is stored for a GPU; nothing if nothing was measured."""
    return _all().get(gpu, {})


def first_win(cpu: dict[int, float], gpu: dict[int, float]) -> int | None:
    """The size from which on the GPU takes less time, there and at all larger ones.

    >>> first_win({1: 1.0, 2: 4.0, 3: 2.0, 4: 9.0}, {1: 3.0, 2: 3.0, 3: 3.0, 4: 3.0})
    4
    """
    found = None
    for size in sorted(cpu, reverse=True):
        if gpu[size] >= cpu[size]:
            break
        found = size
    return found


def describe() -> str:
    """What is known, a line for each GPU that was measured here."""
    lines = []
    for gpu, sizes in _all().items():
        parts = [
            f"{size:,} {UNITS[name]}" if size is not None else f"never in {UNITS[name]}"
            for name, size in sizes.items()
        ]
        lines.append(f"{gpu} is faster from: {'; '.join(parts)}")
    return "\n".join(lines) or "not measured which is faster when: gpunet bench --device cuda"
