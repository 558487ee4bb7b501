"""New tensors: values, dtypes and refusals, as PyTorch has them where it is there to be asked."""

import numpy as np
import pytest

import gpunet
from gpunet.errors import ArgumentError, DTypeError, GpunetError, ShapeError

CALLS = [
    ("tensor", [[1, 2], [3, 4]]),
    ("tensor", [1.5, 2]),
    ("tensor", True),
    ("tensor", []),
    ("zeros", 2, 3),
    ("zeros", (2, 3)),
    ("zeros", ()),
    ("ones", 3),
    ("ones", (0, 3)),
    ("full", (2,), 7),
    ("full", (2,), 7.5),
    ("full", (), True),
    ("arange", 5),
    ("arange", 2, 8, 3),
    ("arange", 1.0, 2.0, 0.25),
    ("arange", 5, 0, -2),
    ("arange", 0, 1, 0.1),
    ("arange", 0),
    ("linspace", 0, 1, 5),
    ("linspace", -2, 7, 1),
    ("linspace", 3, 1, 0),
    ("eye", 3),
    ("eye", 2, 4),
]


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_beside_pytorch(call) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: NOT compared with it")
    name, *arguments = call
    ours, theirs = getattr(gpunet, name)(*arguments), getattr(torch, name)(*arguments)
    assert str(ours.dtype) == str(theirs.dtype).removeprefix("torch.")
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_known_values() -> None:
    assert gpunet.arange(1, 2, 0.25).tolist() == [1, 1.25, 1.5, 1.75]
    assert gpunet.linspace(0, 1, 3).tolist() == [0, 0.5, 1]
    assert gpunet.eye(2, 3).tolist() == [[1, 0, 0], [0, 1, 0]]
    assert gpunet.full((2,), 3).tolist() == [3, 3]


@pytest.mark.parametrize("dtype", [gpunet.float16, "float64", np.int32, gpunet.bool, "uint8"])
def test_dtypes_by_name_and_type(dtype) -> None:
    for x in (
        gpunet.zeros(2, dtype=dtype),
        gpunet.ones(2, dtype=dtype),
        gpunet.eye(2, dtype=dtype),
    ):
        assert x.dtype == np.dtype(dtype)


def test_likes_take_over_shape_and_dtype() -> None:
    x = gpunet.zeros(2, 3, dtype="float64")
    for y in (
        gpunet.zeros_like(x),
        gpunet.ones_like(x),
        gpunet.full_like(x, 3),
        gpunet.empty_like(x),
        gpunet.rand_like(x),
        gpunet.randn_like(x),
    ):
        assert (y.shape, y.dtype) == (x.shape, x.dtype)
    assert gpunet.ones_like(x, dtype="int64").dtype == "int64"
    assert gpunet.zeros_like(x, requires_grad=True).requires_grad


# --- drawn


def test_draws_follow_the_seed() -> None:
    def draw() -> list:
        gpunet.manual_seed(7)
        tensors = gpunet.rand(5), gpunet.randn(5), gpunet.randint(0, 9, (5,)), gpunet.randperm(5)
        return [x.tolist() for x in tensors]

    assert draw() == draw()


def test_draws_have_the_right_distribution() -> None:
    """Mean and spread of 10⁵ draws are within five standard errors."""
    n = 100_000
    uniform, normal, whole = gpunet.rand(n), gpunet.randn(n), gpunet.randint(-3, 4, (n,))
    for x, mean, variance in ((uniform, 0.5, 1 / 12), (normal, 0.0, 1.0), (whole, 0.0, 4.0)):
        values = x.numpy().astype("float64")
        assert abs(values.mean() - mean) < 5 * (variance / n) ** 0.5
        assert abs(values.var() - variance) < 5 * (3 * variance**2 / n) ** 0.5
    assert uniform.array.min() >= 0
    assert uniform.array.max() < 1
    assert set(whole.tolist()) == set(range(-3, 4))
    assert sorted(gpunet.randperm(100).tolist()) == list(range(100))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_uniform_draws_stay_below_one(dtype, monkeypatch) -> None:
    from gpunet.backend.random import random

    class Highest:
        def random(self, shape):
            return np.full(shape, np.nextafter(1.0, 0.0))

    monkeypatch.setattr(random, "host", Highest())
    assert (gpunet.rand(3, dtype=dtype).array < 1).all()


# --- other libraries


def test_numpy_memory_is_shared() -> None:
    array = np.arange(3.0)
    x = gpunet.from_numpy(array)
    x[0] = 7
    array[1] = 8
    assert x.tolist() == array.tolist() == [7, 8, 2]
    assert np.shares_memory(np.asarray(x), array)


def test_dlpack_both_ways() -> None:
    array = np.arange(6.0).reshape(2, 3)
    x = gpunet.from_dlpack(array)
    assert np.shares_memory(x.array, array)
    assert np.shares_memory(np.from_dlpack(x), array)
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: NOT compared with it")
    theirs = torch.from_dlpack(gpunet.arange(3))
    theirs[0] = 5
    assert gpunet.from_dlpack(theirs).tolist() == [5, 1, 2]


def test_numpy_functions_take_tensors() -> None:
    x = gpunet.tensor([1.0, 4.0])
    assert np.sqrt(np.asarray(x)).tolist() == [1.0, 2.0]
    assert np.asarray(x, dtype="float64").dtype == "float64"
    assert np.array(x) is not x.array
    assert gpunet.tensor([x.sum(), 2.0]).tolist() == [5.0, 2.0]


# --- refusals


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: gpunet.zeros(-1), ShapeError, "size must not be negative, got (-1,)"),
        (lambda: gpunet.zeros(2.5), DTypeError, "size must be integers"),
        (lambda: gpunet.zeros(2, dtype="complex64"), DTypeError, "got 'complex64'"),
        (lambda: gpunet.zeros(2, dtype="real"), DTypeError, "must be one of float16"),
        (lambda: gpunet.arange(0, 5, -1), ArgumentError, "step must lead from 0 to 5, got -1"),
        (lambda: gpunet.arange(0, 5, 0), ArgumentError, "step must lead"),
        (lambda: gpunet.linspace(0, 1, -1), ArgumentError, "steps must be at least 0"),
        (lambda: gpunet.randint(5, 5, (2,)), ArgumentError, "high must be an integer above 5"),
        (lambda: gpunet.tensor("abc"), ArgumentError, "values must be numbers"),
        (lambda: gpunet.tensor([[1], [2, 3]]), ArgumentError, "nested lists of one shape"),
        (lambda: gpunet.from_numpy([1.0]), DTypeError, "must be a NumPy array"),
        (lambda: gpunet.from_numpy(np.array(["a"])), DTypeError, "must be a NumPy array"),
        (lambda: gpunet.from_dlpack([1.0]), DTypeError, "must have __dlpack__, got list"),
        (lambda: gpunet.ones(2, dtype="int64", requires_grad=True), ArgumentError, "floating"),
    ],
)
def test_what_is_refused(call, error, words) -> None:
    with pytest.raises(error) as caught:
        call()
    assert words in str(caught.value)
    assert isinstance(caught.value, GpunetError)
