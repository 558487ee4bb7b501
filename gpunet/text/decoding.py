"""From scores of the next token to texts: greedy, drawn, or the best of several beams.

A model is a function `step(tokens, state) -> (logits, state)`: it reads one more token of each
text, (N,) of int64, and answers with scores (N, V) and what it wants to see next time. The first
state is the caller's, None for most. States are never changed, so beams may share them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from gpunet.autograd.mode import no_grad
from gpunet.autograd.tensor import Tensor
from gpunet.backend import random
from gpunet.errors import ArgumentError

Step = Callable[[Tensor, Any], tuple[Tensor, Any]]


def generate(
    step: Step,
    tokens: Tensor,
    length: int,
    state: Any = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
    stop: int | None = None,
) -> Any:
    """Continues texts by `length` tokens; returns those as (N, at most length) of int64.

    The arguments are those of `stream`.
    """
    drawn = list(stream(step, tokens, length, state, temperature, top_k, top_p, stop))
    return np.stack(drawn, 1) if drawn else np.zeros((tokens.shape[0], 0), np.int64)


def stream(
    step: Step,
    tokens: Tensor,
    length: int,
    state: Any = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
    stop: int | None = None,
) -> Iterator[Any]:
    """Continues texts by `length` tokens; yields each place, (N,) of int64, once it is drawn.

    Each token is drawn from softmax(logits / temperature) by the generator that
    `gpunet.manual_seed` sets.
    Shapes: tokens (N, T), T at least 1, what the texts begin with; `step` reads them first.
    Args:
        temperature: 0 takes the best token each time; the higher, the more even the draw.
        top_k: only so many of the best tokens are drawn from.
        top_p: only the fewest best tokens whose probabilities reach this sum are drawn from
            (Holtzman et al., arXiv:1904.09751, section 3.1).
        stop: after this token a text is filled up with it; when all have it, no more is drawn.
    """
    name = "generate"
    _check(name, tokens, length)
    if not temperature >= 0:
        raise ArgumentError(name, f"temperature must be at least 0, got {temperature}")
    if top_k is not None and top_k < 1:
        raise ArgumentError(name, f"top_k must be at least 1, got {top_k}")
    if not 0 < top_p <= 1:
        raise ArgumentError(name, f"top_p must be in (0, 1], got {top_p}")
    be = tokens.backend

    def draw(state: Any) -> Iterator[Any]:  # apart: a call with bad arguments fails at once
        done = np.zeros(tokens.shape[0], bool)
        unread = [tokens[:, t] for t in range(tokens.shape[1])]
        for _ in range(length):
            with no_grad():  # not around the yield, which is where the caller goes on
                for token in unread:
                    logits, state = step(token, state)
            chosen = _draw(be.to_host(logits.array), temperature, top_k, top_p)
            if stop is not None:
                chosen = np.where(done, stop, chosen)
                done |= chosen == stop
            yield chosen
            if done.all():
                return
            unread = [Tensor(be.asarray(chosen, "int64"), be)]

    return draw(state)


def _draw(logits: Any, temperature: float, top_k: int | None, top_p: float) -> Any:
    """A token for each row."""
    logits = logits.astype("float64")
    if temperature == 0:
        return logits.argmax(1)
    order = np.argsort(-logits, axis=1, kind="stable")
    p = np.take_along_axis(_log_softmax(logits / temperature), order, 1)
    p = np.exp(p)
    if top_k is not None:
        p[:, top_k:] = 0
    p /= p.sum(1, keepdims=True)
    before = np.cumsum(p, 1) - p
    p[before >= top_p] = 0  # the best one always stays
    ends = np.cumsum(p, 1)
    u = random.host.random((len(p), 1)) * ends[:, -1:]
    place = np.minimum((ends <= u).sum(1), (p > 0).sum(1) - 1)
    return np.take_along_axis(order, place[:, None], 1)[:, 0]


def beam_search(
    step: Step,
    tokens: Tensor,
    length: int,
    width: int,
    state: Any = None,
    stop: int | None = None,
    length_penalty: float = 0.0,
) -> list[tuple[list[int], float]]:
    """The best continuations of a text by at most `length` tokens, best first, with their scores.

    Of all continuations by one more token, the `width` most probable are kept. A score is the sum
    of log p, divided by (number of tokens)^length_penalty.
    Shapes: tokens (T,), T at least 1.
    Args:
        stop: a text that ends in this token is complete.
        length_penalty: 0 compares the sums, which favours short texts; 1 the means.
    """
    name = "beam_search"
    if tokens.ndim != 1:
        raise ArgumentError(name, f"tokens must have one axis, got shape {tokens.shape}")
    _check(name, tokens.reshape(1, -1), length)
    if width < 1:
        raise ArgumentError(name, f"width must be at least 1, got {width}")
    be = tokens.backend
    with no_grad():
        for t in range(tokens.shape[0]):
            logits, state = step(tokens[t : t + 1], state)
        beams: list[Any] = [([], 0.0, logits, state)]
        complete: list[tuple[list[int], float]] = []
        for i in range(length):
            beams = _best(be, beams, width)
            complete += [(text, score) for text, score, *_ in beams if text[-1] == stop]
            beams = [beam for beam in beams if beam[0][-1] != stop]
            if not beams or i + 1 == length:
                break
            beams = [
                (text, score, *step(Tensor(be.asarray(text[-1:], "int64"), be), state))
                for text, score, _, state in beams
            ]
    complete += [(text, score) for text, score, *_ in beams]
    rated = [(text, score / max(1, len(text)) ** length_penalty) for text, score in complete]
    return sorted(rated, key=lambda pair: -pair[1])[:width]


def _best(be: Any, beams: list[Any], width: int) -> list[Any]:
    """The most probable texts that are one token longer."""
    longer = []
    for text, score, logits, state in beams:
        log_p = _log_softmax(be.to_host(logits.array).astype("float64"))[0]
        for token in np.argsort(-log_p, kind="stable")[:width]:
            longer.append(([*text, int(token)], score + float(log_p[token]), None, state))
    return sorted(longer, key=lambda beam: -beam[1])[:width]


def _log_softmax(x: Any) -> Any:
    return x - np.logaddexp.reduce(x, axis=1, keepdims=True)


def _check(name: str, tokens: Tensor, length: int) -> None:
    if tokens.ndim != 2 or not tokens.shape[1]:
        rule = "tokens must have shape (N, T) with T at least 1 (no text is empty)"
        raise ArgumentError(name, f"{rule}, got {tokens.shape}")
    if length < 0:
        raise ArgumentError(name, f"length must be at least 0, got {length}")
