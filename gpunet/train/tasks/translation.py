"""Translation: one text into another, token by token."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from gpunet import functional as F
from gpunet import nn
from gpunet.autograd import Tensor, no_grad
from gpunet.backend import Backend
from gpunet.data import Dataset, Description
from gpunet.errors import ArgumentError, DataError
from gpunet.text import END, PADDING, START, Vocabulary, beam_search, bleu, generate, shift
from gpunet.train.checkpoint import write_atomically
from gpunet.train.tasks.task import (
    Evaluation,
    Figures,
    Metric,
    Prediction,
    Table,
    Task,
    evaluating,
)

Tokens = list[int]

PICTURES, READABLE = 6, 16  # matrices of attention, of translations of so many tokens at most
SAMPLE = 50  # translations in the run folder
BEAMS = 5
MEAN = 1.0  # beams are compared by the mean of log p, or short ones would win


class Translation(Task):
    """A model gives scores of each next token of the target: model(source, target) is (N, T, K).

    It is trained by teacher forcing: at each place it sees the tokens of the reference before it,
    whatever it would have said itself. The loss is in nats a token, the mean over all tokens but
    padding; the perplexity is its exponential. The outputs of an evaluation are the translations
    of its own, the best token each time: a list of tokens for each text.
    """

    losses = (nn.CrossEntropyLoss,)
    metrics: ClassVar[Mapping[str, Metric]] = {"bleu": bleu}
    evaluation_batch = 100

    def __init__(self, criterion: nn.Module | None = None, measured: Sequence[str] = ()):
        loss: Any = criterion or nn.CrossEntropyLoss()
        loss.ignore_index = PADDING
        super().__init__(loss, measured)
        if "bleu" in measured:
            bleu(["a"], ["a"])  # says what is missing before anything is trained

    def loss(self, model: nn.Module, x: Tensor, t: Tensor) -> tuple[Tensor, Figures]:
        return self.criterion(*_forced(model, x, t)), {}

    def measure(self, model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> Evaluation:
        """Cross entropy, whatever the loss in training."""
        total, count = 0.0, 0
        outputs: list[Tokens] = []
        for x, t in batches:
            scores, targets = _forced(model, x, t)
            total += F.cross_entropy(scores, targets, None, PADDING, "sum").item()
            count += int((targets.array != PADDING).sum())
            outputs += translate(model, x)
        loss = total / count
        perplexity = math.exp(loss) if loss < 700 else math.inf  # or math.exp overflows
        return Evaluation({"loss": loss, "perplexity": perplexity}, outputs)

    def metric(self, name: str, outputs: Any, dataset: Dataset) -> float:
        """Of the texts that tokens stand for."""
        said = (texts(rows, dataset.vocabularies[1]) for rows in (outputs, dataset.targets))
        return self.metrics[name](*said)

    def show(self, name: str, value: float) -> str:
        return f"{value:.2f}" if name == "bleu" else super().show(name, value)

    def table(self, evaluation: Evaluation, dataset: Dataset) -> Table:
        """A row for each quarter of the texts, from short to long sources, if BLEU is measured."""
        if "bleu" not in self.measured:
            return super().table(evaluation, dataset)
        lengths = (dataset.inputs != PADDING).sum(1)
        rows = []
        for part in np.array_split(np.argsort(lengths, kind="stable"), 4):
            if len(part):
                chosen = dataset.subset(part)
                score = self.metric("bleu", [evaluation.outputs[i] for i in part], chosen)
                tokens = f"{lengths[part].min()}-{lengths[part].max()}"
                rows.append((tokens, f"{len(part):,}", self.show("bleu", score)))
        summary = f"{len(dataset):,} texts, the best token each time"
        return Table(("tokens of the source", "texts", "bleu"), rows, summary)

    def pictures(
        self,
        model: nn.Module,
        evaluation: Evaluation,
        dataset: Dataset,
        history: Sequence[Mapping[str, Any]],
        folder: Path,
        seed: int,
    ) -> list[Path]:
        """The learning curve, the attention of some translations, and `translations.txt`."""
        from gpunet import viz

        written = super().pictures(model, evaluation, dataset, history, folder, seed)
        be = next(model.parameters()).backend
        sample = np.random.Generator(np.random.Philox(seed)).permutation(len(dataset))[:SAMPLE]
        chosen = dataset.subset(np.sort(sample))
        with evaluating(model):
            found = [search(model, x[x != PADDING], be) for x in chosen.inputs]
            pairs = [
                viz.Looked(*_looked(model, x[x != PADDING], tokens, chosen.vocabularies, be))
                for x, tokens in zip(chosen.inputs, found, strict=True)
                if 0 < len(tokens) <= READABLE
            ][:PICTURES]
        lines = [
            f"source       {source}\nreference    {reference}\ntranslation  {translation}\n"
            for source, reference, translation in zip(
                texts(chosen.inputs, dataset.vocabularies[0]),
                texts(chosen.targets, dataset.vocabularies[1]),
                texts(found, dataset.vocabularies[1]),
                strict=True,
            )
        ]
        write_atomically(folder / "translations.txt", "\n".join(lines).encode())
        written.append(folder / "translations.txt")
        if pairs:
            written.append(viz.attention_page(pairs, folder / "attention.png"))
        return written

    @no_grad()
    def predict(self, model: nn.Module, known: Description, source: str, be: Backend) -> Prediction:
        """The translation of the text `source`, the best of several beams."""
        words, target = self.vocabularies
        tokens = words.encode(source)
        if not len(tokens):
            raise DataError("predict", f"text must have at least one word, got {source!r}")
        return Prediction(texts([search(model, tokens, be)], target)[0])


def translate(model: nn.Module, x: Tensor) -> list[Tokens]:
    """The translation of each source (N, S), the best token each time."""
    encode, step = _parts(model)
    be = x.backend
    start = Tensor(be.full((len(x), 1), START, "int64"), be)
    found = generate(step, start, _longest(x.shape[1]), encode(x), temperature=0, stop=END)
    return [row[: (row == END).argmax() if END in row else None].tolist() for row in found]


def search(model: nn.Module, tokens: Any, be: Backend, beams: int = BEAMS) -> Tokens:
    """The best translation that is found of a source, tokens (S,) of int64, with several beams."""
    encode, step = _parts(model)
    start = Tensor(be.full((1,), START, "int64"), be)
    with no_grad():
        state = encode(Tensor(be.asarray(tokens[None]), be))
    best, _ = beam_search(step, start, _longest(len(tokens)), beams, state, END, MEAN)[0]
    return [token for token in best if token != END]


def texts(rows: Iterable[Iterable[int]], vocabulary: Vocabulary) -> list[str]:
    """What tokens say, without padding, start and end."""
    return [vocabulary.decode(n for n in row if n not in (PADDING, START, END)) for row in rows]


def _parts(model: nn.Module) -> tuple[Any, Any]:
    """What reads a source, and what goes on with a translation."""
    encode: Any = getattr(model, "encode", None)
    step: Any = getattr(model, "step", None)
    if encode is None or step is None:
        kind = type(model).__name__
        rule = "model must have encode(source) and step(tokens, state)"
        raise ArgumentError("translation", f"{rule}, got {kind}")
    return encode, step


def _longest(length: int) -> int:
    """Tokens of the longest translation that is tried of a source of this length."""
    return 2 * length + 10


@no_grad()
def _looked(
    model: Any, source: Any, tokens: Tokens, vocabularies: Sequence[Vocabulary], be: Backend
) -> tuple[list[str], list[str], Any]:
    """Words of a source, words of its translation, and how much each of these looked at those."""
    read = Tensor(be.asarray(np.array([[START, *tokens]])), be)
    _, weights, _ = model.read(read, model.encode(Tensor(be.asarray(source[None]), be)))
    matrix = be.to_host(weights.array)[0, : len(tokens)]  # the last looks for the end
    words = []
    for axis, vocabulary, row in zip((1, 0), vocabularies, (source, tokens), strict=True):
        names = [vocabulary.tokens[i] for i in row]
        starts = vocabulary.words(names)
        matrix = np.add.reduceat(matrix, starts, axis)
        ends = [*starts[1:], len(names)]
        words.append([vocabulary.join(names[i:k]) for i, k in zip(starts, ends, strict=True)])
    return words[0], words[1], matrix / matrix.sum(1, keepdims=True)


def _forced(model: nn.Module, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Scores at all places of all texts, and the tokens that are there: (N·T, K) and (N·T,)."""
    read, said = shift(t)
    scores = model(x, read)
    return scores.reshape(-1, scores.shape[-1]), said.reshape(-1)
