"""Every optimizer on the CUDA backend: several steps, held against the same steps on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gpunet
from gpunet import backend, nn, optim
from gpunet.errors import ArgumentError
from tests.kernels import needs
from tests.kernels.host.array import HostArray
from tests.kernels.host.gpu import HostGPU, pretended
from tests.optim.rules import OPTIONS

pytestmark = needs.compiler

SHAPES = ((3, 5), (), (0,), (5000,))  # the last is more than one block's work


def train(device: str, rule: str, options: dict[str, Any], dtype: str) -> tuple[Any, list[Any]]:
    """An optimizer after some steps, and its parameters, on the host."""
    rng = np.random.default_rng(0)
    parameters = [
        gpunet.tensor(rng.normal(0, 1, shape), dtype, device, requires_grad=True)
        for shape in SHAPES
    ]
    optimizer = getattr(optim, rule)(parameters, lr=0.01, **options)
    for _ in range(7):
        for p in parameters:
            p.grad = gpunet.tensor(rng.normal(0, 1, p.shape), dtype, device)
        optimizer.step()
    return optimizer, [p.detach().numpy() for p in parameters]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("rule", "options"), OPTIONS, ids=[f"{rule} {options}" for rule, options in OPTIONS]
)
def test_steps_are_those_of_the_cpu(rule, options, dtype) -> None:
    expected, on_cpu = train("cpu", rule, options, dtype)
    with pretended(HostGPU()):
        got, there = train("cuda:0", rule, options, dtype)
        states = got.state_dict()["state"]
    eps = np.finfo(dtype).eps
    for p, q in zip(there, on_cpu, strict=True):
        np.testing.assert_allclose(p, q, rtol=64 * eps, atol=64 * eps)
    for number, state in expected.state_dict()["state"].items():
        assert states[number].keys() == state.keys()
        for name, value in state.items():
            np.testing.assert_allclose(states[number][name], value, rtol=64 * eps, atol=64 * eps)


def test_a_table_is_sent_only_when_an_address_has_changed(monkeypatch) -> None:
    sent = []
    original = HostGPU.from_host
    monkeypatch.setattr(HostGPU, "from_host", lambda *a: sent.append(1) or original(*a))
    with pretended(HostGPU()):
        p = gpunet.tensor(np.ones(4), device="cuda:0", requires_grad=True)
        p.grad = gpunet.tensor(np.ones(4), device="cuda:0")
        optimizer = optim.Adam([p])
        optimizer.step()
        sent.clear()
        HostArray.reads = 0
        optimizer.step()
        assert not sent
        optimizer.param_groups[0]["lr"] = 0.5  # is written by the device
        optimizer.step()
        assert not sent
        p.grad = gpunet.tensor(np.ones(4), device="cuda:0")
        sent.clear()
        optimizer.step()
        assert len(sent) == 1
        assert HostArray.reads == 0


def test_tables_do_not_pile_up() -> None:
    with pretended(HostGPU()):
        be = backend.get("cuda:0")
        for _ in range(200):
            p = gpunet.tensor(np.ones(4), device="cuda:0", requires_grad=True)
            p.grad = p.detach().clone()
            optim.SGD([p], lr=0.1).step()
        assert len(be.optim._tables) <= 64


def test_options_are_checked() -> None:
    with pretended(HostGPU()):
        be = backend.get("cuda:0")
        with pytest.raises(ArgumentError, match=r"^sgd_step: options must be .*, got \['speed'\]"):
            be.optim.sgd_step([], [], [], [], None, speed=1)
        with pytest.raises(AttributeError, match=r"kernels/optim.cu has no kernel 'nothing_step'"):
            be.optim.nothing_step  # noqa: B018


@pytest.mark.parametrize("order", [1.0, 2.0, float("inf")])
def test_clipping(order) -> None:
    def clipped(device: str) -> list[Any]:
        parameters = [gpunet.zeros(n, device=device, requires_grad=True) for n in (3, 0, 5)]
        for p in parameters:
            p.grad = gpunet.tensor(np.arange(p.numel(), dtype="float32") - 1, device=device)
        norm = nn.utils.clip_grad_norm_(parameters, 0.5, order)
        nn.utils.clip_grad_value_(parameters, 0.1)
        return [norm.numpy(), *(p.grad.numpy() for p in parameters)]

    with pretended(HostGPU()):
        there = clipped("cuda:0")
    for got, expected in zip(there, clipped("cpu"), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_lbfgs() -> None:
    def minimum(device: str) -> Any:
        x = gpunet.tensor([-1.5, 2.0], "float64", device, requires_grad=True)
        optimizer = optim.LBFGS([x], line_search_fn="strong_wolfe", max_iter=50)

        def closure() -> gpunet.Tensor:
            optimizer.zero_grad()
            loss = (1.0 - x[0]) ** 2 + 100.0 * (x[1] - x[0] * x[0]) ** 2
            loss.backward()
            return loss

        optimizer.step(closure)
        return x.detach().numpy()

    with pretended(HostGPU()):
        np.testing.assert_allclose(minimum("cuda:0"), [1, 1], atol=1e-4)
