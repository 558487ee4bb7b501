"""CharLM: PyTorch's results, one step at a time or all at once, dropout, learning by heart."""

import numpy as np
import pytest

import gpunet
from gpunet import functional as F
from gpunet import models, optim, text
from gpunet.errors import ArgumentError, ShapeError
from tests.tolerance import EPS

TEXT = np.random.default_rng(0).integers(0, 11, (3, 8))


def small(**options) -> models.CharLM:
    gpunet.manual_seed(0)
    return models.CharLM(11, 6, 10, 2, **options)


def scores(net: models.CharLM) -> np.ndarray:
    return net(gpunet.tensor(TEXT)).detach().numpy()


def test_it_is_that_of_pytorch() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: NOT compared with it")
    net = small()
    there = torch.nn.ModuleDict(
        {
            "embedding": torch.nn.Embedding(11, 6),
            "lstm": torch.nn.LSTM(6, 10, 2, batch_first=True),
            "scores": torch.nn.Linear(10, 11),
        }
    )
    there.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in net.state_dict().items()})
    y, _ = there["lstm"](there["embedding"](torch.from_numpy(TEXT)))
    expected = there["scores"](y).detach().numpy()
    np.testing.assert_allclose(scores(net), expected, atol=2**5 * EPS["float32"])


def test_the_default_size() -> None:
    count = sum(p.numel() for p in models.CharLM(65).parameters())
    lstm = 4 * 256 * (128 + 256 + 2) + 4 * 256 * (256 + 256 + 2)
    assert count == 65 * 128 + lstm + 257 * 65


def test_steps_give_what_the_whole_text_gives() -> None:
    net, state = small(dropout=0.5).eval(), None
    for t in range(TEXT.shape[1]):
        got, state = net.step(gpunet.tensor(TEXT[:, t]), state)
        np.testing.assert_allclose(
            got.detach().numpy(), scores(net)[:, t], atol=2**5 * EPS["float32"]
        )


def test_a_character_costs_one_step(monkeypatch) -> None:
    net, read = small().eval(), []
    whole = models.CharLM.read
    monkeypatch.setattr(
        models.CharLM, "read", lambda self, x, state: read.append(x.shape) or whole(self, x, state)
    )
    text.generate(net.step, gpunet.tensor(TEXT[:, :3]), 20)
    assert read == [(3, 1)] * (3 + 20 - 1)


def test_dropout_is_for_training() -> None:
    net = small(dropout=0.5)
    assert (scores(net) != scores(net)).any()
    np.testing.assert_array_equal(scores(net.eval()), scores(small()))


def test_it_learns_a_text_by_heart() -> None:
    net = small()
    optimizer = optim.Adam(net.parameters(), lr=3e-2)
    targets = gpunet.tensor(TEXT[:, 1:].reshape(-1))
    losses = []
    for _ in range(100):
        loss = F.cross_entropy(net(gpunet.tensor(TEXT[:, :-1])).reshape(-1, 11), targets)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[0] > 2
    assert losses[-1] < 0.2


def test_refused() -> None:
    with pytest.raises(ArgumentError, match="CharLM: sizes must be at least 1, got"):
        models.CharLM(11, hidden=0)
    with pytest.raises(ArgumentError, match=r"dropout must be in \[0, 1\]"):
        models.CharLM(11, dropout=1.5)
    with pytest.raises(ShapeError, match=r"CharLM: tokens must have shape \(N, T\), got \(8,\)"):
        small()(gpunet.tensor(TEXT[0]))
