"""Seq2Seq: PyTorch's results, one step at a time or all at once, padding, learning by heart."""

import numpy as np
import pytest

import gpunet
from gpunet import functional as F
from gpunet import models, optim
from gpunet.errors import ArgumentError, ShapeError
from tests.tolerance import EPS

RNG = np.random.default_rng(0)
SOURCE, TARGET = RNG.integers(1, 11, (3, 6)), RNG.integers(1, 9, (3, 5))
SOURCE[1, 4:], SOURCE[2, 2:] = 0, 0
LENGTHS = (6, 4, 2)
CLOSE = 2**5 * EPS["float32"]


def small(**options) -> models.Seq2Seq:
    gpunet.manual_seed(0)
    return models.Seq2Seq(11, 9, 6, 10, 7, **options)


def scores(net, source=SOURCE, target=TARGET) -> np.ndarray:
    return net(gpunet.tensor(source), gpunet.tensor(target)).detach().numpy()


def test_it_is_that_of_pytorch() -> None:
    """The paper's formulas with PyTorch's layers, each source alone and without padding."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: NOT compared with it")
    net = small().eval()
    w = {k: torch.from_numpy(np.array(v)) for k, v in net.state_dict().items()}
    layers = {
        "encoder": torch.nn.GRU(6, 5, batch_first=True, bidirectional=True),
        "lower": torch.nn.GRU(6, 10, batch_first=True),
        "upper": torch.nn.GRU(20, 10, batch_first=True),
    }
    for name, layer in layers.items():
        layer.load_state_dict({k[len(name) + 1 :]: v for k, v in w.items() if k.startswith(name)})
    for i, length in enumerate(LENGTHS):
        x = w["source.weight"][torch.from_numpy(SOURCE[i : i + 1, :length])] * 6**0.5
        memory, last = layers["encoder"](x)
        first = torch.tanh(
            torch.cat([last[0], last[1]], 1) @ w["bridge.weight"].T + w["bridge.bias"]
        )
        y = w["target.weight"][torch.from_numpy(TARGET[i : i + 1])] * 6**0.5
        lower, _ = layers["lower"](y, first[None])
        query = lower @ w["attention.query_proj.weight"].T
        key = memory @ w["attention.key_proj.weight"].T + w["attention.key_proj.bias"]
        e = torch.tanh(query[:, :, None] + key[:, None]) @ w["attention.score.weight"][0]
        found = torch.softmax(e, -1) @ memory
        upper, _ = layers["upper"](torch.cat([lower, found], -1))
        z = torch.cat([upper, found], -1) @ w["readout.weight"].T + w["readout.bias"]
        expected = torch.tanh(z) @ w["target.weight"].T + w["scores.bias"]
        np.testing.assert_allclose(scores(net)[i], expected[0].detach().numpy(), atol=CLOSE)


def test_steps_give_what_the_whole_text_gives() -> None:
    net = small(dropout=0.5).eval()
    whole, state = scores(net), net.encode(gpunet.tensor(SOURCE))
    for t in range(TARGET.shape[1]):
        got, state = net.step(gpunet.tensor(TARGET[:, t]), state)
        np.testing.assert_allclose(got.detach().numpy(), whole[:, t], atol=CLOSE)


def test_padding_changes_nothing() -> None:
    net = small().eval()
    wide = np.pad(SOURCE, ((0, 0), (0, 3)))
    np.testing.assert_allclose(scores(net, wide), scores(net), atol=CLOSE)
    _, weights, _ = net.read(gpunet.tensor(TARGET), net.encode(gpunet.tensor(wide)))
    weights = weights.detach().numpy()
    np.testing.assert_allclose(weights.sum(-1), 1, atol=CLOSE)
    for row, length in zip(weights, LENGTHS, strict=True):
        assert (row[:, length:] == 0).all()


def test_the_scores_share_the_embeddings() -> None:
    net = small()
    assert net.scores.weight is net.target.weight
    loss = net(gpunet.tensor(SOURCE), gpunet.tensor(TARGET)).sum()
    loss.backward()
    assert (net.source.weight.grad.numpy()[0] == 0).all()  # padding is never learned
    assert (net.source.weight.array[0] == 0).all()


def test_dropout_is_for_training() -> None:
    net = small(dropout=0.5)
    assert (scores(net) != scores(net)).any()
    np.testing.assert_array_equal(scores(net.eval()), scores(small().eval()))


def test_it_learns_translations_by_heart() -> None:
    net = small(dropout=0.0)
    optimizer = optim.Adam(net.parameters(), lr=3e-2)
    x, y, t = (gpunet.tensor(a) for a in (SOURCE, TARGET[:, :-1], TARGET[:, 1:].reshape(-1)))
    losses = []
    for _ in range(60):
        loss = F.cross_entropy(net(x, y).reshape(-1, 9), t)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[0] > 1.5
    assert losses[-1] < 0.2


def test_refused() -> None:
    with pytest.raises(ArgumentError, match="Seq2Seq: sizes must be at least 1, and hidden even"):
        models.Seq2Seq(11, 9, hidden=7)
    with pytest.raises(ArgumentError, match=r"Dropout: p must be in \[0, 1\]"):
        models.Seq2Seq(11, 9, dropout=1.5)
    net = small()
    rule = r"source and target must have shapes \(N, S\) and \(N, T\), got "
    with pytest.raises(ShapeError, match=rule + r"source \(6,\)"):
        net(gpunet.tensor(SOURCE[0]), gpunet.tensor(TARGET))
    with pytest.raises(ShapeError, match=rule + r"target \(2, 5\)"):
        net(gpunet.tensor(SOURCE), gpunet.tensor(TARGET[:2]))
    with pytest.raises(ArgumentError, match="lengths"):
        net(gpunet.tensor(np.zeros((1, 4), int)), gpunet.tensor(TARGET[:1]))  # nothing but padding
    with pytest.raises(ArgumentError, match="11"):
        net(
            gpunet.tensor(np.full_like(SOURCE, 11)), gpunet.tensor(TARGET)
        )  # a token outside the vocabulary
