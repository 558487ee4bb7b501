"""Side by side with PyTorch's optimizers, training the same small network."""

import numpy as np
import pytest

import gpunet
from gpunet import optim
from tests.optim.rules import OPTIONS, RULES


@pytest.fixture(scope="module")
def torch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: NOT compared with it")
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # in which its NAdam keeps the product of all momenta
    yield torch
    torch.set_default_dtype(before)


@pytest.mark.parametrize(
    ("rule", "options"), OPTIONS, ids=[f"{rule} {options}" for rule, options in OPTIONS]
)
def test_trajectory(torch, rule, options) -> None:
    """200 steps down a bowl that is shaken: a gradient that never ends keeps g / √v steady.

    Where gradients die away, as at the bottom of most problems, each rounding would soon count.
    """
    rng = np.random.default_rng(0)
    start, shakes = rng.standard_normal((6, 3)), rng.standard_normal((200, 6, 3))
    ours = gpunet.tensor(start, requires_grad=True)
    theirs = torch.tensor(start, requires_grad=True)
    our_rule = getattr(optim, rule)([ours], lr=0.05, **options)
    their_rule = getattr(torch.optim, rule)([theirs], lr=0.05, **options)
    for step, shake in enumerate(shakes):
        for each in (our_rule, their_rule):
            each.zero_grad()
            each.param_groups[0]["lr"] = 0.05 * (1.5 + np.sin(step / 10))
        (ours * ours * 0.1 + ours * gpunet.tensor(shake)).sum().backward()
        our_rule.step()
        (theirs * theirs * 0.1 + theirs * torch.tensor(shake)).sum().backward()
        their_rule.step()
        expected = theirs.detach().numpy()
        np.testing.assert_allclose(ours.array, expected, rtol=1e-10, atol=1e-11)


def test_defaults_are_pytorchs(torch) -> None:
    for rule in RULES:
        ours = getattr(optim, rule)([gpunet.tensor([1.0], requires_grad=True)]).param_groups[0]
        theirs = getattr(torch.optim, rule)([torch.ones(1, requires_grad=True)]).param_groups[0]
        for option in ours.keys() - {"params"}:
            assert ours[option] == theirs[option], f"{rule}, {option}"
