"""Language models: at each position of a text, what comes next?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gpunet import functional as F
from gpunet import nn
from gpunet.autograd import Tensor, no_grad
from gpunet.backend import Backend
from gpunet.data import DataLoader, Dataset, Description
from gpunet.errors import ArgumentError
from gpunet.text import CharVocabulary, stream
from gpunet.train.checkpoint import write_atomically
from gpunet.train.tasks.task import (
    Carried,
    Evaluation,
    Figures,
    Prediction,
    Table,
    Task,
    evaluating,
)

PROMPT = 32  # characters of the held-out text that the sample goes on from
SAMPLE = 500  # and its own
STREAMS = 10  # parts of a text that a stateful model is judged on: each begins without a state


class LanguageModel(Task):
    """A model gives K scores of the next token at each of T positions, (N, T, K).

    It sees a window of the text at a time and nothing before it, unless it is `stateful`: then its
    state at the end of a window is carried to the next, both in training, where the gradient ends
    at the border, and when it is judged, on `STREAMS` parts of the text that it reads at once. The
    loss is in nats a token, the mean over all positions; the perplexity is its exponential. The
    outputs of an evaluation are the mean losses at each position of a window, (T,).

    Args:
        stateful: the model must have `read(tokens, state) -> (scores, state)`, as `CharLM` has; its
            state is a tuple of tensors (layers, N, ...), and None at the beginning.
    """

    losses = (nn.CrossEntropyLoss,)
    scores_axis = -1
    evaluation_batch = 100

    def __init__(
        self,
        criterion: nn.Module | None = None,
        measured: Sequence[str] = (),
        stateful: bool = False,
    ):
        super().__init__(criterion, measured)
        self.stateful = stateful

    def loss(self, model: nn.Module, x: Tensor, t: Tensor) -> tuple[Tensor, Figures]:
        return self.criterion(*_flat(model(x), t)), {}

    def loss_after(
        self, model: nn.Module, x: Tensor, t: Tensor, carried: Carried
    ) -> tuple[Tensor, Figures, Carried]:
        scores, carried = self._scores(model, x, carried)
        return self.criterion(*_flat(scores, t)), {}, carried

    def _scores(self, model: Any, x: Tensor, carried: Carried) -> tuple[Tensor, Carried]:
        """The scores of windows, and what is carried on from there, which has no gradient.

        Fewer windows than before are the first of them: see `DataLoader`.
        """
        if not self.stateful:
            return model(x), None
        if carried is not None and carried[0].shape[1] > len(x):
            carried = tuple(state[:, : len(x)] for state in carried)
        scores, after = model.read(x, carried)
        return scores, tuple(state.detach() for state in after)

    def _loader(self, dataset: Dataset) -> DataLoader:
        if self.stateful:
            return DataLoader(dataset, STREAMS, consecutive=True)
        return super()._loader(dataset)

    def measure(self, model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> Evaluation:
        """Cross entropy, whatever the loss in training."""
        sums: Any = 0.0
        count, carried = 0, None
        for x, t in batches:
            scores, carried = self._scores(model, x, carried)
            losses = F.cross_entropy(*_flat(scores, t), reduction="none")
            host = x.backend.to_host(losses.array).reshape(t.shape)
            sums, count = sums + host.sum(0, dtype="float64"), count + len(x)
        outputs = sums / count
        mean = float(outputs.mean())
        return Evaluation({"loss": mean, "perplexity": _exp(mean)}, outputs)

    def table(self, evaluation: Evaluation, dataset: Dataset) -> Table:
        """How much it helps to have read more; a stretch of positions is as long as all before.

        A stateful model has read all windows before, too.
        """
        rows, start, length = [], 0, len(evaluation.outputs)
        while start < length:
            stop = min(max(1, 2 * start), length)
            loss = float(evaluation.outputs[start:stop].mean())
            read = f"{start + 1}" if stop == start + 1 else f"{start + 1}-{stop}"
            rows.append((read, self.show("loss", loss), self.show("perplexity", _exp(loss))))
            start = stop
        summary = f"{len(dataset):,} windows of {length} characters"
        return Table(("characters read", "loss", "perplexity"), rows, summary)

    def pictures(
        self,
        model: nn.Module,
        evaluation: Evaluation,
        dataset: Dataset,
        history: Sequence[Mapping[str, Any]],
        folder: Path,
        seed: int,
    ) -> list[Path]:
        """The learning curve, and `sample.txt`: how the model goes on with the held-out text."""
        written = super().pictures(model, evaluation, dataset, history, folder, seed)
        if not hasattr(model, "step"):
            return written
        be = next(model.parameters()).backend
        prompt = CharVocabulary(dataset.classes).decode(dataset.inputs[0, :PROMPT])
        with evaluating(model):
            text = prompt + "".join(self.write(model, dataset.classes, prompt, SAMPLE, be))
        write_atomically(folder / "sample.txt", text.encode())
        return [*written, folder / "sample.txt"]

    def predict(self, model: nn.Module, known: Description, source: str, be: Backend) -> Prediction:
        """The character after the text `source`."""
        classes, state = known.classes, None
        step, tokens = _begin("predict", model, classes, source, be)
        with no_grad():
            for t in range(tokens.shape[1]):
                scores, state = step(tokens[:, t], state)
            probabilities = be.to_host(F.softmax(scores, 1).array)[0]
        shown = [repr(character) for character in classes]  # or a space would not be seen
        return Prediction(
            shown[int(probabilities.argmax())],
            dict(zip(shown, map(float, probabilities), strict=True)),
        )

    def write(
        self,
        model: nn.Module,
        classes: tuple[str, ...],
        prompt: str,
        length: int,
        be: Backend,
        temperature: float = 1.0,
        top_k: int | None = None,
    ) -> Iterator[str]:
        """The characters that follow on `prompt`, each as soon as it is drawn.

        Args:
            model: in evaluation mode, with a `step` for `gpunet.text`. classes: its vocabulary.
            length: characters. temperature, top_k: see `gpunet.text.stream`.

        Raises:
            ArgumentError: an empty prompt, a model without a `step`, or a value out of range.
            DataError: a character of the prompt is not in the vocabulary.
        """
        vocabulary = CharVocabulary(classes)
        step, tokens = _begin("generate", model, classes, prompt, be)
        drawn = stream(step, tokens, length, None, temperature, top_k)
        return (vocabulary.decode(token) for token in drawn)


def _begin(
    operation: str, model: nn.Module, classes: tuple[str, ...], prompt: str, be: Backend
) -> tuple[Any, Tensor]:
    """The step of a model, and the tokens of a prompt, (1, T)."""
    step: Any = getattr(model, "step", None)
    if step is None:
        kind = type(model).__name__
        raise ArgumentError(operation, f"model must have a step(tokens, state), got {kind}")
    if not prompt:
        raise ArgumentError(operation, "prompt must have at least one character, got none")
    return step, Tensor(be.asarray(CharVocabulary(classes).encode(prompt)[None]), be)


def _flat(scores: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """All positions of all windows as a batch: (N·T, K) and (N·T,)."""
    return scores.reshape(-1, scores.shape[-1]), t.reshape(-1)


def _exp(loss: float) -> float:
    return math.exp(loss) if loss < 700 else math.inf  # or math.exp overflows
