"""Every test of tests/test_cases.py on the CUDA backend: its Python, and the .cu kernels.

Without a GPU the kernels run on the host, thread by thread (tests/kernels/host/gpu.py). With one,
the same rows run there as well. What is here is only how a row gets to the device and back.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

import gpunet
from gpunet import backend
from gpunet.autograd import Tensor, engine
from gpunet.backend import Backend, cuda
from gpunet.backend.random import random
from tests import checks
from tests.cases.case import SEED, Array, Case, Edge, Invalid
from tests.checks import Function, Run, drawn_weights
from tests.kernels import needs
from tests.kernels.host.gpu import HostGPU, pretended
from tests.test_cases import (  # noqa: F401
    test_forward,
    test_fused_activation,
    test_gradient,
    test_gradient_at_an_edge,
    test_manners,
    test_only_what_is_needed,
    test_refusal,
    test_rounded_gradient,
    test_strided,
)

DEVICES = [
    pytest.param("host", marks=needs.compiler),
    pytest.param("gpu", marks=pytest.mark.gpu),
]


@pytest.fixture(autouse=True, params=DEVICES)
def be(request, monkeypatch) -> Iterator[Backend]:
    """The backend of cuda:0, on which the imported tests then run their rows."""
    if request.param == "gpu" and (reason := cuda.probe()):
        pytest.skip(reason)
    with pretended(HostGPU()) if request.param == "host" else nullcontext():
        found = backend.get("cuda:0")
        for there in (run, check_gradient, check_refusal):
            monkeypatch.setattr(checks, there.__name__, functools.partial(there, found))
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
    function: Function,
    case: Case,
    dtype: str,
    *,
    arrays: Sequence[Array] | None = None,
    needs: Sequence[int] | None = None,
    weights: Callable[[Array], Array] = lambda drawn: drawn,
    inspect: Callable[[Tensor], None] = lambda y: None,
) -> Run:
    """`run` of tests/checks.py by way of the device; its arrays are those that came back."""
    arrays = case.arrays(dtype) if arrays is None else list(arrays)
    needs = case.differentiable if needs is None else needs
    tensors = [Tensor(upload(be, x), be, i in needs) for i, x in enumerate(arrays)]
    gpunet.manual_seed(SEED)
    with np.errstate(all="ignore") if isinstance(case, Edge) else nullcontext():
        results = case.call(function, tensors)
        results = results if isinstance(results, tuple) else (results,)
        # One bool, say, is on the host: it was read. So is what was made of numbers alone.
        results = tuple(
            y if isinstance(y, Tensor) and arrays else gpunet.tensor(y, None, be.device)
            for y in results
        )
        for y in results:
            inspect(y)
        floating = [y for y in results if y.is_floating_point()]
        given = [upload(be, weights(drawn_weights(y))) for y in floating]
        roots = [(y, w) for y, w in zip(floating, given, strict=True) if y.requires_grad]
        if roots:
            engine.backward([y.origin or y for y, _ in roots], [w for _, w in roots])
    grads = [None if x.grad is None else x.grad.array for x in tensors]
    for array in (*(y.array for y in results), *(g for g in grads if g is not None)):
        assert be.owns(array), f"a {type(array).__name__} is not on the device"
    return Run(
        [be.to_host(x.array) for x in tensors],
        tuple(Tensor(be.to_host(y.array), be, y.requires_grad, y.origin) for y in results),
        [be.to_host(w) for w in given],
        [None if g is None else be.to_host(g) for g in grads],
    )


def check_gradient(be: Backend, function: Function, case: Case) -> None:
    """As in tests/checks.py; the oracle answers on the host."""

    def reference(*values: Any) -> Any:
        on_host = [be.to_host(x) if be.owns(x) else x for x in values]
        return tuple(be.asarray(y) for y in case.answer(on_host))

    for direction in range(3):
        arrays = enumerate(case.arrays("float64"))
        inputs = [Tensor(upload(be, x), be, i in case.differentiable) for i, x in arrays]
        gpunet.manual_seed(SEED)
        random.host.random(direction)
        gpunet.gradcheck(lambda *values: case.call(function, values), inputs, reference=reference)


def check_refusal(be: Backend, function: Function, case: Invalid) -> None:
    """As in tests/checks.py; what only a kernel can see is said when the result is read."""
    tensors = [Tensor(upload(be, x), be) for x in case.arrays("float64")]

    def call() -> None:
        case.call(function, tensors)
        be.synchronize()

    with pytest.raises(case.error) as caught:
        call()
    assert str(caught.value).startswith(f"{function.__name__}: "), str(caught.value)
    assert case.message.replace(" on cpu", " on cuda:0") in str(caught.value), str(caught.value)
