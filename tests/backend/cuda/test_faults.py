"""Labels outside their range: no launch waits for the device, and no read misses the fault."""

from __future__ import annotations

import numpy as np
import pytest

import gpunet
from gpunet import functional as F
from gpunet.errors import ArgumentError
from tests.kernels import needs
from tests.kernels.host.array import HostArray

pytestmark = needs.compiler

WORDS = r"^cross_entropy: target must be in \[0, C\) = \[0, 3\), got 7 at index 2; ignore_index is"


def loss(labels=(0, 1, 7, 2), reduction="mean"):
    scores = gpunet.tensor(np.ones((4, 3), "float32"), device="cuda:0", requires_grad=True)
    return F.cross_entropy(scores, gpunet.tensor(labels, device="cuda:0"), reduction=reduction)


def test_nothing_is_read_until_somebody_asks(be) -> None:
    loss().backward()
    HostArray.reads = 0
    loss().backward()
    assert HostArray.reads == 0
    with pytest.raises(ArgumentError):
        be.synchronize()


@pytest.mark.parametrize(
    "read",
    [
        lambda be, y: y.item(),
        lambda be, y: float(y),
        lambda be, y: y.detach().numpy(),
        lambda be, y: be.to_host(y.array),
        lambda be, y: repr(y),
        lambda be, y: be.synchronize(),
        lambda be, y: gpunet.tensor(1.0, device="cuda:0").item(),  # any value of the device
    ],
    ids=["item", "float", "numpy", "to_host", "repr", "synchronize", "another"],
)
def test_a_read_says_so(be, read) -> None:
    with pytest.raises(ArgumentError, match=WORDS):
        read(be, loss())


def test_it_is_said_once(be) -> None:
    y = loss()
    with pytest.raises(ArgumentError):
        y.item()
    assert np.isnan(y.item())
    assert loss((0, 1, 2, 2)).item() == pytest.approx(np.log(3))


def test_a_fault_of_an_earlier_call_is_not_lost(be) -> None:
    loss()
    good = loss((0, 1, 2, 2))
    words = r"= \[0, 3\), got another at index 2 in one of the last 2 calls"
    with pytest.raises(ArgumentError, match=words):
        good.item()


def test_only_the_row_is_spoiled(be) -> None:
    losses = loss(reduction="none")
    with pytest.raises(ArgumentError):
        losses.detach().numpy()
    assert np.isnan(losses.detach().numpy()).tolist() == [False, False, True, False]


def test_a_captured_step_says_so(be) -> None:
    scores = gpunet.tensor(np.ones((4, 3), "float32"), device="cuda:0")
    run = gpunet.capture(lambda labels: F.cross_entropy(scores, labels))
    for _ in range(4):  # from the third on it is launched as a whole
        run(gpunet.tensor([0, 1, 2, 2], device="cuda:0"))
    be.synchronize()
    run(gpunet.tensor([0, 1, 7, 2], device="cuda:0"))
    with pytest.raises(ArgumentError, match="at index 2"):
        be.synchronize()


def test_nothing_is_read_for_it(be) -> None:
    y = loss((0, 1, 2, 2))
    HostArray.reads = 0
    y.item()
    assert HostArray.reads <= 2  # the value itself, through an array of the host
