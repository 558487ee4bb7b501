"""Classification of texts: one label a sentence, and which words made it so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gpunet import functional as F
from gpunet import nn
from gpunet.autograd import Tensor, no_grad
from gpunet.backend import Backend
from gpunet.data import Dataset, Description
from gpunet.errors import DataError
from gpunet.text import PADDING, UNKNOWN
from gpunet.train.tasks.classification import Classification
from gpunet.train.tasks.task import Evaluation, Prediction, Task, evaluating

SHOWN = 5  # sentences under each heading of the page


class TextClassification(Classification):
    """A model takes tokens (N, T), filled up with `text.PADDING`, and gives K scores a text."""

    evaluation_batch = 200

    def pictures(
        self,
        model: nn.Module,
        evaluation: Evaluation,
        dataset: Dataset,
        history: Sequence[Mapping[str, Any]],
        folder: Path,
        seed: int,
    ) -> list[Path]:
        """Learning curve, confusion matrix, and sentences whose words are coloured by their say."""
        from gpunet import viz

        targets, probabilities, classes = dataset.targets, evaluation.outputs, dataset.classes
        answers, be = probabilities.argmax(1), next(model.parameters()).backend
        sections: dict[str, list[viz.Sentence]] = {}
        with evaluating(model):
            for heading, chosen in _choose(targets, probabilities, seed).items():
                sections[heading] = []
                for i in chosen:
                    tokens = dataset.inputs[i][dataset.inputs[i] != PADDING]
                    said = f"{classes[answers[i]]} ({probabilities[i].max():.0%})"
                    truth = "" if answers[i] == targets[i] else f"; it is {classes[targets[i]]}"
                    words = [dataset.vocabularies[0].tokens[n] for n in tokens]
                    say = contributions(model, tokens, int(answers[i]), be)
                    sections[heading].append(viz.Sentence(words, say, said + truth))
        matrix = folder / "confusion_matrix.png"
        return [
            *Task.pictures(self, model, evaluation, dataset, history, folder, seed),
            viz.confusion_matrix(targets, answers, classes, matrix),
            viz.sentence_page(sections, folder / "sentences.png"),
        ]

    @no_grad()
    def predict(self, model: nn.Module, known: Description, source: str, be: Backend) -> Prediction:
        """The class of the text `source`."""
        classes, (words,) = known.classes, self.vocabularies
        tokens = words.encode(source)
        if not len(tokens):
            raise DataError("predict", f"text must have at least one word, got {source!r}")
        scores = model(Tensor(be.asarray(tokens[None]), be))
        probabilities = be.to_host(F.softmax(scores, 1).array)[0]
        return Prediction(
            classes[int(probabilities.argmax())],
            dict(zip(classes, map(float, probabilities), strict=True)),
        )


@no_grad()
def contributions(model: nn.Module, tokens: Any, answer: int, be: Backend) -> Any:
    """How far each word of a text speaks for a class: what log p falls by where it is not known.

    Shapes: tokens (T,) of int64, result (T,).

    Source: Zeiler and Fergus, arXiv:1311.2901, section 2.1 (occlusion).
    """
    texts = np.repeat(tokens[None], 1 + len(tokens), 0)
    texts[np.arange(1, len(texts)), np.arange(len(tokens))] = UNKNOWN
    log_p = be.to_host(F.log_softmax(model(Tensor(be.asarray(texts), be)), 1).array)[:, answer]
    return log_p[0] - log_p[1:]


def _choose(targets: Any, probabilities: Any, seed: int) -> dict[str, Any]:
    """Texts under the heading that says how they were chosen."""
    answers, sure = probabilities.argmax(1), probabilities.max(1)
    surest = np.argsort(-sure, kind="stable")
    right = answers[surest] == targets[surest]
    drawn = np.random.Generator(np.random.Philox(seed)).permutation(len(targets))
    sections = {
        "A random sample": np.sort(drawn[:SHOWN]),
        "The surest that are right": surest[right][:SHOWN],
        "The surest that are wrong": surest[~right][:SHOWN],
    }
    return {heading: chosen for heading, chosen in sections.items() if len(chosen)}
