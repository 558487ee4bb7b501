"""What is measured: workloads and operations, the rivals of each, and the goals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench import conv, elementwise, images, operations, optimizers, overhead, recurrent, text

NAMES = {
    "gpunet": "gpunet",
    "gpunet-captured": "gpunet, captured",
    "gpunet-cpu": "gpunet on the CPU",
    "torch": "PyTorch",
    "torch-fused": "PyTorch, fused optimizer",
    "torch-channels-last": "PyTorch, channels last",
    "jax": "JAX",
    "numpy": "NumPy",
    "copy": "a copy of as many bytes",
}
CAPTURED, ON_CPU = "gpunet-captured", "gpunet-cpu"  # beside figures of a GPU
PACKAGE = {
    "torch": "torch",
    "torch-fused": "torch",
    "torch-channels-last": "torch",
    "jax": "jax",
    "numpy": "numpy",
    "copy": "torch",
}
TEXT = {
    "W1": "MLP 784–512–512–10, batch 128, Adam: a training step",
    "W1s": "MLP 784–128–10, batch 32, SGD: a training step",
    **images.TEXT,
    **recurrent.TEXT,
    **text.TEXT,
    "W7": "the network of W1, inference of one example",
    "W9": "start of the process to the end of its first W1s step, caches warm",
    **operations.TEXT,
    **elementwise.TEXT,
    **{name: conv.text(name) for name in conv.WORKLOADS},
    **optimizers.TEXT,
    **overhead.TEXT,
}
RIVALS: dict[str, tuple[str, ...]] = {
    "W1": ("torch", "torch-fused", "jax", "numpy"),
    "W1s": ("torch", "jax", "numpy"),
    **dict.fromkeys(images.WORKLOADS, ("torch", "torch-channels-last")),
    **dict.fromkeys(recurrent.WORKLOADS, ("torch",)),
    **dict.fromkeys(text.WORKLOADS, ("torch",)),
    "W7": ("torch", "jax", "numpy"),
    "W9": ("torch", "jax", "numpy"),
    **{
        name: ("torch", "numpy") if operation.numpy else ("torch",)
        for name, operation in operations.OPERATIONS.items()
    },
    **dict.fromkeys(elementwise.WORKLOADS, ("torch",)),
    **dict.fromkeys(conv.WORKLOADS, ("torch",)),
    **dict.fromkeys(optimizers.WORKLOADS, optimizers.RIVALS),
    **{
        name: ("torch", "numpy") if name in overhead.FORWARD else ("torch",)
        for name in overhead.WORKLOADS
    },
}
WORKLOADS = tuple(name for name in RIVALS if name[0] == "W" and "-" not in name) + tuple(
    name for name in RIVALS if name.startswith("lstm-")
)
# Of a workload the memory counts, so it has a process of its own; operations share one.
OPERATIONS = (
    *(*operations.WORKLOADS, *elementwise.WORKLOADS),
    *(*optimizers.WORKLOADS, *overhead.WORKLOADS),
)
# What is measured on a GPU. W9 is about the start of a process; the rest is there if it is named.
ON_GPU = (
    *(name for name in WORKLOADS if name != "W9"),
    *(*operations.WORKLOADS, *elementwise.WORKLOADS, *optimizers.WORKLOADS),
)
QUICK = ("W1", "W1s", "W4", "W7", "W9", "op-add", "op-softmax", "op-layer_norm", "op-matmul",
         "W6-copy", "overhead-add", "overhead-linear-forward")  # fmt: skip

# What PyTorch's time over gpunet's should be at least.
GOALS = {"W1": 1.8, "W1s": 1.8, "W2": 1.65, "W2l": 2.0, "W3": 1.25, "W7": 2.0, "W8": 1.2, "W9": 4.0}
GOALS |= {"W4": 1.1, "W5": 1.3, "lstm-b32": 0.9, "lstm-b1": 1.25, "lstm-step": 2.9}
GOALS |= dict.fromkeys(conv.WORKLOADS, 1.0)
GOALS |= {workload: 2.5 for workload in elementwise.W6 if workload != "W6-copy"}


def chosen(names: list[str], quick: bool) -> list[str]:
    """The workloads and operations whose names begin with one of `names`; all, or few if quick.

    A name that is one itself means that one alone.
    """
    if not names:
        return list(QUICK) if quick else list(RIVALS)
    return [
        name
        for name in RIVALS
        if any(name == asked or (asked not in RIVALS and name.startswith(asked)) for asked in names)
    ]


def on_gpu(names: list[str], asked: bool) -> tuple[list[str], str]:
    """Those that are measured on a GPU, and a line about the others; `asked` are all but W9."""
    kept = [name for name in names if name in ON_GPU or (asked and name != "W9")]
    families = {name if name in WORKLOADS else f"{name.split('-')[0]}-" for name in names}
    families -= {name if name in WORKLOADS else f"{name.split('-')[0]}-" for name in kept}
    return kept, f"left out on a GPU: {', '.join(sorted(families))}" if families else ""


def goal_of(workload: str, framework: str) -> float | None:
    """What a rival's time over gpunet's should be at least."""
    if framework == "copy":
        return optimizers.FLOOR
    if workload in optimizers.WORKLOADS:
        return None if framework == "gpunet" else 1.0
    if framework == "gpunet" or workload not in GOALS:
        return None
    return GOALS[workload] if framework == "torch" else 1.0


def share(workload: str) -> float:
    """Of the seconds of measuring."""
    return 0.25 if workload in OPERATIONS or workload in conv.WORKLOADS else 1.0


def moved(workload: str) -> int:
    """Bytes that a step must move; 0 where that is not what it is about."""
    if workload in operations.OPERATIONS:
        return operations.OPERATIONS[workload].moved
    return elementwise.nbytes(workload) or optimizers.nbytes(workload) or 0


def least_bytes(workload: str) -> int:
    """Bytes of the operands and results of a product or convolution, each once; else 0."""
    if workload in operations.OPERATIONS:
        return operations.OPERATIONS[workload].operands_bytes()
    return conv.least_bytes(workload) if workload in conv.WORKLOADS else 0


def multiply_adds(workload: str) -> int:
    """Of a step, where they are the bound."""
    if workload in operations.OPERATIONS:
        return operations.OPERATIONS[workload].multiply_adds
    return conv.multiply_adds(workload) if workload in conv.WORKLOADS else 0


def prepare(framework: str, workload: str, device: str = "cpu") -> Callable[[], Any]:
    """A function that does one step of a workload and returns when it is given to the device."""
    from bench import workloads

    if framework == CAPTURED:
        return _captured(prepare("gpunet", workload, device), device)
    for module in (conv, images, recurrent, text, elementwise, optimizers, overhead, operations):
        if workload in module.WORKLOADS:
            return module.prepare(framework, workload, device)
    return workloads.prepare(framework, workload, device)


def _captured(step: Callable[[], Any], device: str) -> Callable[[], Any]:
    """The step recorded once and launched as a whole, by `gpunet.capture`."""
    import gpunet

    launch, argument = gpunet.capture(lambda _: step()), gpunet.zeros(1, device=device)
    return lambda: launch(argument)
