"""Vocabularies, batches and decoding, held against what can be counted out by hand."""

import itertools

import numpy as np
import pytest

import gpunet
from gpunet import models, text
from gpunet.errors import ArgumentError, DataError

P = np.array([[0.1, 0.5, 0.4], [0.5, 0.1, 0.4], [0.05, 0.05, 0.9]])  # next token, by the last one


def chain(tokens, state):
    """A model that looks at the last token alone; its state counts what it read."""
    rows = np.log(P)[tokens.numpy()]
    return gpunet.tensor(rows), (state or 0) + 1


def start(*rows):
    return gpunet.tensor(np.array(rows))


def test_greedy_takes_the_best_each_time() -> None:
    got = text.generate(chain, start([0], [1], [2]), 4, temperature=0)
    assert got.tolist() == [[1, 0, 1, 0], [0, 1, 0, 1], [2, 2, 2, 2]]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, P[0]),
        ({"temperature": 0.5}, P[0] ** 2 / (P[0] ** 2).sum()),
        ({"top_k": 2}, [0, 5 / 9, 4 / 9]),
        ({"top_k": 9}, P[0]),
        ({"top_p": 0.5}, [0, 1, 0]),
        ({"top_p": 0.51}, [0, 5 / 9, 4 / 9]),
        ({"top_p": 0.95}, P[0]),
        ({"top_k": 2, "top_p": 0.55}, [0, 1, 0]),
    ],
)
def test_how_often_tokens_are_drawn(options, expected) -> None:
    gpunet.manual_seed(1)
    n = 4000
    got = text.generate(chain, gpunet.tensor(np.zeros((n, 1), int)), 1, **options)
    share = np.bincount(got[:, 0], minlength=3) / n
    assert (share[np.asarray(expected) == 0] == 0).all()
    assert np.abs(share - expected).max() < 5 * np.sqrt(0.25 / n)  # five standard deviations


def test_the_seed_decides() -> None:
    def drawn(seed):
        gpunet.manual_seed(seed)
        return text.generate(chain, start([0], [1]), 20).tolist()

    assert drawn(1) == drawn(1) != drawn(2)


def test_stop() -> None:
    got = text.generate(chain, start([0], [2]), 9, temperature=0, stop=2)
    assert got.tolist() == [[1, 0, 1, 0, 1, 0, 1, 0, 1], [2] * 9]
    assert text.generate(chain, start([2]), 9, temperature=0, stop=2).tolist() == [[2]]
    assert text.generate(chain, start([2], [0]), 0).shape == (2, 0)


def test_a_stream_reads_on_only_when_it_is_asked() -> None:
    read = []

    def step(tokens, state):
        read.append(tokens.tolist())
        return chain(tokens, state)

    drawn = text.stream(step, start([1, 0]), 5, temperature=0)
    assert read == []
    assert next(drawn).tolist() == [1]
    assert read == [[1], [0]]
    assert (start([1.0]).requires_grad_() * 2).requires_grad  # the caller's graph goes on
    assert [token.tolist() for token in drawn] == [[0], [1], [0], [1]]
    assert read == [[1], [0], [1], [0], [1], [0]]
    with pytest.raises(ArgumentError, match="temperature must be at least 0"):
        text.stream(step, start([0]), 5, temperature=-1)


def test_beams_wide_enough_find_the_best_of_all() -> None:
    def score(path):
        return sum(np.log(P[a, b]) for a, b in itertools.pairwise((0, *path)))

    every = sorted(itertools.product(range(3), repeat=4), key=lambda path: -score(path))
    got = text.beam_search(chain, start([0])[0], 4, width=27)
    assert [path for path, _ in got[:5]] == [list(path) for path in every[:5]]
    np.testing.assert_allclose([s for _, s in got[:5]], [score(p) for p in every[:5]])
    one = text.beam_search(chain, start([0])[0], 4, width=1)
    assert one[0][0] == [1, 0, 1, 0]  # greedy, and not the best: 0.5⁴ < 0.4·0.9³
    assert every[0] == (2, 2, 2, 2)
    assert text.beam_search(chain, start([0])[0], 4, width=2)[0][0] == [2, 2, 2, 2]


@pytest.mark.parametrize("penalty", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("stop", [0, 2])
def test_beams_stop_and_weigh_lengths(stop, penalty) -> None:
    every = {}
    for path in itertools.product(range(3), repeat=3):
        path = path[: path.index(stop) + 1] if stop in path else path
        total = sum(np.log(P[a, b]) for a, b in itertools.pairwise((0, *path)))
        every[path] = total / len(path) ** penalty
    best = sorted(every, key=lambda path: -every[path])[:4]
    options = {"width": 27, "stop": stop, "length_penalty": penalty}
    got = text.beam_search(chain, start([0])[0], 3, **options)
    assert [tuple(path) for path, _ in got[:4]] == best
    np.testing.assert_allclose([s for _, s in got[:4]], [every[path] for path in best])


def test_gpt_generates_beyond_its_block() -> None:
    gpunet.manual_seed(0)
    net = models.GPT(5, 4, 1, 1, 8).eval()
    got = text.generate(net.step, start([1, 2]), 7, temperature=0)[0].tolist()
    read = [1, 2]
    for token in got:
        scores = net(gpunet.tensor(np.array([read[-4:]]))).detach().numpy()
        assert token == scores[0, -1].argmax()
        read.append(token)


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("temperature must be at least 0", lambda: text.generate(chain, start([0]), 1, None, -1.0)),
        ("top_k must be at least 1", lambda: text.generate(chain, start([0]), 1, top_k=0)),
        ("top_p must be in (0, 1]", lambda: text.generate(chain, start([0]), 1, top_p=0.0)),
        ("length must be at least 0", lambda: text.generate(chain, start([0]), -1)),
        ("no text is empty", lambda: text.generate(chain, gpunet.zeros(1, 0), 1)),
        ("no text is empty", lambda: text.beam_search(chain, gpunet.zeros(0), 1, 1)),
        ("width must be at least 1", lambda: text.beam_search(chain, start([0])[0], 1, 0)),
        ("tokens must have one axis", lambda: text.beam_search(chain, start([0]), 1, 1)),
        ("length must be at least 3", lambda: text.pad([[1, 2, 3]], length=2)),
        ("batch_size must be at least 1", lambda: text.bucket([1], 0)),
        ("unknown must be one of", lambda: text.CharVocabulary("ab", unknown="c")),
        ("numbers must be in [0, 2), got 2", lambda: text.CharVocabulary("ab").decode([2])),
    ],
)
def test_wrong_arguments(message, call) -> None:
    with pytest.raises(ArgumentError) as caught:
        call()
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("tokens must be at least one, got none", lambda: text.CharVocabulary.of("")),
        ("text must have at least one word", lambda: text.WordVocabulary.of(" \n")),
        ("must be in the vocabulary of 2, got 'z'", lambda: text.CharVocabulary("ab").encode("az")),
        ("tokens must come once each, got 'a' twice", lambda: text.CharVocabulary("aba")),
        ("sequences must be at least one", lambda: text.pad([])),
    ],
)
def test_wrong_data(message, call) -> None:
    with pytest.raises(DataError) as caught:
        call()
    assert message in str(caught.value)


def test_vocabularies_there_and_back() -> None:
    line = "Größe: 3,5 µm – naïve?"
    for vocabulary in (text.CharVocabulary.of(line), text.ByteVocabulary()):
        numbers = vocabulary.encode(line)
        assert numbers.dtype == np.int64
        assert vocabulary.decode(numbers) == line
    assert text.ByteVocabulary().encode(line).tolist() == list(line.encode())
    assert text.ByteVocabulary().decode([0xC3]) == "�"
    words = text.WordVocabulary.of("b a b , b a c", "<unk>", ("<pad>",), min_count=2)
    assert words.tokens == ["<pad>", "<unk>", "b", "a"]
    assert words.encode("a z, b").tolist() == [3, 1, 1, 2]
    assert len(words) == 4
    assert "b" in words
    assert "c" not in words


def test_padding_and_buckets() -> None:
    rows, lengths = text.pad([[1, 2], [], [3]], value=9, length=3)
    assert rows.tolist() == [[1, 2, 9], [9, 9, 9], [3, 9, 9]]
    assert lengths.tolist() == [2, 0, 1]
    sizes = np.random.default_rng(0).integers(1, 50, 103)
    plain = text.bucket(sizes, 8)
    shuffled = text.bucket(sizes, 8, np.random.default_rng(1))
    for batches in (plain, shuffled):
        assert sorted(np.concatenate(batches).tolist()) == list(range(103))
        assert sorted(map(len, batches)) == [7] + [8] * 12
        spans = sorted((sizes[b].min(), sizes[b].max()) for b in batches)
        assert all(high <= low for (_, high), (low, _) in itertools.pairwise(spans))
    assert [b.tolist() for b in plain] != [b.tolist() for b in shuffled]
