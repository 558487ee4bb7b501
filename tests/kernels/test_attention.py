"""kernels/attention.cu, executed: against the formula, and the CPU twins."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided

from gpunet.backend.cpu import attention as twin
from gpunet.backend.cuda.attention import NUMBERS, THREADS, tiles
from tests.kernels import needs
from tests.kernels.close import assert_close
from tests.kernels.dtypes import DTYPES, FLOAT16, FLOAT32, FLOAT64, Array, DType
from tests.kernels.host import build
from tests.kernels.host.device import Device, everywhere

pytestmark = needs.compiler

NAMES = "q", "k", "v", "out", "gy", "gq", "gk", "gv"
FORWARD = NAMES[:4]
LAYOUTS = {  # axes of memory (batches, rows, heads) in which the heads lie
    "heads outside": (0, 2, 1),
    "heads inside": (0, 1, 2),
    "batches inside": (2, 1, 0),
}


@dataclass(frozen=True, eq=False)
class Problem:
    """Heads of (batches, heads), and how they lie in memory.

    Attributes:
        gap: elements that are nobody's behind each row.
    """

    dtype: DType
    lead: tuple[int, int]
    queries: int
    keys: int
    features: int
    width: int
    first: int
    layout: str = "heads inside"
    gap: int = 0
    aligned: bool = True
    blocks: int = 3
    scale: float = 0.5

    def shape(self, name: str) -> tuple[int, ...]:
        rows = self.keys if name in ("k", "v", "gk", "gv") else self.queries
        return *self.lead, rows, self.features if name[-1] in "qk" else self.width

    def drawn(self, name: str) -> Array:
        random = np.random.default_rng(NAMES.index(name))
        return self.dtype.encode(random.normal(0, 1, self.shape(name)))

    def placed(self, device: Device, name: str, values: Array | None = None) -> tuple[Any, Any]:
        """Memory for an array, and the view of it that the array is."""
        batches, heads, rows, columns = self.shape(name)
        axes = LAYOUTS[self.layout]
        sizes = [(batches, rows, heads)[axis] for axis in axes]
        memory = device.empty((*sizes, columns + self.gap), self.dtype.storage, self.aligned)
        places = [axes.index(axis) for axis in (0, 2, 1)]
        view = memory.transpose(*places, 3)[..., :columns]
        if values is not None:
            view[...] = values
        return memory, view

    def numbers(self, device: Device, views: list[Array]) -> Array:
        """struct Shape."""
        sizes = np.prod(self.lead), self.lead[1], self.queries, self.keys
        strides = [np.array(view.strides[:3]) // view.itemsize for view in views]
        known = np.concatenate([(*sizes, self.features, self.width), *strides])
        return device.array(np.resize(np.append(known, [0] * NUMBERS), NUMBERS).astype(np.int64))

    @property
    def kernels(self) -> dict[str, Any]:
        return build.load("attention", self.dtype)

    @property
    def rest(self) -> tuple[Any, ...]:
        return self.first, self.scale

    def shared(self, passing: str) -> dict[str, int]:
        widest = max(self.features, self.width)
        return {
            "shared": getattr(tiles(widest, np.dtype(self.dtype.accumulator).itemsize), passing)
        }

    def forward(self, given: dict[str, Array] | None = None) -> tuple[Array, Array]:
        """The result and the logarithms of the sums."""
        given = given or {name: self.drawn(name) for name in "qkv"}

        def program(device: Device) -> tuple[Array, Array]:
            pairs = [self.placed(device, name, given.get(name)) for name in FORWARD]
            memory, views = zip(*pairs, strict=True)
            lse = device.empty((*self.lead, self.queries), self.dtype.accumulator)
            numbers = self.numbers(device, list(views))
            launch = self.kernels["attention_fwd"], self.blocks, THREADS
            device.launch(*launch, *memory, lse, numbers, *self.rest, **self.shared("forward"))
            assert_gaps_are_left(memory[3], views[3])
            return views[3], lse

        return everywhere(program)

    def backward(self, given: dict[str, Array], lse: Array) -> tuple[Array, ...]:
        """The gradients of q, k and v, by the two launches."""

        def program(device: Device) -> tuple[Array, ...]:
            pairs = [self.placed(device, name, given.get(name)) for name in NAMES]
            memory = {name: pair[0] for name, pair in zip(NAMES, pairs, strict=True)}
            numbers = self.numbers(device, [view for _, view in pairs])
            known, delta = device.array(lse), device.empty(lse.shape, lse.dtype)
            read = [memory[name] for name in ("gy", "q", "k", "v")]
            arrays = *read, memory["out"], known, memory["gq"], delta, numbers
            launch, shared = (self.blocks, THREADS), self.shared("backward")
            device.launch(self.kernels["attention_bwd"], *launch, *arrays, *self.rest, **shared)
            arrays = *read, known, delta, memory["gk"], memory["gv"], numbers
            finish = self.kernels["attention_bwd_finish"]
            device.launch(finish, *launch, *arrays, *self.rest, **shared)
            for pair in pairs[5:]:
                assert_gaps_are_left(*pair)
            return tuple([view for _, view in pairs[5:]])

        return everywhere(program)

    # --- the formulas

    def weights(self, q: Array, k: Array) -> Array:
        scores = self.scale * np.einsum("...qi,...ki->...qk", q, k)
        rows, keys = np.indices(scores.shape[-2:])
        scores = np.where(keys < self.first + rows, scores, -np.inf)
        e = np.exp(scores - scores.max(-1, keepdims=True))
        return e / e.sum(-1, keepdims=True)

    def result(self, q: Array, k: Array, v: Array) -> Array:
        return np.einsum("...qk,...ki->...qi", self.weights(q, k), v)

    def gradients(self, q: Array, k: Array, v: Array, out: Array, gy: Array) -> list[Array]:
        """By the `out` that is given, which has been rounded."""
        p = self.weights(q, k)
        delta = (gy * out).sum(-1, keepdims=True)
        gs = np.asarray(self.scale, p.dtype) * p * (np.einsum("...qi,...ki->...qk", gy, v) - delta)
        return [
            np.einsum("...qk,...ki->...qi", gs, k),
            np.einsum("...qk,...qi->...ki", gs, q),
            np.einsum("...qk,...qi->...ki", p, gy),
        ]


def assert_gaps_are_left(memory: Array, view: Array) -> None:
    """What lies between the rows holds the NaN that it held before."""
    bits = memory.view(np.uint8).copy()
    inside = as_strided(bits.view(memory.dtype), view.shape, view.strides)
    inside[...] = np.frombuffer(b"\xff" * memory.itemsize, memory.dtype)[0]
    assert (bits == 0xFF).all()


def assert_right(problem: Problem) -> None:
    """Both passes against the formulas."""
    given = {name: problem.drawn(name) for name in (*"qkv", "gy")}
    out, lse = problem.forward({name: given[name] for name in "qkv"})
    assert_close(out, problem.result, problem.dtype, *[given[name] for name in "qkv"])
    given["out"] = np.ascontiguousarray(out)
    inputs = [given[name] for name in (*FORWARD, "gy")]
    for i, gradient in enumerate(problem.backward(given, lse)):
        assert_close(gradient, lambda *x, i=i: problem.gradients(*x)[i], problem.dtype, *inputs)


# Leading axes, queries, keys, features, width, keys that the first query sees. The first few are
# small launches, which the sanitizers watch.
SHAPES = (
    ((1, 1), 1, 1, 1, 1, 1),
    ((1, 3), 5, 7, 4, 6, 7),
    ((2, 2), 9, 6, 8, 8, 1),
    ((1, 2), 64, 64, 32, 32, 1),
    ((2, 1), 65, 130, 30, 32, 130),
    ((1, 2), 70, 67, 33, 12, 3),
    ((1, 1), 131, 66, 64, 64, 1),
    ((1, 1), 3, 140, 40, 64, 138),
    ((1, 2), 34, 70, 128, 5, 1),
    ((1, 1), 66, 40, 72, 128, 30),
)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_equals_the_formula(dtype: DType, shape: Any) -> None:
    assert_right(Problem(dtype, *shape))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("gap", "aligned"), [(0, True), (8, True), (1, True), (8, False)])
@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT16], ids=str)
def test_any_layout_is_right(dtype: DType, gap: int, aligned: bool, layout: str) -> None:
    shape = (2, 3), 6, 35, 8, 16, 30
    assert_right(Problem(dtype, *shape, layout=layout, gap=gap, aligned=aligned))


def test_gradients_in_one_array() -> None:
    # As the parts of one product's gradient: between the rows of each lie those of the others.
    problem = Problem(FLOAT32, (1, 2), 5, 5, 8, 8, 1, gap=32)
    given = {name: problem.drawn(name) for name in (*"qkv", "gy")}
    given["out"], lse = (np.ascontiguousarray(x) for x in problem.forward())
    apart = problem.backward(given, lse)

    def program(device: Device) -> Array:
        one = device.empty((5, 3, 2, 8), np.float32)
        parts = [one[None, :, i].swapaxes(1, 2) for i in range(3)]
        memory = [one.reshape(-1)[16 * i :] for i in range(3)]
        dense = replace(problem, gap=0)
        read = {name: dense.placed(device, name, given[name]) for name in (*FORWARD, "gy")}
        views = [read[name][1] for name in read]
        numbers = problem.numbers(device, [*views, *parts])
        q, k, v, out, gy = (read[name][0] for name in read)
        known, delta = device.array(lse), device.empty(lse.shape, lse.dtype)
        rest, shared = problem.rest, problem.shared("backward")
        arrays = gy, q, k, v, out, known, memory[0], delta, numbers
        device.launch(problem.kernels["attention_bwd"], 2, THREADS, *arrays, *rest, **shared)
        arrays = gy, q, k, v, known, delta, *memory[1:], numbers
        finish = problem.kernels["attention_bwd_finish"]
        device.launch(finish, 2, THREADS, *arrays, *rest, **shared)
        return one

    one = everywhere(program)
    for i, gradient in enumerate(apart):
        np.testing.assert_array_equal(one[None, :, i].swapaxes(1, 2), gradient)


@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=str)
def test_any_number_of_blocks_gives_the_same_bits(dtype: DType) -> None:
    problem = Problem(dtype, (1, 2), 70, 90, 16, 16, 5)
    given = {name: problem.drawn(name) for name in (*"qkv", "gy")}
    found = []
    for blocks in (1, 4, 9):
        other = replace(problem, blocks=blocks)
        given["out"], lse = (np.ascontiguousarray(x) for x in other.forward())
        results = given["out"], lse, *other.backward(given, lse)
        found.append([np.ascontiguousarray(x).tobytes() for x in results])
    assert found[1] == found[2] == found[0]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=str)
def test_equals_the_cpu_twin(dtype: DType, shape: Any) -> None:
    problem = Problem(dtype, *shape)
    given = {name: problem.drawn(name) for name in (*"qkv", "gy")}
    q, k, v, gy = given.values()
    expected = [np.empty_like(x) for x in (gy, q, k, v)]
    twin.attention_fwd(q, k, v, expected[0], problem.scale, problem.first)
    twin.attention_bwd(gy, q, k, v, *expected[1:], *problem.rest[::-1], None)
    given["out"], lse = (np.ascontiguousarray(x) for x in problem.forward())
    found = given["out"], *problem.backward(given, lse)
    # Each may be as far from the truth as a sum of so many terms.
    terms = max(problem.keys, problem.queries) + problem.features + problem.width
    for actual, other in zip(found, expected, strict=True):
        assert np.abs(actual - other).max() <= terms * dtype.epsilon * np.abs(other).max()


def test_large_scores_neither_overflow_nor_lose_their_differences() -> None:
    problem = Problem(FLOAT32, (1, 1), 2, 130, 1, 1, 130, scale=1.0)
    q, k = np.array([[[[100], [-100]]]], np.float32), np.zeros((1, 1, 130, 1), np.float32)
    k[0, 0, :, 0] = 100 + np.arange(130) / 100
    v = np.eye(130, dtype=np.float32)[None, None, :, -1:]
    out, lse = problem.forward({"q": q, "k": k, "v": v})
    exact = problem.weights(q.astype(np.longdouble), k.astype(np.longdouble))[..., -1:]
    # Scores of 10^4 are rounded to 2^-11, and the weights' exponents by as much.
    np.testing.assert_allclose(out, exact.astype(float), rtol=2**-9, atol=FLOAT32.epsilon)
    assert np.isfinite(lse).all()


def test_a_tile_of_nothing_but_minus_infinity() -> None:
    problem = Problem(FLOAT32, (1, 1), 2, 130, 1, 1, 130, scale=1.0)
    q, k = np.ones((1, 1, 2, 1), np.float32), np.zeros((1, 1, 130, 1), np.float32)
    k[0, 0, :100] = -np.inf
    v = np.arange(130, dtype=np.float32)[None, None, :, None]
    out, _ = problem.forward({"q": q, "k": k, "v": v})
    np.testing.assert_allclose(out, np.full((1, 1, 2, 1), np.arange(100, 130).mean()), rtol=1e-6)
    k[...] = -np.inf
    assert np.isnan(problem.forward({"q": q, "k": k, "v": v})[0]).all()


def test_nan_stays_in_its_row() -> None:
    problem = Problem(FLOAT32, (1, 2), 5, 70, 4, 4, 70)
    given = {name: problem.drawn(name) for name in (*"qkv", "gy")}
    given["q"][0, 1, 3, 0] = np.nan
    out, lse = (np.ascontiguousarray(x) for x in problem.forward(given))
    assert np.isnan(out[0, 1, 3]).all()
    assert np.isnan(out).sum() == 4
    gq, gk, _ = problem.backward({**given, "out": out}, lse)
    assert np.isnan(gq[0, 1, 3]).all()
    assert np.isnan(gq).sum() == 4
    assert not np.isnan(gk[0, 0]).any()
    assert np.isnan(gk[0, 1]).all()
