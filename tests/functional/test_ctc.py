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


@pytest.mark.parametrize(
    ("steps", "n", "longest"),
    [(1, 1, 0), (1, 3, 1), (2, 1, 1), (9, 1, 4), (90, 3, 40), (620, 2, 300)],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_lengths_and_repeated_labels(dtype, steps, n, longest) -> None:
    rng = np.random.default_rng(steps)
    scores = rng.standard_normal((steps, n, 4)).astype(dtype)
    targets = rng.integers(1, 3, (n, longest))  # of two classes, so that many repeat
    x = gpunet.tensor(scores, requires_grad=True)
    t = torch.tensor(scores, requires_grad=True)
    lengths = (steps,) * n, (longest,) * n
    loss = nn.CTCLoss(reduction="none")(x.log_softmax(-1), gpunet.tensor(targets), *lengths)
    alone = torch.nn.CTCLoss(reduction="none")
    expected = alone(t.log_softmax(-1), torch.tensor(targets), *lengths)
    loss.sum().backward()
    expected.sum().backward()
    assert np.isfinite(loss.detach().numpy()).all()
    largest = expected.max().item()
    for y, wanted in ((loss, expected), (x.grad, t.grad)):
        y, wanted = y.detach().numpy(), wanted.detach().numpy()
        # Each step there and back rounds a logarithm as large as the loss of a sequence.
        np.testing.assert_allclose(y, wanted, rtol=0, atol=2 * steps * EPS[dtype] * largest)


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
