"""Translation: the loss of teacher forcing, BLEU, and a model that learns to turn texts round."""

import json
import sys

import numpy as np
import pytest

import gpunet
from gpunet import backend, models, nn, text
from gpunet.data import DataLoader, Dataset, Description
from gpunet.errors import ArgumentError, CheckpointError, DataError, MissingPackageError
from gpunet.optim import AdamW
from gpunet.text import END, PADDING, SPECIALS, START
from gpunet.train import Run, Trainer
from gpunet.train.config import Config, DataConfig, ModelConfig, OptimizerConfig, TrainConfig
from gpunet.train.tasks import Translation
from tests.kernels import needs
from tests.kernels.host.gpu import HostGPU, pretended
from tests.tolerance import EPS

LETTERS = text.WordVocabulary([*SPECIALS, *"abcdefgh"], "<unk>")
NUMBERS = text.WordVocabulary([*SPECIALS, *"12345678"], "<unk>")


def pairs(count: int, seed: int = 0) -> Dataset:
    """Two to four letters, and their numbers in the alphabet from back to front."""
    rng = np.random.default_rng(seed)
    rows = [rng.integers(4, 12, rng.integers(2, 5)) for _ in range(count)]
    inputs, _ = text.pad(rows)
    targets, _ = text.pad([[START, *row[::-1], END] for row in rows])
    return Dataset("letters", inputs, targets, tuple(NUMBERS.tokens), (LETTERS, NUMBERS))


class Fixed(nn.Module):
    """Scores that depend on nothing but the place."""

    def __init__(self):
        self.some = nn.Parameter(gpunet.zeros(1))
        self.rows = np.random.default_rng(3).standard_normal((9, 12)).astype(np.float32)

    def forward(self, source, target):
        n, length = target.shape
        return gpunet.tensor(np.broadcast_to(self.rows[:length], (n, length, 12)).copy())

    def encode(self, source):
        return 0

    def step(self, tokens, state):
        return gpunet.tensor(np.repeat(self.rows[state % 9][None], len(tokens), 0)), state + 1


def losses(dataset: Dataset) -> np.ndarray:
    """Minus log p of each token after the first that is not padding, by its definition."""
    p = np.exp(Fixed().rows.astype(np.float64))
    p /= p.sum(1, keepdims=True)
    return np.array(
        [-np.log(p[i, k]) for row in dataset.targets for i, k in enumerate(row[1:]) if k != PADDING]
    )


def test_the_loss_is_the_mean_over_tokens_without_padding() -> None:
    some = pairs(40)
    x, t = gpunet.tensor(some.inputs), gpunet.tensor(some.targets)
    loss, figures = Translation().loss(Fixed(), x, t)
    assert loss.item() == pytest.approx(losses(some).mean(), rel=1e-6)
    assert figures == {}
    smooth = Translation(nn.CrossEntropyLoss(label_smoothing=0.5)).loss(Fixed(), x, t)[0]
    assert smooth.item() != pytest.approx(loss.item(), rel=1e-3)


def test_figures() -> None:
    """Over batches of other lengths, each token counts once."""
    some = pairs(230)
    result = Translation(nn.CrossEntropyLoss(label_smoothing=0.5)).evaluate(
        Fixed(), some, backend.cpu
    )
    assert list(result.figures) == ["loss", "perplexity"]
    assert result.figures["loss"] == pytest.approx(losses(some).mean(), rel=1e-6)
    assert result.figures["perplexity"] == pytest.approx(np.exp(losses(some).mean()), rel=1e-6)
    best = [int(row.argmax()) for row in Fixed().rows]
    for row in result.outputs:
        length = best.index(END) if END in best else len(row)
        assert row == (best * 9)[: len(row)]
        assert len(row) <= length


def test_bleu_is_asked_for(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    assert Translation().measured == ()
    with pytest.raises(MissingPackageError, match="sacrebleu"):
        Translation(measured=["bleu"])


def test_a_model_must_have_steps() -> None:
    class Whole(Fixed):
        step = None

    with pytest.raises(ArgumentError, match=r"must have encode\(source\) and step\(.*, got Whole"):
        Translation().evaluate(Whole(), pairs(3), backend.cpu)


# ---- a model that has learned something ---------------------------------------------------------


@pytest.fixture(scope="module")
def trainer() -> Trainer:
    pytest.importorskip("sacrebleu", reason="sacrebleu is not installed: translation NOT tested")
    gpunet.manual_seed(0)
    model = models.Seq2Seq(12, 12, 16, 24, 12, dropout=0.1)
    optimizer = AdamW(model.parameters(), lr=5e-3)
    loader = DataLoader(pairs(2000), 16, shuffle=True)
    held_out, config = ("test", pairs(60, seed=1)), TrainConfig(10, 16)
    trainer = Trainer(Translation(None, ["bleu"]), model, optimizer, loader, held_out, config)
    trainer.fit()
    return trainer


def test_it_learns(trainer) -> None:
    first, *_, last = trainer.progress.history
    assert first["test_loss"] > last["test_loss"]
    assert last["test_bleu"] > 90
    right = [row == [n for n in t[1:] if n > END] for row, t in zip(
        trainer.evaluation.outputs, trainer.held_out.targets.tolist(), strict=True
    )]  # fmt: skip
    assert np.mean(right) > 0.9


def test_the_table_goes_by_length(trainer) -> None:
    table = trainer.task.table(trainer.evaluation, trainer.held_out)
    assert table.columns == ("tokens of the source", "texts", "bleu")
    assert [row[1] for row in table.rows] == ["15"] * 4
    assert table.rows[0][0].startswith("2-")
    assert table.rows[-1][0].endswith("-4")
    assert all(0 <= float(row[2]) <= 100 for row in table.rows)
    plain = Translation().table(trainer.evaluation, trainer.held_out)
    assert plain.columns == ("figure", "value")


def test_pictures_and_translations(trainer, tmp_path) -> None:
    """Dropout is off while they are made, and on again after."""
    trainer.model.train()
    written = trainer.task.pictures(
        trainer.model, trainer.evaluation, trainer.held_out, trainer.progress.history, tmp_path, 1
    )
    names = ["learning_curve.png", "translations.txt", "attention.png"]
    assert [path.name for path in written] == names
    assert {path.name for path in tmp_path.iterdir()} == set(names)
    blocks = (tmp_path / "translations.txt").read_text().strip().split("\n\n")
    assert len(blocks) == 50
    rows = [[line[13:] for line in block.split("\n")] for block in blocks]
    for source, reference, _ in rows:
        assert reference == " ".join(str(ord(c) - 96) for c in reversed(source.split()))
    assert np.mean([row[1] == row[2] for row in rows]) > 0.9
    assert all(module.training for module in trainer.model.modules())


def test_a_prediction(trainer) -> None:
    model, task = trainer.model.eval(), Translation()
    task.vocabularies = trainer.held_out.vocabularies
    known = Description(shape=(4,), classes=(), digests={}, format="pairs")
    assert task.predict(model, known, "a  b c", backend.cpu).answer == "3 2 1"
    assert task.predict(model, known, "a λ", backend.cpu).answer  # unknown, and no error
    with pytest.raises(DataError, match="predict: text must have at least one word, got ' '"):
        task.predict(model, known, " ", backend.cpu)


def test_a_run_keeps_the_vocabularies(trainer, tmp_path) -> None:
    config = Config(
        name="letters",
        task="translation",
        data=DataConfig("multi30k"),
        model=ModelConfig(kind="Seq2Seq"),
        optimizer=OptimizerConfig("AdamW"),
        train=TrainConfig(4, 32),
    )
    run = Run.create(tmp_path / "run", config, 1000)
    assert run.vocabularies() == ()
    run.on_start(trainer)
    kept = Run.open(tmp_path / "run").vocabularies()
    assert [type(v) for v in kept] == [text.WordVocabulary] * 2
    assert [v.tokens for v in kept] == [LETTERS.tokens, NUMBERS.tokens]
    file = tmp_path / "run" / "vocabularies.json"
    assert [table["unknown"] for table in json.loads(file.read_text())] == ["<unk>"] * 2
    file.write_text("[")
    with pytest.raises(CheckpointError, match=r"vocabularies\.json must be as it was written"):
        run.vocabularies()


@needs.compiler
def test_on_a_gpu_it_is_judged_alike(trainer) -> None:
    model, some = models.Seq2Seq(12, 12, 16, 24, 12), trainer.held_out.subset(range(6))
    model.load_state_dict(trainer.model.state_dict())
    with pretended(HostGPU()):
        be = backend.get("cuda:0")
        there = trainer.task.evaluate(model.to(be.device), some, be)
    here = trainer.task.evaluate(trainer.model, some, backend.cpu)
    assert there.outputs == here.outputs
    assert there.figures["loss"] == pytest.approx(here.figures["loss"], abs=2**6 * EPS["float32"])
