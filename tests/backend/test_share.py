"""Large arrays, shared out over threads: the bits of one thread, and every element once."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from gpunet import backend
from gpunet.backend.cpu import (
    activation,
    ctc,
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
ROWS, COLUMNS = 1611, 333  # neither whole pieces nor whole vectors, and enough to be shared
X, GY = rng.normal(0, 2, (2, ROWS, COLUMNS))
BIAS = rng.normal(0, 1, COLUMNS)
WIDE = X.reshape(-1, 3 * COLUMNS)
P = np.exp(X) / np.exp(X).sum(1, keepdims=True)
LOGS = X.reshape(179, 9, COLUMNS)  # steps of sequences, with labels to be aligned
ALIGNED = rng.integers(0, COLUMNS, (9, 61)), rng.integers(150, 180, 9), rng.integers(30, 61, 9)
ALPHA = -np.abs(rng.normal(0, 2, (9, 179, 2, 61)))

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
    "alignments": lambda of: ctc.ctc_loss_fwd(of(LOGS), *ALIGNED)[0],
    "alignments, backward": lambda of: ctc.ctc_loss_bwd(
        of(GY[0, :9]), of(LOGS), *ALIGNED, of(ALPHA), of(np.zeros(9)), False
    ),
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
def tasks(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many tasks were handed to the threads in each run; calls of 4 threads."""
    counted: list[int] = []
    pool = threads._Pool()
    pool.size = 4
    monkeypatch.setattr(threads, "_pool", pool)
    run, spread = pool.run, pool.spread

    def counting(work: list[threads.Task]) -> None:
        counted.append(len(work))
        run(work)

    def counting_cuts(function: Any, edges: Any, *arguments: Any) -> None:
        counted.append(edges.size - 1)
        spread(function, edges, *arguments)

    monkeypatch.setattr(pool, "run", counting)
    monkeypatch.setattr(pool, "spread", counting_cuts)
    yield counted
    pool.close()


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


LABELS = np.random.default_rng(0).integers(0, COLUMNS, ROWS)
ROW_NUMBERS = np.random.default_rng(0).integers(0, 50, ROWS)
be = backend.cpu
PLAIN_CALLS: dict[str, Callable[[Any], Any]] = {
    "add": lambda of: be.xp.add(of(X), of(GY)),
    "add, one transposed": lambda of: be.xp.add(of(X), of(GY.T.copy()).T),
    "add, strided": lambda of: be.xp.add(of(X)[:, ::-1], of(GY)),
    "add, broadcast": lambda of: be.xp.add(of(X), of(BIAS)),
    "add, short axes first": lambda of: be.xp.add(of(X).reshape(3, 1, -1), of(GY).reshape(3, -1)),
    "number": lambda of: be.xp.multiply(2.5, of(X)),
    "compare": lambda of: be.xp.greater(of(X), of(GY)),
    "sine": lambda of: be.xp.sin(of(X)),
    "exp": lambda of: be.xp.exp(of(X)),
    "exp, strided": lambda of: be.xp.exp(of(X)[:, ::-1]),
    "log": lambda of: be.xp.log(of(P)),
    "copy": lambda of: be.copy(of(X)),
    "copy, transposed": lambda of: be.copy(of(X).T),
    "cast": lambda of: be.cast(of(X), "float16"),
    "full": lambda of: be.full(X.shape, 7, of(X).dtype),
    "concatenate": lambda of: be.concatenate([of(X), of(GY)], 0),
    "concatenate columns": lambda of: be.concatenate([of(X), of(GY)[:, :5]], 1),
    "embedding": lambda of: be.embedding.embedding_fwd(of(X), LABELS.repeat(2) % ROWS),
    "embedding, backward": lambda of: be.embedding.embedding_bwd(of(X)[None], ROW_NUMBERS, 50),
    "cross entropy": lambda of: b"".join(
        x.tobytes() for x in softmax.cross_entropy_fwd(of(X), LABELS, of(BIAS), 3, 0.1)
    ),
    "cross entropy, backward": lambda of: softmax.cross_entropy_bwd(
        of(X[:, 0]), of(P), LABELS, of(BIAS), 3, 0.1
    ),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("call", PLAIN_CALLS.values(), ids=PLAIN_CALLS)
def test_what_numpy_does_in_pieces_is_the_same_on_one_thread(call, dtype, tasks) -> None:
    shared = bytes(call(lambda x: x.astype(dtype)))
    assert max(tasks) > 1
    threads._the_pool().size = 1
    same = bytes(call(lambda x: x.astype(dtype))) == shared
    assert same


def test_pieces_cover_every_element_once() -> None:
    for shapes in ([(600_000,)], [(2, 300_000), (300_000,)], [(7, 1, 400), (7, 100, 400), ()]):
        arrays = [np.zeros(shape, int) for shape in shapes]
        shape = np.broadcast_shapes(*shapes)
        counted = np.zeros(shape, int)
        pieces = share.cut((*arrays, 3, counted), shape)
        assert len(pieces) > 1
        for *parts, three, count in pieces:
            assert three == 3
            assert np.broadcast_shapes(*[x.shape for x in parts]) == count.shape
            count += 1
        assert (counted == 1).all()


def test_errors_of_numpy_are_those_of_the_caller() -> None:
    zero = np.zeros(1 << 18)
    with np.errstate(divide="ignore"):
        assert np.isinf(be.xp.divide(1.0, zero)).all()
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError, match="divide by zero"):
        be.xp.divide(1.0, zero)


def test_pieces_do_not_depend_on_the_threads(monkeypatch) -> None:
    seen: list[list[Any]] = []

    def look(_: Any, edges: Any, *arguments: Any) -> None:
        seen.append([*arguments, *edges.tolist()])

    monkeypatch.setattr(threads, "spread", look)
    for size in (1, 7):
        monkeypatch.setattr(threads, "count", lambda size=size: size)
        share.share(lambda *_: None, ["x"], 700_001, 3, np.dtype("float32"), "more")
    assert seen[0] == seen[1]
    before, after, *edges = seen[0]
    assert (before, after) == (("x",), ("more",))
    assert (edges[0], edges[-1]) == (0, 700_001)
    assert len(edges) > 2
    assert all(one < other for one, other in pairwise(edges))
