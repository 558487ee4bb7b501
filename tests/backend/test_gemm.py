"""Matrix products against NumPy's in float64, for every way in which operands can lie in memory."""

from threading import Barrier, Thread

import numba
import numpy as np
import pytest

from gpunet.backend import cpu
from gpunet.backend.cpu import gemm as module
from gpunet.backend.cpu import threads
from gpunet.backend.cpu.tile import take

gemm = module.gemm
M, K, N = module.ROWS + 5, module.CHUNK + module.DEPTH + 3, module.COLUMNS + 9

SHAPES = [
    *(
        (m, 7, n)
        for m in (1, 2, 3, 4, 5, 8, 9, 17)
        for n in (1, 2, 7, 8, 9, 16, 23, 24, 25, 33, 49)
    ),
    *((9, k, 26) for k in (1, 2, 3, 4, 5, 8, 9, 31, module.DEPTH, module.DEPTH + 1)),
    (M, 20, N),
    (6, K, N),
    (M, K, 5),
]
EMPTY = [(0, 3, 4), (3, 0, 4), (3, 4, 0), (0, 0, 0)]

LAYOUTS = {
    "rows": lambda x: x.copy("C"),
    "columns": lambda x: x.copy("F"),
    "every second column": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "every second row": lambda x: np.repeat(x, 2, axis=0)[::2],
    "every second row of columns": lambda x: np.repeat(x.T, 2, axis=0)[::2].T,
    "neither axis dense": lambda x: np.repeat(np.repeat(x, 2, axis=0), 3, axis=1)[::2, ::3],
    "backwards": lambda x: np.flip(np.flip(x).copy()),
    "rows backwards": lambda x: np.flip(np.flip(x, 0).copy(), 0),
    "inside a larger array": lambda x: np.pad(x, ((1, 2), (3, 1)), constant_values=np.nan)[
        1:-2, 3:-1
    ],
    "inside larger columns": lambda x: np.pad(x.T, ((3, 1), (1, 2)), constant_values=np.nan).T[
        1:-2, 3:-1
    ],
    "off the boundary of an element": lambda x: shifted(x),
    "read only": lambda x: frozen(x),
}


def shifted(x):
    raw = np.empty(x.nbytes + 1, np.uint8)[1:]
    y = raw.view(x.dtype).reshape(x.shape)
    y[...] = x
    return y


def frozen(x):
    y = x.copy()
    y.flags.writeable = False
    return y


def drawn(m, k, n, dtype):
    rng = np.random.default_rng(m + k + n)
    return rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)


def expected(a, b):
    """The product in float64, and how far k roundings may lead from it (Higham, section 3.1)."""
    a, b = a.astype("float64"), b.astype("float64")
    return np.einsum("ik,kj->ij", a, b), np.einsum("ik,kj->ij", abs(a), abs(b))


def check(a, b, dtype):
    """Writes into the middle of an array of NaN, which must stay NaN around the result."""
    m, n = a.shape[0], b.shape[1]
    around = np.full((m + 2) * n, np.nan, dtype)
    out = around[n : n + m * n].reshape(m, n)
    assert gemm(a, b, out) is out
    exact, size = expected(a, b)
    assert (abs(out - exact) <= (a.shape[1] + 1) * np.finfo(dtype).eps * size).all()
    assert np.isnan(around[:n]).all()
    assert np.isnan(around[n + m * n :]).all()


@pytest.fixture
def pool(monkeypatch):
    """Sets the number of threads, whatever the size of a product."""
    monkeypatch.setattr(module, "SHARED_WORK", 0)

    def resize(size: int) -> None:
        monkeypatch.setenv("GPUNET_NUM_THREADS", str(size))
        threads.close()
        assert threads.count() == size

    yield resize
    threads.close()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shapes(shape, dtype) -> None:
    a, b = drawn(*shape, dtype)
    for x in (a, np.asfortranarray(a)):
        for y in (b, np.asfortranarray(b)):
            check(x, y, dtype)


@pytest.mark.parametrize("shape", EMPTY, ids=str)
def test_an_empty_sum_is_zero(shape) -> None:
    m, _, n = shape
    out = np.full((m, n), np.nan, "float32")
    assert gemm(*drawn(*shape, "float32"), out) is out
    np.testing.assert_array_equal(out, np.zeros((m, n)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("of_a", LAYOUTS)
def test_layouts(of_a, dtype) -> None:
    for shape in [(13, 21, 29), (1, 9, 5), (5, 9, 1), (5, 1, 6)]:
        a, b = drawn(*shape, dtype)
        for of_b in LAYOUTS.values():
            check(LAYOUTS[of_a](a), of_b(b), dtype)


def test_repeated_rows_and_columns_take_no_memory() -> None:
    """Axes with a stride of zero."""
    a, b = drawn(9, 11, 30, "float32")
    for x in (np.broadcast_to(a[:1], a.shape), np.broadcast_to(a[:, :1], a.shape)):
        for y in (np.broadcast_to(b[:1], b.shape), np.broadcast_to(b[:, :1], b.shape)):
            check(x, y, "float32")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(M, 20, 2 * N), (30, K, N), (5, 3, 2), (2, 9, 5 * N)], ids=str)
def test_the_number_of_threads_changes_no_bit(pool, shape, dtype) -> None:
    a, b = drawn(*shape, dtype)
    for x in (a, np.asfortranarray(a)):
        for y in (b, np.asfortranarray(b)):
            results = []
            for size in (1, 2, 3, 8):
                pool(size)
                out = np.full((shape[0], shape[2]), np.nan, dtype)
                results.append(gemm(x, y, out))
            check(x, y, dtype)
            for result in results[1:]:
                np.testing.assert_array_equal(results[0], result)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "shape", [(M, 20, N), (7, K, 5), (1, 5, 9), (5, 9, 1), (3, 0, 4), (2, 3, 50)], ids=str
)
def test_a_bias_is_added_to_the_whole_sum(pool, shape, dtype) -> None:
    a, b = drawn(*shape, dtype)
    m, _, n = shape
    bias = np.random.default_rng(1).standard_normal(n).astype(dtype)
    without = gemm(a, b, np.empty((m, n), dtype))
    for size in (1, 3):
        pool(size)
        around = np.full((m + 2) * n, np.nan, dtype)
        out = around[n : n + m * n].reshape(m, n)
        assert gemm(a, b, out, bias) is out
        np.testing.assert_array_equal(out, without + bias)
        assert np.isnan(around[:n]).all()
        assert np.isnan(around[n + m * n :]).all()


NEEDS = [(True, True, True), (False, True, True), (True, True, False), (False, False, True)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(M, 20, N), (K, 7, 9), (6, 5, K), (1, 6, 4), (5, 4, 1)], ids=str)
def test_gradients_of_a_dense_layer(pool, shape, dtype) -> None:
    """Those of one run of the threads are those of products and sums alone, to the bit."""
    rows, features, out = shape
    gz, w = drawn(rows, out, features, dtype)
    x = drawn(rows, features, 1, dtype)[0]
    expected = cpu.matmul(gz, w), cpu.matmul(gz.T, x), cpu.reduction.column_sum(gz)
    for size in (1, 2, 5):
        pool(size)
        for needs in NEEDS:
            for layout in (lambda x: x, LAYOUTS["neither axis dense"]):
                found = cpu.linear_bwd(layout(gz), layout(x), layout(w), needs)
                for g, exact, need in zip(found, expected, needs, strict=True):
                    assert (g is not None) == need
                    if need:
                        np.testing.assert_array_equal(g, exact)


LEADS = [
    ((3,), (3,)),
    ((3, 2), (3, 2)),
    ((2, 3, 2), (2, 3, 2)),
    ((3, 1), (1, 2)),
    ((2,), (3, 1)),
    ((), (3, 2)),
    ((0, 2), (0, 2)),
]


BATCH_LAYOUTS = [
    lambda x: x,
    lambda x: x.swapaxes(-1, -2).copy().swapaxes(-1, -2),
    lambda x: np.moveaxis(np.moveaxis(x, 0, -2).copy(), -2, 0),  # as the heads of an attention
    lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    lambda x: np.flip(np.flip(x).copy()),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("leads", LEADS, ids=str)
def test_batches(pool, leads, dtype) -> None:
    rng = np.random.default_rng(0)
    for m, k, n in ((19, 40, 17), (3, 2, 4), (1, 90, 80), (5, 0, 3)):
        a, b = (
            rng.standard_normal((*lead, *s)).astype(dtype)
            for lead, s in zip(leads, ((m, k), (k, n)), strict=True)
        )
        expected = np.matmul(a.astype("float64"), b.astype("float64"))
        bound = (k + 2) * np.finfo(dtype).eps * np.matmul(np.abs(a), np.abs(b))
        for layout in BATCH_LAYOUTS:
            for x, y in ((a, layout(b)), (layout(a), b)):
                results = []
                for size in (1, 3):
                    pool(size)
                    results.append(cpu.matmul(x, y))
                assert results[0].tobytes() == results[1].tobytes()
                assert results[0].shape == expected.shape
                assert (np.abs(results[0] - expected) <= bound).all()


def test_threads_take_every_item_once() -> None:
    def take_all(counters, items, times_taken):
        while True:
            item = take(counters, 1)
            if item >= items:
                break
            times_taken[item % 1000] += 1

    compiled = numba.njit("(int64[::1], int64, int64[::1])", nogil=True)(take_all)
    counters, times_taken, start = np.zeros(3, np.int64), np.zeros((3, 1000), np.int64), Barrier(3)
    items = 20_000_000  # longer than the slices of time in which a busy core runs one thread

    def work(number: int) -> None:
        start.wait()
        compiled(counters, items, times_taken[number])

    users = [Thread(target=work, args=(number,)) for number in range(3)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    np.testing.assert_array_equal(counters, [0, items + 3, 0])
    np.testing.assert_array_equal(times_taken.sum(0), np.full(1000, items // 1000))


@pytest.mark.parametrize("position", [(0, 0), (7, 5), (16, 12)])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_spread_over_their_row_and_column_only(position, value) -> None:
    """Neither is lost in an element, nor gets into others by way of the padding."""
    a, b = (abs(x) for x in drawn(17, 13, 31, "float32"))
    i, k = position
    for x in (a, np.asfortranarray(a)):
        for y in (b, np.asfortranarray(b)):
            x, y, out = x.copy("K"), y.copy("K"), cpu.empty((17, 31), "float32")
            x[i, k] = value
            gemm(x, y, out)
            np.testing.assert_array_equal(out[i], np.full(31, value))
            assert np.isfinite(np.delete(out, i, axis=0)).all()
            x[i, k], y[k, i] = 1, value
            gemm(x, y, out)
            np.testing.assert_array_equal(out[:, i], np.full(17, value))
            assert np.isfinite(np.delete(out, i, axis=1)).all()


def test_operands_stay_as_they_are() -> None:
    a, b = drawn(50, 40, 60, "float32")
    before = a.copy(), b.copy()
    gemm(a, b, np.empty((50, 60), "float32"))
    np.testing.assert_array_equal(a, before[0])
    np.testing.assert_array_equal(b, before[1])
