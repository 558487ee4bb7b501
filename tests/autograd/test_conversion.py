"""Other dtypes for the same values, and the dtype in which operands meet."""

import copy
import itertools
import pickle

import numpy as np
import pytest

import gpunet
from gpunet import backend, nn
from gpunet.backend import dtypes
from gpunet.errors import DTypeError, GradError


def test_methods_name_dtypes() -> None:
    x = gpunet.tensor([1.75, 0.0, -2.5])
    assert x.half().dtype == "float16"
    assert x.double().dtype == "float64"
    assert x.int().tolist() == [1, 0, -2]
    assert x.long().dtype == "int64"
    assert x.bool().tolist() == [True, False, True]
    assert x.to(gpunet.float64).float().dtype == "float32"
    assert x.to("cpu", dtype="int8").dtype == "int8"
    assert x.to(gpunet.arange(2)).dtype == x.type_as(gpunet.arange(2)).dtype == "int64"
    assert x.to("float32") is x.cpu() is x.contiguous() is x


def test_the_gradient_comes_back_in_its_dtype() -> None:
    x = gpunet.tensor([1.0, 2.0], requires_grad=True)
    (x.double() * 3).sum().backward()
    assert x.grad.dtype == "float32"
    assert x.grad.tolist() == [3.0, 3.0]
    assert not x.long().requires_grad


def test_too_large_for_a_half_is_infinite() -> None:
    assert gpunet.tensor([1e6, -1e6]).half().tolist() == [np.inf, -np.inf]


def test_contiguous_copies_what_is_not() -> None:
    x = gpunet.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    y = x.transpose(0, 1).contiguous()
    assert y.is_contiguous()
    (y * gpunet.tensor(np.arange(6.0).reshape(3, 2))).sum().backward()
    assert x.grad.tolist() == [[0, 2, 4], [1, 3, 5]]


def test_unknown_dtype() -> None:
    with pytest.raises(DTypeError, match=r"dtype: must be one of .*, got 'complex128'"):
        gpunet.ones(2).to("complex128")


# --- where operands meet

NUMBERS = (True, 2, 2.5)
SHAPES = ((), (2,))


def test_promotion_is_pytorchs() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: NOT compared with it")
    operands = [(d, s) for d in dtypes.ALL for s in SHAPES]

    def theirs(operand):
        dtype, shape = operand
        return torch.ones(shape, dtype=getattr(torch, str(dtype)))

    for x, y in itertools.product(operands, operands):
        expected = str(torch.result_type(theirs(x), theirs(y))).removeprefix("torch.")
        assert str(dtypes.promote((x[0], bool(x[1])), (y[0], bool(y[1])))) == expected, (x, y)
    for x, number in itertools.product(operands, NUMBERS):
        expected = str(torch.result_type(theirs(x), number)).removeprefix("torch.")
        got = (gpunet.ones(x[1], dtype=x[0]) * number).dtype
        assert str(got) == expected, (x, number)


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        ("int64", "float32", "float32"),
        ("uint8", "int8", "int16"),
        ("bool", "uint8", "uint8"),
        ("float16", "float32", "float32"),
        ("float64", "int8", "float64"),
    ],
)
def test_two_dtypes(x, y, expected) -> None:
    for a, b in ((x, y), (y, x)):
        assert (gpunet.ones(2, dtype=a) * gpunet.ones(2, dtype=b)).dtype == expected


def test_a_tensor_without_axes_does_not_widen() -> None:
    x = gpunet.ones(2)
    assert (x * gpunet.tensor(2.0, dtype="float64")).dtype == "float32"
    assert (x * np.float64(2)).dtype == "float32"
    assert (x * np.int64(2)).dtype == "float32"
    assert (gpunet.arange(2) / 2).dtype == "float32"


def test_gradients_of_mixed_dtypes() -> None:
    x = gpunet.tensor([1.0, 2.0], requires_grad=True)
    y = gpunet.tensor([3.0, 4.0], dtype="float64", requires_grad=True)
    (x * y).sum().backward()
    assert (x.grad.dtype, y.grad.dtype) == ("float32", "float64")
    assert x.grad.tolist() == [3.0, 4.0]


# --- copies


@pytest.mark.parametrize("twin_of", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_share_nothing(twin_of) -> None:
    x = gpunet.tensor([1.0, 2.0], requires_grad=True)
    twin = twin_of(x)
    twin.array[0] = 9
    assert x.detach().tolist() == [1.0, 2.0]
    assert twin.requires_grad
    assert twin.backend is backend.cpu
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Dropout(0.2))
    other = twin_of(model)
    nn.init.zeros_(other[0].weight)
    assert np.abs(model[0].weight.array).max() > 0
    assert isinstance(other[0].weight, nn.Parameter)
    assert list(other.state_dict()) == list(model.state_dict())


@pytest.mark.parametrize("twin_of", [copy.deepcopy, pickle.dumps])
def test_a_result_is_not_copied_with_half_its_graph(twin_of) -> None:
    with pytest.raises(GradError, match="must be a leaf, got the result of Multiply"):
        twin_of(gpunet.tensor([1.0], requires_grad=True) * 2)


def test_tied_weights_stay_tied_in_a_copy() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    twin = copy.deepcopy(model)
    assert twin[1].weight is twin[0].weight
