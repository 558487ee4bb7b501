"""The tensor as a container: how it is made, shown, taken apart, and what it refuses."""

import copy
import operator as op

import numpy as np
import pytest

import gpunet
from gpunet import backend
from gpunet.autograd import Tensor
from gpunet.backend.cpu import CPUBackend
from gpunet.errors import ArgumentError, DTypeError, GradError, ShapeError

# --- made


@pytest.mark.parametrize(
    ("values", "dtype", "shape"),
    [
        (1.5, "float32", ()),
        (2, "int64", ()),
        (True, "bool", ()),
        ([1, 2.5], "float32", (2,)),
        ([[1, 2], [3, 4]], "int64", (2, 2)),
        ((False, True), "bool", (2,)),
        ([], "float32", (0,)),
        ([[]], "float32", (1, 0)),
        ([np.float64(1.5)], "float32", (1,)),
        (np.float64(1.5), "float64", ()),
        (np.ones((2, 3)), "float64", (2, 3)),
        (np.ones(2, "float16"), "float16", (2,)),
        (np.ones(2, "uint8"), "uint8", (2,)),
    ],
    ids=repr,
)
def test_dtypes(values, dtype, shape) -> None:
    x = gpunet.tensor(values)
    assert (x.dtype, x.shape, x.ndim, x.numel()) == (dtype, shape, len(shape), np.prod(shape))
    np.testing.assert_array_equal(x.numpy(), np.asarray(values, dtype))
    assert gpunet.tensor(x).dtype == dtype
    assert x.is_leaf
    assert (x.device, x.requires_grad, x.grad) == ("cpu", False, None)


@pytest.mark.parametrize("dtype", ["float64", np.float32, np.dtype("int32"), bool])
def test_dtype_asked_for(dtype) -> None:
    assert gpunet.tensor([0, 1, 2], dtype=dtype).dtype == dtype
    assert gpunet.tensor(np.ones(2), dtype=dtype).dtype == dtype


def test_values_are_copied() -> None:
    source = np.arange(6.0).reshape(2, 3)
    x, turned, again = gpunet.tensor(source), gpunet.tensor(source.T), None
    again = gpunet.tensor(x)
    source[...] = 9
    x.array[0, 0] = 7
    assert turned.numpy().tolist() == [[0, 3], [1, 4], [2, 5]]
    assert turned.array.flags.c_contiguous
    assert x.numpy()[1].tolist() == [3, 4, 5]
    assert again.numpy()[0, 0] == 0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("a", "values must be numbers, got dtype <U1"),
        (None, "values must be numbers, got dtype object"),
        ([1j], "values must be numbers, got dtype complex128"),
        ([[1.0], [2.0, 3.0]], "numbers, or nested lists of one shape, got: .* inhomogeneous shape"),
        ([1.0, "b"], "values must be numbers, got dtype <U"),
    ],
    ids=repr,
)
def test_values_refused(values, message) -> None:
    with pytest.raises(ArgumentError, match=f"^tensor: .*{message}"):
        gpunet.tensor(values)


def test_arguments_refused() -> None:
    with pytest.raises(ArgumentError, match=r"tensor: .*'nonsense'"):
        gpunet.tensor(1.0, dtype="nonsense")
    for call in (
        lambda: gpunet.tensor([1, 2], requires_grad=True),
        lambda: gpunet.tensor([1, 2]).requires_grad_(),
    ):
        with pytest.raises(ArgumentError, match="requires_grad: dtype must be floating, got int64"):
            call()


# --- shown


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (gpunet.tensor(1.5), "tensor(1.5, dtype=float32)"),
        (gpunet.tensor([1, 2]), "tensor([1, 2])"),
        (
            gpunet.tensor([1.0], requires_grad=True),
            "tensor([1.], dtype=float32, requires_grad=True)",
        ),
        (
            gpunet.tensor([1.0], requires_grad=True) * 2,
            "tensor([2.], dtype=float32, grad_fn=Multiply)",
        ),
        (gpunet.tensor([[1.0], [2.0]]), "tensor([[1.],\n        [2.]], dtype=float32)"),
        (
            Tensor(np.ones(1), type("There", (CPUBackend,), {"device": "cuda:1"})()),
            "tensor([1.], device='cuda:1')",
        ),
    ],
)
def test_repr(x, text) -> None:
    assert repr(x) == text


# --- taken apart


@pytest.mark.parametrize("shape", [(), (1,), (1, 1, 1)])
def test_one_element(shape) -> None:
    x = gpunet.tensor(np.full(shape, 2.5))
    assert (x.item(), float(x), int(x), bool(x)) == (2.5, 2.5, 2, True)
    assert type(x.item()) is float
    assert type(gpunet.tensor(3).item()) is int
    assert not gpunet.tensor(0.0)


@pytest.mark.parametrize("call", [Tensor.item, float, int, bool])
@pytest.mark.parametrize("shape", [(0,), (2,), (1, 2)], ids=str)
def test_several_elements_are_no_number(shape, call) -> None:
    with pytest.raises(ShapeError, match="item: must have one element, got shape") as caught:
        call(gpunet.tensor(np.ones(shape)))
    assert str(shape) in str(caught.value)


def test_length_and_iteration() -> None:
    x = gpunet.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    assert len(x) == 2
    first, second = x
    (first * second).sum().backward()
    assert x.grad.numpy().tolist() == [[3, 4], [1, 2]]
    assert list(gpunet.tensor(np.ones((0, 3)))) == []
    for call in (len, list):
        with pytest.raises(
            ShapeError, match=r"len: must have at least one axis, got .* shape \(\)"
        ):
            call(gpunet.tensor(1.0))


def test_numpy_shares_memory() -> None:
    x = gpunet.tensor([1.0, 2.0])
    assert x.numpy() is x.array
    assert x.detach().numpy() is x.array


@pytest.mark.parametrize("make", [lambda x: x, lambda x: x * 2])
def test_numpy_wants_no_gradient(make) -> None:
    x = make(gpunet.tensor([1.0], requires_grad=True))
    with pytest.raises(GradError, match=r"numpy: must not require .*; use x.detach\(\).numpy\(\)"):
        x.numpy()
    assert x.detach().is_leaf
    assert not x.detach().requires_grad


# --- among NumPy's arrays and numbers


@pytest.mark.parametrize("f", [op.add, op.sub, op.mul, op.truediv, op.pow])
def test_an_array_leaves_the_operation_to_the_tensor(f) -> None:
    """NumPy would otherwise make an array of objects, and lose the gradient without a word."""
    x, array = gpunet.tensor([1.0, 2.0]), np.ones(2)
    for operands in ((array, x), (x, array)):
        with pytest.raises(DTypeError, match=r"must be a gpunet.Tensor or a number, got ndarray"):
            f(*operands)


@pytest.mark.parametrize("number", [2, 2.0, True, np.float64(2)], ids=repr)
def test_a_number_keeps_the_dtype(number) -> None:
    x = gpunet.tensor([1.0, 2.0], requires_grad=True)
    for y in (x + number, number + x, x * number, number * x, x - number, number - x, number / x):
        assert type(y) is Tensor
        assert y.dtype == "float32"
        assert y.requires_grad


def test_in_place_operators_keep_the_memory_and_the_gradient() -> None:
    x = gpunet.tensor([1.0, 2.0], requires_grad=True)
    y = same = x * 1
    y += 1
    y *= 2
    y.sum().backward()
    assert y is same
    assert y.detach().numpy().tolist() == [4, 6]
    assert x.grad.numpy().tolist() == [2, 2]
    with pytest.raises(GradError, match="must not write into a leaf that requires a gradient"):
        x += 1


def test_requires_grad_switches() -> None:
    x = gpunet.tensor([1.0])
    assert x.requires_grad_() is x
    assert (x * 2).requires_grad
    assert not (x.requires_grad_(False) * 2).requires_grad


def test_a_deep_copy_is_on_the_same_backend() -> None:
    x = gpunet.tensor([1.0, 2.0], requires_grad=True)
    y = copy.deepcopy(x)
    assert y.backend is backend.cpu
    assert y.requires_grad
    y.array[0] = 5
    assert x.detach().numpy().tolist() == [1, 2]
    assert (x + y).detach().numpy().tolist() == [6, 4]
