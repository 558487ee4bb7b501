"""Steps that are recorded and launched as a whole do what they do launch by launch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

import gpunet
from gpunet import functional as F
from gpunet import nn, optim
from gpunet.backend import cuda
from gpunet.errors import ArgumentError, DeviceError
from gpunet.optim.lr_scheduler import StepLR
from tests.kernels import needs
from tests.kernels.host.gpu import HostGPU, pretended

DEVICES = [
    pytest.param("cpu"),
    pytest.param("host", marks=needs.compiler),
    pytest.param("gpu", marks=pytest.mark.gpu),
]


@pytest.fixture(params=DEVICES)
def device(request: Any) -> Iterator[str]:
    if request.param == "gpu" and (reason := cuda.probe()):
        pytest.skip(reason)
    with pretended(HostGPU()) if request.param == "host" else nullcontext():
        yield "cpu" if request.param == "cpu" else "cuda:0"


def network(device: str) -> nn.Module:
    gpunet.manual_seed(0)
    layers = nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3)
    return nn.Sequential(*layers).to(device)


def training(device: str, recorded: bool, steps: int = 7) -> tuple[Any, Any]:
    """The losses and the last weights of a training with dropout, a schedule and clipping."""
    model = network(device)
    optimizer = optim.Adam(model.parameters(), lr=0.1)
    schedule = StepLR(optimizer, 2, 0.5)

    def step(x: gpunet.Tensor, t: gpunet.Tensor) -> gpunet.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), t)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss

    run: Callable[..., Any] = gpunet.capture(step) if recorded else step
    rng, losses = np.random.default_rng(0), []
    for _ in range(steps):
        x, t = rng.standard_normal((5, 6), np.float32), rng.integers(0, 3, 5)
        losses.append(run(gpunet.tensor(x, device=device), gpunet.tensor(t, device=device)).item())
        schedule.step()
    return losses, model.state_dict()


def test_a_training_is_the_same(device: str) -> None:
    losses, weights = training(device, recorded=True)
    expected, theirs = training(device, recorded=False)
    # On a GPU cuBLAS may choose another algorithm where its workspace is another.
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    for name, x in weights.items():
        np.testing.assert_allclose(x, theirs[name], rtol=1e-4, atol=1e-6, err_msg=name)


def test_the_bits_are_the_same_where_nothing_rounds(device: str) -> None:
    """Sums of small whole numbers, and masks of dropout, which go on from call to call."""

    def step(x: gpunet.Tensor) -> gpunet.Tensor:
        return F.dropout(x, 0.5) + F.dropout(x + x, 0.5)

    def results(run: Callable[..., Any]) -> list[Any]:
        gpunet.manual_seed(3)
        xs = (gpunet.full((3, 4), float(k), device=device) for k in range(1, 7))
        return [run(x).numpy().tolist() for x in xs]

    assert results(gpunet.capture(step)) == results(step)
    assert len({str(masks) for masks in results(step)}) == 6


def test_a_new_seed_counts(device: str) -> None:
    run = gpunet.capture(lambda x: F.dropout(x, 0.5))
    x = gpunet.ones(64, device=device)
    for seed in (1, 1, 1, 1, 2, 2):
        gpunet.manual_seed(seed)
        expected = F.dropout(x, 0.5).numpy()
        gpunet.manual_seed(seed)
        assert (run(x).numpy() == expected).all()


def test_other_shapes_go_through_the_step(device: str) -> None:
    run = gpunet.capture(lambda x: x * 2)
    for size in (3, 3, 3, 3, 5, 3):
        x = gpunet.arange(size, device=device)
        assert run(x).tolist() == (x * 2).tolist()


def test_an_embedding_and_lists_from_python(device: str) -> None:
    """What comes from the host is a constant of the recorded step."""
    gpunet.manual_seed(0)
    table = nn.Embedding(5, 3).to(device)

    def step(index: gpunet.Tensor) -> Any:
        table.weight.grad = None
        scaled = F.pad(table(index), (1, 1)) * gpunet.tensor([1.0, 2.0, 3.0] * 2, device=device)[1:]
        scaled.sum().backward()
        return table.weight.grad

    run = gpunet.capture(step)
    for k in range(5):
        index = gpunet.tensor([k, 1, k], device=device)
        assert run(index).tolist() == step(index).tolist()


def test_a_step_that_reads_is_refused(device: str) -> None:
    run = gpunet.capture(lambda x: x if x.sum().item() > 0 else -x)
    x = gpunet.ones(3, device=device)
    for _ in range(2):
        run(x)
    with pytest.raises(DeviceError, match="capture") if device != "cpu" else nullcontext():
        run(x)
    assert (x + x).tolist() == [2, 2, 2], "the device goes on"


@pytest.mark.parametrize("given", [(), (1.0,)])
def test_other_arguments_are_refused(given: tuple[Any, ...]) -> None:
    with pytest.raises(ArgumentError, match="tensors alone"):
        gpunet.capture(lambda *x: None)(*given)
