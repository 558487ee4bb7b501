"""One owner of the threads: BLAS has a pool, and nothing else starts one.

Two pools that spin against each other turn a step of 0.4 ms into one of 8 ms. That would be seen in
a count of the process's threads, so no clock is needed.
"""

import json
import sys

import pytest

from tests.process import python

STEP = """
import gc, json, os, sys
{first}
import numpy as np
from gpunet.backend.cpu import blas
np.ones((400, 400), "float32") @ np.ones((400, 400), "float32")
import numba
numba.njit(lambda x: x)(1)  # Numba loads SciPy's BLAS where SciPy is: a pool that sleeps
before = len(os.listdir("/proc/self/task"))

import gpunet
from gpunet import functional as F, nn, optim
from gpunet.backend.cpu.jit import Kernel

gpunet.manual_seed(0)
layers = nn.Linear(256, 512), nn.ReLU(), nn.Dropout(0.2), nn.Linear(512, 10)
model = nn.Sequential(*layers)
x = gpunet.tensor(np.ones((256, 256), "float32"))
t = gpunet.tensor(np.zeros(256, "int64"))
for rule in (optim.SGD, optim.AdamW):
    optimizer = rule(model.parameters(), lr=0.1)
    F.cross_entropy(model(x), t).backward()
    optimizer.step()

try:
    layer = numba.threading_layer()
except ValueError:
    layer = None
kernels = [k for k in gc.get_objects() if type(k) is Kernel]
variants = [variant for k in kernels for variant in k.variants.values()]
print(json.dumps({{
    "before": before,
    "after": len(os.listdir("/proc/self/task")),
    "blas": None if "scipy" in sys.modules else blas.threads(),
    "layer": layer,
    "kernels": len(variants),
    "parallel": [str(v) for v in variants if v.targetoptions.get("parallel")],
}}))
"""

needs_proc = pytest.mark.skipif(
    not sys.platform.startswith("linux"),
    reason="threads are counted in /proc, which only Linux has",
)


@needs_proc
def test_a_training_step_starts_no_thread() -> None:
    done = json.loads(python("-c", STEP.format(first="")))
    assert done["after"] == done["before"]
    assert done["blas"] in (done["before"], None)  # None: there are others, or it cannot be asked
    assert done["layer"] is None, "Numba has started a threading layer"
    assert done["kernels"] >= 8
    assert done["parallel"] == []


@needs_proc
def test_nor_does_it_beside_pytorch() -> None:
    """PyTorch brings OpenMP, which Numba would take for its own pool if it were given any parallel code."""
    pytest.importorskip("torch", reason="PyTorch is not installed: its threads are NOT looked at")
    first = "import warnings; warnings.simplefilter('default'); import torch; torch.ones(300, 300) @ torch.ones(300, 300)"
    done = json.loads(python("-c", STEP.format(first=first)))
    assert done["after"] == done["before"]
    assert done["layer"] is None
    assert done["parallel"] == []
