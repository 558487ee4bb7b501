"""Every test of tests/test_cases.py on the CUDA backend: its Python, and the .cu kernels.

Without a GPU the kernels run on the host, thread by thread (tests/kernels/host/gpu.py). With one,
the same rows run there as well. What is here is only how a row gets to the device and back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

import gpunet
from gpunet import backend
from gpunet.autograd import Tensor
from gpunet.backend import Backend, cuda
from gpunet.backend.random import random
from tests import test_cases
from tests.cases import Case
from tests.cases.case import SEED, Array, Edge, Invalid
from tests.kernels import needs
from tests.kernels.host.gpu import HostGPU, pretended
from tests.test_cases import (  # noqa: F401
    Run,
    drawn_weights,
    is_smooth,
    parametrize,
    test_determinism,
    test_forward,
    test_fused_activation,
    test_gradient_at_an_edge,
    test_gradient_in_float32,
    test_only_what_is_needed,
    test_purity,
    test_recording,
    test_strided,
)

DEVICES = [
    pytest.param("host", marks=needs.compiler),
    pytest.param("gpu", marks=pytest.mark.gpu),
]


@pytest.fixture(autouse=True, params=DEVICES)
def be(request, monkeypatch) -> Iterator[Backend]:
    """The backend of cuda:0, by which the imported tests run their rows."""
    if request.param == "gpu" and (reason := cuda.probe()):
        pytest.skip(reason)
    with pretended(HostGPU()) if request.param == "host" else nullcontext():
        found = backend.get("cuda:0")

        def run_there(*arguments: Any, **keywords: Any) -> Run:
            return run(found, *arguments, **keywords)

        monkeypatch.setattr(test_cases, "run", run_there)
        yield found


def upload(be: Backend, x: Array) -> Any:
    """A copy of `x` on the device, with the same strides."""
    backwards = tuple(slice(None, None, -1 if stride < 0 else 1) for stride in x.strides)
    forwards = x[backwards]
    gaps = any(stride % x.itemsize or stride > x.nbytes for stride in forwards.strides)
    if x.size < 2 or x.flags.c_contiguous or gaps:
        copy = be.asarray(np.ascontiguousarray(forwards).reshape(x.shape))
        return copy[backwards] if x.size else copy
    # The axes in the order of their strides, and every second element of the last where it skips.
    order = sorted(range(x.ndim), key=lambda i: -forwards.strides[i])
    skip = forwards.strides[order[-1]] // x.itemsize
    inner = np.repeat(forwards.transpose(order), skip, axis=-1)
    copy = be.asarray(np.ascontiguousarray(inner))[..., ::skip]
    return copy.transpose(np.argsort(order).tolist())[backwards]


def run(
    be: Backend,
    function: Callable[..., Tensor],
    case: Case,
    dtype: str,
    *,
    arrays: Sequence[Array] | None = None,
    needs: Sequence[int] | None = None,
    weights: Callable[[Array], Array] = lambda drawn: drawn,
    inspect: Callable[[Tensor], None] = lambda y: None,
) -> Run:
    """What `run` of test_cases.py is, by way of the device; its arrays are those that came back."""
    arrays = case.arrays(dtype) if arrays is None else list(arrays)
    needs = case.differentiable if needs is None else needs
    tensors = [Tensor(upload(be, x), be, i in needs) for i, x in enumerate(arrays)]
    gpunet.manual_seed(SEED)
    with np.errstate(all="ignore") if isinstance(case, Edge) else nullcontext():
        y = case.call(function, tensors)
        inspect(y)
        assert type(y.array) is be.gpu.array
        w = upload(be, weights(drawn_weights(y)))
        if y.requires_grad:
            y.backward(Tensor(w, be))
    result = Tensor(be.to_host(y.array), backend.cpu, y.requires_grad, y.origin)
    gradients = [None if x.grad is None else be.to_host(x.grad.array) for x in tensors]
    inputs = [be.to_host(x.array) for x in tensors]
    return Run(inputs, result, be.to_host(w), gradients)


@parametrize(Case, is_smooth)
def test_gradient(function, case, be):
    """As in test_cases.py; the oracle answers on the host."""

    def reference(*values: Any) -> Any:
        on_host = [be.to_host(x) if type(x) is be.gpu.array else x for x in values]
        return be.asarray(case.answer(on_host))

    for direction in range(3):
        arrays = enumerate(case.arrays("float64"))
        inputs = [Tensor(upload(be, x), be, i in case.differentiable) for i, x in arrays]
        gpunet.manual_seed(SEED)
        random.host.random(direction)
        gpunet.gradcheck(lambda *values: case.call(function, values), inputs, reference=reference)


@parametrize(Invalid)
def test_invalid(function, case, be):
    """As in test_cases.py; what only a kernel can see is said when the result is read."""
    tensors = [Tensor(upload(be, x), be) for x in case.arrays("float64")]
    with pytest.raises(case.error) as caught:
        case.call(function, tensors).numpy()
    assert str(caught.value).startswith(f"{function.__name__}: ")
    assert case.message.replace(" on cpu", " on cuda:0") in str(caught.value)
