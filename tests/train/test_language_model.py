"""Language models: the loss of every position, what helps, writing, and a model that learns."""

import numpy as np
import pytest

import gpunet
from gpunet import backend, models, nn
from gpunet.data import DataLoader, Dataset, Description
from gpunet.errors import ArgumentError, DataError
from gpunet.optim import AdamW
from gpunet.train import Trainer
from gpunet.train.config import TrainConfig
from gpunet.train.tasks import LanguageModel
from tests.kernels import needs
from tests.kernels.host.gpu import HostGPU, pretended
from tests.tolerance import EPS

LETTERS = tuple("\nabc")
SCORES = np.random.default_rng(3).standard_normal((130, 5, 4)).astype(np.float32)


class Fixed(nn.Module):
    """Scores by the number of the window, which is its first token."""

    def __init__(self):
        self.some = nn.Parameter(gpunet.zeros(1))

    def forward(self, x):
        return gpunet.tensor(SCORES[x.numpy()[:, 0]])


@pytest.fixture
def windows() -> Dataset:
    """130 of them: a full batch of 100, and a smaller one."""
    rng = np.random.default_rng(1)
    inputs = np.repeat(np.arange(130)[:, None], 5, 1)
    return Dataset("letters", inputs, rng.integers(0, 4, (130, 5)), LETTERS)


def losses(windows: Dataset) -> np.ndarray:
    """Minus the logarithm of the probability of each target, by its definition."""
    p = np.exp(SCORES.astype(np.float64))
    p /= p.sum(2, keepdims=True)
    return -np.log(np.take_along_axis(p, windows.targets[:, :, None], 2)[:, :, 0])


def test_the_loss_is_the_mean_over_positions(windows) -> None:
    x, t = gpunet.tensor(windows.inputs), gpunet.tensor(windows.targets)
    loss, figures = LanguageModel().loss(Fixed(), x, t)
    assert loss.item() == pytest.approx(losses(windows).mean(), rel=1e-6)
    assert figures == {}
    smooth = LanguageModel(nn.CrossEntropyLoss(label_smoothing=0.5)).loss(Fixed(), x, t)[0]
    assert smooth.item() > loss.item()


def test_figures(windows) -> None:
    result = LanguageModel(nn.CrossEntropyLoss(label_smoothing=0.5)).evaluate(
        Fixed(), windows, backend.cpu
    )
    expected = losses(windows)
    assert list(result.figures) == ["loss", "perplexity"]
    assert result.figures["loss"] == pytest.approx(expected.mean(), rel=1e-6)
    assert result.figures["perplexity"] == pytest.approx(np.exp(expected.mean()), rel=1e-6)
    np.testing.assert_allclose(result.outputs, expected.mean(0), rtol=1e-6)


def test_the_table_shows_how_much_reading_helps(windows) -> None:
    task, by_place = LanguageModel(), losses(windows).mean(0)
    table = task.table(task.evaluate(Fixed(), windows, backend.cpu), windows)
    stretches = {"1": [0], "2": [1], "3-4": [2, 3], "5": [4]}
    assert [row[0] for row in table.rows] == list(stretches)
    for row, places in zip(table.rows, stretches.values(), strict=True):
        mean = by_place[places].mean()
        assert row[1:] == (f"{mean:.4f}", f"{np.exp(mean):.4f}")
    assert table.summary == "130 windows of 5 characters"


# ---- a model that has learned something ---------------------------------------------------------


def text(repeats: int) -> Dataset:
    """abc, and a new line, over and over, in windows of 32."""
    tokens = np.array([1, 2, 3, 0] * 8 * repeats)
    rows = (-1, 32)
    return Dataset("abc", tokens.reshape(rows), np.roll(tokens, -1).reshape(rows), LETTERS)


@pytest.fixture(scope="module")
def trainer() -> Trainer:
    gpunet.manual_seed(0)
    model = models.CharLM(4, 8, 16, 1, dropout=0.2)
    optimizer = AdamW(model.parameters(), lr=2e-2)
    held_out = ("test", text(2))
    loader = DataLoader(text(64), 8)
    trainer = Trainer(LanguageModel(), model, optimizer, loader, held_out, TrainConfig(4, 8))
    trainer.fit()
    return trainer


def test_it_learns(trainer) -> None:
    first, *_, last = trainer.progress.history
    assert first["test_perplexity"] > last["test_perplexity"]
    assert last["test_loss"] < 0.2
    assert trainer.best_epoch() == len(trainer.progress.history)


def test_pictures_and_a_sample(trainer, tmp_path) -> None:
    """Dropout is off while the sample is written, and on again after."""
    trainer.model.train()
    written = trainer.task.pictures(
        trainer.model, trainer.evaluation, text(2), trainer.progress.history, tmp_path, seed=1
    )
    assert [path.name for path in written] == ["learning_curve.png", "sample.txt"]
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in written}
    sample = (tmp_path / "sample.txt").read_text()
    assert len(sample) == 32 + 500
    assert sample.startswith("abc\n" * 8)
    assert sample.count("abc\n") > 110  # drawn: now and then a letter is another
    assert all(module.training for module in trainer.model.modules())


def test_a_model_without_steps_has_no_sample(tmp_path) -> None:
    model = nn.Sequential(nn.Embedding(4, 4), nn.Linear(4, 4))
    task, data = LanguageModel(), text(2)
    history = [{"epoch": 1, "train_loss": 1.0, "test_loss": 1.0}]
    evaluation = task.evaluate(model, data, backend.cpu)
    written = task.pictures(model, evaluation, data, history, tmp_path, seed=1)
    assert [path.name for path in written] == ["learning_curve.png"]
    with pytest.raises(ArgumentError, match=r"must have a step\(tokens, state\), got Sequential"):
        task.write(model, LETTERS, "a", 1, backend.cpu)


def test_writing(trainer) -> None:
    model = trainer.model.eval()

    def write(prompt, length, **options):
        drawn = trainer.task.write(model, LETTERS, prompt, length, backend.cpu, **options)
        return "".join(drawn)

    assert write("ab", 9, temperature=0) == "c\nabc\nabc"
    assert write("ab", 9, temperature=5.0, top_k=1) == "c\nabc\nabc"
    assert write("ab", 0) == ""
    hot = write("ab", 400, temperature=100.0)  # all but even
    assert min(hot.count(letter) for letter in LETTERS) > 60
    with pytest.raises(ArgumentError, match="prompt must have at least one character, got none"):
        write("", 3)
    with pytest.raises(DataError, match="token must be in the vocabulary of 4, got 'é'"):
        write("abé", 3)
    with pytest.raises(ArgumentError, match="generate: temperature must be at least 0"):
        trainer.task.write(model, LETTERS, "a", 3, backend.cpu, -1.0)  # before anything is drawn


def test_a_prediction_is_the_next_character(trainer) -> None:
    known = Description(shape=(8,), classes=LETTERS, digests={}, format="text")
    model = trainer.model.eval()
    answer = trainer.task.predict(model, known, "abc\nab", backend.cpu)
    assert answer.answer == "'c'"
    assert set(answer.probabilities) == {"'\\n'", "'a'", "'b'", "'c'"}
    with gpunet.no_grad():
        last = model(gpunet.tensor(np.array([[1, 2, 3, 0, 1, 2]]))).numpy()[0, -1]
    p = np.exp(last.astype(np.float64))
    np.testing.assert_allclose(list(answer.probabilities.values()), p / p.sum(), atol=1e-6)
    with pytest.raises(ArgumentError, match="predict: prompt must have at least one character"):
        trainer.task.predict(model, known, "", backend.cpu)


@needs.compiler
def test_on_a_gpu_it_is_judged_alike_and_writes_the_same(trainer) -> None:
    task, data, model = trainer.task, text(2), models.CharLM(4, 8, 16, 1)
    model.load_state_dict(trainer.model.state_dict())
    with pretended(HostGPU()):
        be = backend.get("cuda:0")
        model.to(be.device).eval()
        there = task.evaluate(model, data, be)
        assert "".join(task.write(model, LETTERS, "ab", 9, be, 0)) == "c\nabc\nabc"
    here = task.evaluate(trainer.model, data, backend.cpu)
    np.testing.assert_allclose(there.outputs, here.outputs, atol=2**6 * EPS["float32"])
