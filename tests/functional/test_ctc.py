"""CTC beside PyTorch's, as it is used: on the logarithms of a softmax."""

import numpy as np
import pytest

import gpunet
from gpunet import nn
from tests.tolerance import EPS

torch = pytest.importorskip("torch", reason="PyTorch is not installed: NOT compared with it")


@pytest.mark.parametrize("zero_infinity", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_loss_and_gradient_of_scores(dtype, reduction, zero_infinity) -> None:
    for seed in range(6):
        rng = np.random.default_rng(seed)
        steps, n, classes, longest = 12, 4, 5, 5
        scores = (3 * rng.standard_normal((steps, n, classes))).astype(dtype)
        targets = rng.integers(0, classes, (n, longest))
        blank = seed % classes
        targets[targets == blank] = (blank + 1) % classes
        times, counts = rng.integers(6, steps + 1, n), rng.integers(0, longest + 1, n)
        if seed == 5:
            times[0], counts[0] = 2, 5  # does not fit
        x = gpunet.tensor(scores, requires_grad=True)
        t = torch.tensor(scores, requires_grad=True)
        options = blank, reduction, zero_infinity
        lengths = times.tolist(), counts.tolist()
        loss = nn.CTCLoss(*options)(x.log_softmax(-1), gpunet.tensor(targets), *lengths)
        theirs = torch.nn.CTCLoss(*options)(t.log_softmax(-1), torch.tensor(targets), *lengths)
        alone = torch.nn.CTCLoss(blank, "none", True)
        size = alone(t.detach().log_softmax(-1), torch.tensor(targets), *lengths).sum().item()
        loss.sum().backward()
        theirs.sum().backward()
        for y, expected in ((loss, theirs), (x.grad, t.grad)):
            y, expected = y.detach().numpy(), expected.detach().numpy()
            np.testing.assert_array_equal(np.isfinite(y), np.isfinite(expected))
            # Each step there and back rounds a logarithm as large as the loss of a sequence.
            close = {"rtol": 0, "atol": 2 * steps * EPS[dtype] * size}
            np.testing.assert_allclose(y, expected, **close)


def test_a_long_sequence_does_not_underflow() -> None:
    scores = np.random.default_rng(0).standard_normal((1500, 1, 4)).astype("float32")
    x = gpunet.tensor(scores, requires_grad=True)
    targets = np.random.default_rng(1).integers(1, 4, (1, 200))
    loss = nn.CTCLoss(reduction="sum")(x.log_softmax(-1), gpunet.tensor(targets), (1500,), (200,))
    loss.backward()
    expected = torch.nn.functional.ctc_loss(
        *(torch.tensor(scores).log_softmax(-1), torch.tensor(targets), (1500,), (200,)),
        reduction="sum",
    )
    assert abs(loss.item() / expected.item() - 1) < 1e-5
    assert np.abs(x.grad.numpy().sum(-1)).max() < 1e-3
