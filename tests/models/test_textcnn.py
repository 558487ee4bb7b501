"""TextCNN: the formula of the paper, padding that changes nothing, and learning by heart."""

import numpy as np
import pytest

import gpunet
from gpunet import functional as F
from gpunet import models, optim
from gpunet.errors import ArgumentError, ShapeError
from tests.tolerance import EPS

TEXTS = np.random.default_rng(0).integers(2, 11, (4, 7))
LENGTHS = (7, 5, 2, 1)
for row, length in zip(TEXTS, LENGTHS, strict=True):
    row[length:] = 0
CLOSE = 2**5 * EPS["float32"]


def small(**options) -> models.TextCNN:
    gpunet.manual_seed(0)
    return models.TextCNN(11, 3, 5, (1, 2, 3), 4, **options)


def scores(net, texts=TEXTS) -> np.ndarray:
    return net(gpunet.tensor(texts)).detach().numpy()


def test_of_each_filter_the_largest_response_counts() -> None:
    """Every place where a filter sees a word at least in part, or none at all, counted out."""
    net = small().eval()
    w = {name: p.detach().numpy().astype(np.float64) for name, p in net.named_parameters()}
    for row, length, got in zip(TEXTS, LENGTHS, scores(net), strict=True):
        words = np.pad(w["embedding.weight"][row[:length]], ((3, 3), (0, 0)))
        found = []
        for i, width in enumerate((1, 2, 3)):
            kernel, bias = w[f"filters.{i}.weight"], w[f"filters.{i}.bias"]
            places = [words[t : t + width] for t in range(len(words) - width + 1)]
            responses = [np.einsum("te,cet->c", place, kernel) + bias for place in places]
            found.append(np.maximum(np.max(responses, 0), 0))
        expected = np.concatenate(found) @ w["scores.weight"].T + w["scores.bias"]
        np.testing.assert_allclose(got, expected, atol=CLOSE)


@pytest.mark.parametrize("more", [1, 9])
def test_padding_changes_nothing(more) -> None:
    net = small().eval()
    np.testing.assert_allclose(
        scores(net, np.pad(TEXTS, ((0, 0), (0, more)))), scores(net), atol=CLOSE
    )
    assert (net.embedding.weight.array[0] == 0).all()


def test_dropout_is_for_training() -> None:
    for options in ({"dropout": 0.5}, {"dropout": 0.0, "word_dropout": 0.5}):
        net = small(**options)
        assert (scores(net) != scores(net)).any()
        np.testing.assert_array_equal(scores(net.eval()), scores(small().eval()))


def test_dropped_words_are_unknown_ones() -> None:
    """Padding stays, and at 1 nothing is left of a text but its length."""
    net = small(dropout=0.0, word_dropout=0.999999)
    unknown = np.where(TEXTS > 0, 1, 0)
    dropped, expected = scores(net), scores(net.eval(), unknown)
    np.testing.assert_allclose(dropped, expected, atol=CLOSE)


def test_it_learns_texts_by_heart() -> None:
    net = small(dropout=0.0)
    optimizer = optim.Adam(net.parameters(), lr=3e-2)
    x, t = gpunet.tensor(TEXTS), gpunet.tensor(np.array([0, 1, 2, 1]))
    losses = []
    for _ in range(40):
        loss = F.cross_entropy(net(x), t)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[0] > 0.8
    assert losses[-1] < 0.05


def test_refused() -> None:
    with pytest.raises(ArgumentError, match="TextCNN: sizes and widths must be at least 1, got"):
        models.TextCNN(11, widths=(3, 0))
    with pytest.raises(ArgumentError, match="sizes and widths must be at least 1"):
        models.TextCNN(11, widths=())
    with pytest.raises(ArgumentError, match=r"word_dropout must be in \[0, 1\), got 1\.0"):
        models.TextCNN(11, word_dropout=1.0)
    with pytest.raises(ShapeError, match=r"TextCNN: tokens must have shape \(N, T\), got \(7,\)"):
        small()(gpunet.tensor(TEXTS[0]))
    with pytest.raises(ArgumentError, match="11"):
        small()(gpunet.tensor(np.full((1, 3), 11)))  # a token outside the vocabulary
