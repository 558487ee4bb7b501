"""Speed, as ratios against rivals measured in the same run: `gpunet bench` prints the tables.

Workloads (float32, whole steps, fixed batch, no data loading):

- W1: MLP 784-512-512-10, ReLU, batch 128, cross entropy, Adam: bound by matrix products.
- W1s: MLP 784-128-10, ReLU, batch 32, cross entropy, SGD: bound by overhead.
- W2: PyTorch's MNIST example, two convolutions and two dense layers, batch 64, Adam.
- W2l: LeNet-5, batch 128, SGD with momentum. W3: ResNet-20, batch 32, likewise. Both, and W2, also
  beside PyTorch with channels last (`images.py`).
- W4: LSTM language model of characters; W5: GRU; lstm-b32, lstm-b1, lstm-step (`recurrent.py`).
- W7: inference of one example through the network of W1: bound by reading its weights.
- W8: a small GPT, AdamW (`text.py`).
- W9: from the start of the process to the end of its first W1s step, caches warm.

Operations:

- op-: one function forward, on arrays that no cache holds, or a product of matrices
  (`operations.py`). Bytes are compared with those of a copy, multiply-adds with a large product's.
- W6-: activations on 16 Mi elements, forward and backward: bound by memory (`elementwise.py`).
- conv-: convolutions alone, forward or backward, and the memory they take (`conv.py`).
- overhead-: an operation on next to nothing: from Python to the kernel and back (`overhead.py`).

Every framework runs in processes of its own (two thread pools in one process disturb each other),
in turns with the others, several rounds each; the figure is the median over all rounds. On a GPU
(`--device cuda:0`) one process measures all of a framework, and another gpunet on the CPU there;
`gpu.py` times every kernel.

`scaling.py` goes through batch sizes, widths, depths and lengths; `profiles.py` writes down where
two workloads spend their time; `report.py` makes docs/benchmarks.md of all of it.
"""

import os
from typing import Any

THREADS = 2  # of every framework


def limit_threads(count: int = THREADS) -> None:
    """Must run before NumPy or a framework is imported."""
    for name in (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "GPUNET_NUM_THREADS",
    ):
        os.environ[name] = str(count)
    os.environ["JAX_PLATFORMS"] = "cpu"
    cores = sorted(os.sched_getaffinity(0))[:count]  # JAX takes as many threads as cores
    os.sched_setaffinity(0, cores)


def keep_all_bits(torch: Any) -> None:
    """PyTorch's products and convolutions in float32 on a GPU don't round to TF32, nor do ours."""
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False


def on(thing: Any, device: str) -> Any:
    """A tensor or model on a device, which has it already if that is the CPU."""
    return thing if device == "cpu" else thing.to(device)
