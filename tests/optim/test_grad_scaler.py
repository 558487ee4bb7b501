"""Loss scaling follows PyTorch's, step by step."""

import numpy as np
import pytest

import gpunet
from gpunet import optim
from gpunet.errors import ArgumentError, DTypeError

torch = pytest.importorskip("torch", reason="PyTorch is not installed: NOT compared with it")

OPTIONS = {"init_scale": 2.0**6, "growth_factor": 4.0, "backoff_factor": 0.25, "growth_interval": 3}


def ours(gradient: np.ndarray, p: gpunet.Tensor) -> None:
    p.grad = gpunet.tensor(gradient)


def test_the_trajectory_is_that_of_pytorch() -> None:
    """Random gradients, one in five with an Inf or a NaN: scale, weights and state are the same."""
    rng = np.random.default_rng(0)
    start = rng.standard_normal(4).astype("float32")
    p, q = gpunet.tensor(start.copy(), requires_grad=True), torch.tensor(start, requires_grad=True)
    mine, other = optim.Adam([p], lr=0.1), torch.optim.Adam([q], lr=0.1)
    scaler, reference = gpunet.GradScaler(**OPTIONS), torch.amp.GradScaler("cpu", **OPTIONS)
    skipped = 0
    for step in range(60):
        g = rng.standard_normal(4).astype("float32") * np.float32(scaler.get_scale())
        if rng.random() < 0.2:
            g[rng.integers(4)] = (np.inf, np.nan)[step % 2]
            skipped += 1
        p.grad, q.grad = gpunet.tensor(g.copy()), torch.tensor(g)
        reference.scale(torch.tensor(1.0))  # makes its lazy scale
        if step % 3 == 0:
            scaler.unscale_(mine)
            reference.unscale_(other)
            np.testing.assert_array_equal(p.grad.array, q.grad.numpy())
        scaler.step(mine)
        reference.step(other)
        scaler.update()
        reference.update()
        assert scaler.get_scale() == reference.get_scale()
        assert scaler.state_dict() == reference.state_dict()
    np.testing.assert_allclose(p.array, q.detach().numpy(), rtol=1e-5)
    assert 5 < skipped == 60 - mine.state[p]["step"][0]


def test_the_loss_is_multiplied_and_gradients_are_divided() -> None:
    p = gpunet.tensor([2.0], requires_grad=True)
    optimizer, scaler = optim.SGD([p], lr=0.5), gpunet.GradScaler(init_scale=8.0)
    loss = (p * 3).sum()
    assert scaler.scale(loss).item() == 48.0
    assert [x.item() for x in scaler.scale([loss, loss])] == [48.0, 48.0]
    scaler.scale(loss).backward()
    assert p.grad.item() == 24.0
    scaler.unscale_(optimizer)
    assert p.grad.item() == 3.0
    scaler.step(optimizer)
    assert p.item() == 0.5


def test_small_gradients_survive_in_float16() -> None:
    """A gradient of 1e-9 is below the least half; scaled, it is not."""
    for scale, expected in ((1.0, 0.0), (2.0**14, 1e-9)):
        w = gpunet.tensor([[1.0]], requires_grad=True)
        optimizer, scaler = optim.SGD([w], lr=1.0), gpunet.GradScaler(scale)
        with gpunet.autocast():
            loss = (gpunet.functional.linear(gpunet.ones(1, 1), w) * 1e-9).sum()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        assert w.grad.item() == pytest.approx(expected, rel=2e-2)


def test_not_enabled_it_does_nothing() -> None:
    p = gpunet.tensor([2.0], requires_grad=True)
    optimizer, scaler = optim.SGD([p], lr=1.0), gpunet.GradScaler(enabled=False)
    scaler.scale(p.sum()).backward()
    scaler.unscale_(optimizer)
    assert scaler.finite(optimizer)
    assert scaler.step(optimizer, lambda: 7) == 7
    scaler.update()
    assert (p.item(), scaler.get_scale(), scaler.state_dict()) == (1.0, 1.0, {})
    assert not scaler.is_enabled()


def test_state_goes_on() -> None:
    p = gpunet.tensor([2.0], requires_grad=True)
    optimizer, first = optim.SGD([p], lr=1.0), gpunet.GradScaler(growth_interval=2)
    scales = []
    for scaler in (first, gpunet.GradScaler(8.0)):
        if scaler is not first:
            scaler.load_state_dict(first.state_dict())
        ours(np.ones(1, "float32"), p)
        scaler.step(optimizer)
        scaler.update()
        scales.append(scaler.get_scale())
    assert scales == [2.0**16, 2.0**17]


def test_what_is_refused() -> None:
    p = gpunet.tensor([2.0], requires_grad=True)
    optimizer, scaler = optim.SGD([p], lr=1.0), gpunet.GradScaler()
    with pytest.raises(ArgumentError, match="must follow unscale_ or step"):
        scaler.update()
    ours(np.ones(1, "float32"), p)
    scaler.unscale_(optimizer)
    with pytest.raises(ArgumentError, match="once between two updates"):
        scaler.unscale_(optimizer)
    with pytest.raises(ArgumentError, match="must not be given a closure"):
        scaler.step(optimizer, lambda: 1)
    scaler.step(optimizer)
    with pytest.raises(ArgumentError, match="once between two updates"):
        scaler.step(optimizer)
    with pytest.raises(ArgumentError, match="new_scale must be above 0"):
        scaler.update(0.0)
    with pytest.raises(ArgumentError, match="scaler that was enabled"):
        scaler.load_state_dict({})
    half = gpunet.tensor([2.0], dtype="float16", requires_grad=True)
    ours(np.ones(1, "float16"), half)
    with pytest.raises(DTypeError, match="got float16"):
        gpunet.GradScaler().unscale_(optim.SGD([half], lr=1.0))


@pytest.mark.parametrize(
    "wrong",
    [
        *({"init_scale": 0.0}, {"growth_factor": 1.0}, {"backoff_factor": 1.0}),
        {"growth_interval": 0},
    ],
    ids=str,
)
def test_options_out_of_range(wrong) -> None:
    with pytest.raises(ArgumentError, match=next(iter(wrong))):
        gpunet.GradScaler(**wrong)
