"""Side by side with PyTorch's optimizers, training the same small network."""

import numpy as np
import pytest

import gpunet
from gpunet import functional as F
from gpunet import nn, optim
from tests.optim.rules import OPTIONS
from tests.tolerance import EPS

STEPS = 10


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed: NOT compared with it")


@pytest.mark.parametrize(
    ("rule", "options"), OPTIONS, ids=[f"{rule} {options}" for rule, options in OPTIONS]
)
def test_trajectory(torch, rule, options) -> None:
    """Weights in float64: some hundred roundings a step, which the next step may double."""
    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((16, 6)), rng.integers(0, 3, 16)
    ours = nn.Sequential(
        nn.Linear(6, 8, dtype="float64"), nn.Tanh(), nn.Linear(8, 3, dtype="float64")
    )
    theirs = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
    theirs = theirs.double()
    theirs.load_state_dict({k: torch.tensor(v.copy()) for k, v in ours.state_dict().items()})
    our_rule = getattr(optim, rule)(ours.parameters(), lr=0.05, **options)
    their_rule = getattr(torch.optim, rule)(theirs.parameters(), lr=0.05, **options)
    for step in range(1, STEPS + 1):
        our_rule.zero_grad()
        F.cross_entropy(ours(gpunet.tensor(x)), gpunet.tensor(t)).backward()
        our_rule.step()
        their_rule.zero_grad()
        torch.nn.functional.cross_entropy(theirs(torch.tensor(x)), torch.tensor(t)).backward()
        their_rule.step()
        expected = theirs.state_dict()
        for name, weights in ours.state_dict().items():
            bound = 100 * 2**step * EPS["float64"]
            assert np.abs(weights - expected[name].numpy()).max() <= bound, f"{name}, step {step}"


def test_defaults_are_pytorchs(torch) -> None:
    for rule in ("SGD", "Adam", "AdamW"):
        ours = getattr(optim, rule)([gpunet.tensor([1.0], requires_grad=True)]).param_groups[0]
        theirs = getattr(torch.optim, rule)([torch.ones(1, requires_grad=True)]).param_groups[0]
        for option in ours.keys() - {"params"}:
            assert ours[option] == theirs[option], f"{rule}, {option}"
