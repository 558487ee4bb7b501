"""Large arrays, shared out over threads: the bits of one thread, and every element once."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from gpunet.backend.cpu import (
    activation,
    difference,
    dropout,
    order,
    reduction,
    scan,
    share,
    softmax,
    threads,
)

rng = np.random.default_rng(0)
ROWS, COLUMNS = 411, 333  # neither whole pieces nor whole vectors, and enough to be shared
X, GY = rng.normal(0, 2, (2, ROWS, COLUMNS))
BIAS = rng.normal(0, 1, COLUMNS)
WIDE = X.reshape(-1, 3 * COLUMNS)
P = np.exp(X) / np.exp(X).sum(1, keepdims=True)

CALLS: dict[str, Callable[[Any], Any]] = {
    "forward": lambda of: activation.tanh_fwd(of(X)),
    "forward with bias": lambda of: activation.elu_fwd(of(X), 1.5, 1.0, 1.0, bias=of(BIAS)),
    "forward in place": lambda of: in_place(of(X), None),
    "forward with bias in place": lambda of: in_place(of(X), of(BIAS)),
    "backward": lambda of: activation.sigmoid_bwd(of(GY), of(P)),
    "backward with bias": lambda of: activation.gelu_bwd(of(GY), of(X), bias=of(BIAS)),
    "softmax": lambda of: softmax.softmax_fwd(of(X)),
    "softmax, backward": lambda of: softmax.softmax_bwd(of(GY), of(P)),
    "log-softmax": lambda of: softmax.log_softmax_fwd(of(X)),
    "log-softmax, backward": lambda of: softmax.log_softmax_bwd(of(GY), of(np.log(P))),
    "dropout": lambda of: dropout.dropout(of(X), 0.3, 5, 7),
    "column sum": lambda of: reduction.column_sum(of(X)),
    "sum of losses": lambda of: difference.huber_fwd(of(X), of(GY), 1.5, 2.0, total=True),
    "order": lambda of: order.argsort(of(X), 1, True, None),
    "element of a rank": lambda of: order.argsort(of(X), 1, False, np.array([[7]])),
    "elements in order": lambda of: order.take_along(of(X), X.argsort(1), 1),
    "running sum": lambda of: scan.running(of(X), "cumsum", 1, False),
    "running maximum": lambda of: scan.extrema(of(X), 1, True)[1],
    "running logarithm of a sum": lambda of: scan.accumulate(np.logaddexp, of(X), 1),
    "running sum of columns": lambda of: scan.running(of(WIDE), "cumsum", 0, True),
}


def in_place(x: Any, bias: Any) -> Any:
    assert activation.relu_fwd(x, bias=bias, out=x) is x
    return x


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many tasks were handed to the threads in each run; calls of 4 threads."""
    counted: list[int] = []
    pool = threads._Pool()
    pool.size = 4
    monkeypatch.setattr(threads, "_pool", pool)
    run = pool.run

    def counting(work: list[threads.Task]) -> None:
        counted.append(len(work))
        run(work)

    monkeypatch.setattr(pool, "run", counting)
    return counted


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_many_threads_give_the_bits_of_one(call, dtype, tasks, monkeypatch) -> None:
    def result() -> bytes:
        return call(lambda x: x.astype(dtype)).tobytes()

    shared = result()
    assert len(tasks) == 1
    assert tasks[0] > 1
    never = dict.fromkeys(share.WORTHWHILE, 2 * X.size * softmax.COST)
    monkeypatch.setattr(share, "WORTHWHILE", never)
    monkeypatch.setattr(reduction, "WORTHWHILE", share.WORTHWHILE)
    same = result() == shared  # a name: pytest would spell out how long texts differ
    assert same
    assert len(tasks) == 1


def test_pieces_do_not_depend_on_the_threads(monkeypatch) -> None:
    seen: list[list[tuple[Any, ...]]] = []
    monkeypatch.setattr(threads, "run", lambda tasks: seen.append([args for _, args in tasks]))
    for size in (1, 7):
        monkeypatch.setattr(threads, "count", lambda size=size: size)
        share.share(lambda *_: None, ("x",), 70_000, 3, np.dtype("float32"), "more")
    assert seen[0] == seen[1]
    edges = [(start, stop) for _, start, stop, _ in seen[0]]
    assert edges[0][0] == 0
    assert edges[-1][1] == 70_000
    assert all(one[1] == other[0] for one, other in pairwise(edges))
    assert {args[0] for args in seen[0]} == {"x"}
    assert {args[3] for args in seen[0]} == {"more"}
