"""Classification of texts: what words contribute, pictures, predictions, learning."""

import numpy as np
import pytest

import gpunet
from gpunet import backend, models, nn, text
from gpunet.data import DataLoader, Dataset, Description
from gpunet.errors import DataError
from gpunet.optim import AdamW
from gpunet.text import SPECIALS
from gpunet.train import Trainer
from gpunet.train.config import TrainConfig
from gpunet.train.tasks import TextClassification
from gpunet.train.tasks.text_classification import contributions

WORDS = text.WordVocabulary([*SPECIALS[:2], *"bad good a film it is".split()], "<unk>")
CLASSES = ("negative", "positive")


def films(count: int, seed: int = 0) -> Dataset:
    """Two to six words, one of which is "bad" or "good"."""
    rng = np.random.default_rng(seed)
    rows, labels = [], rng.integers(0, 2, count)
    for label in labels:
        row = rng.integers(4, len(WORDS), rng.integers(2, 7))
        row[rng.integers(len(row))] = 2 + label
        rows.append(row)
    return Dataset("films", text.pad(rows)[0], labels, CLASSES, (WORDS,))


class Counting(nn.Module):
    """Scores that are the counts of "bad" and "good"."""

    def __init__(self):
        self.some = nn.Parameter(gpunet.zeros(1))

    def forward(self, x):
        tokens = x.numpy()
        counts = np.stack([(tokens == 2).sum(1), (tokens == 3).sum(1)], 1)
        return gpunet.tensor(counts.astype(np.float32))


def test_contributions_are_what_is_lost_without_a_word() -> None:
    tokens = WORDS.encode("a good good bad film")
    got = contributions(Counting(), tokens, 1, backend.cpu)

    def log_p(bad: int, good: int) -> float:
        return good - np.log(np.exp(bad) + np.exp(good))

    whole = log_p(1, 2)
    expected = [0, whole - log_p(1, 1), whole - log_p(1, 1), whole - log_p(0, 2), 0]
    np.testing.assert_allclose(got, expected, atol=1e-6)
    assert got[1] > 0 > got[3]


@pytest.fixture(scope="module")
def trainer() -> Trainer:
    gpunet.manual_seed(0)
    model = models.TextCNN(len(WORDS), 2, 8, (1, 2), 8, word_dropout=0.1)
    optimizer = AdamW(model.parameters(), lr=1e-2)
    held_out, config = ("test", films(50, seed=1)), TrainConfig(4, 20)
    loader = DataLoader(films(600), 20, shuffle=True)
    trainer = Trainer(TextClassification(), model, optimizer, loader, held_out, config)
    trainer.fit()
    return trainer


def test_it_learns(trainer) -> None:
    assert trainer.progress.history[-1]["test_accuracy"] == 1


def test_pictures(trainer, tmp_path) -> None:
    """Of a set without mistakes, too; dropout is on again after."""
    trainer.model.train()
    written = trainer.task.pictures(
        trainer.model, trainer.evaluation, trainer.held_out, trainer.progress.history, tmp_path, 1
    )
    names = ["learning_curve.png", "confusion_matrix.png", "sentences.png"]
    assert [path.name for path in written] == names
    assert {path.name for path in tmp_path.iterdir()} == set(names)
    assert all(module.training for module in trainer.model.modules())


def test_a_prediction(trainer) -> None:
    known = Description(shape=(4,), classes=CLASSES, digests={}, format="sentences")
    task, model = TextClassification(), trainer.model.eval()
    task.vocabularies = (WORDS,)
    for said, expected in (("it is a good film", "positive"), ("a bad λ", "negative")):
        answer = task.predict(model, known, said, backend.cpu)
        assert answer.answer == expected
        assert answer.probabilities[expected] > 0.5
        assert sum(answer.probabilities.values()) == pytest.approx(1)
    with pytest.raises(DataError, match="predict: text must have at least one word, got ''"):
        task.predict(model, known, "", backend.cpu)
