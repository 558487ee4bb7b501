"""What is a method alone, beside PyTorch's method of the same name; and the forms in place."""

import numpy as np
import pytest

import gpunet
from gpunet.errors import DTypeError, ShapeError

X = np.random.default_rng(0).standard_normal((2, 3, 4))


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed: NOT compared with it")


CALLS = {
    "view": lambda x, make: x.view(4, 6),
    "view of a list": lambda x, make: x.view([2, -1]),
    "view of a part": lambda x, make: x[:, 1:].view(2, 8),
    "view of a transpose": lambda x, make: x.transpose(0, 1).view(3, 2, 2, 2),
    "view_as": lambda x, make: x.view_as(make(np.zeros((6, 4)))),
    "reshape_as": lambda x, make: x.transpose(0, 2).reshape_as(make(np.zeros(24))),
    "reshape of a list": lambda x, make: x.reshape([4, 6]),
    "permute of a list": lambda x, make: x.permute([2, 0, 1]),
    "expand": lambda x, make: x[:, :1].expand(5, -1, 3, 4),
    "expand of a tuple": lambda x, make: x[:, :1].expand((2, 3, 4)),
    "expand to nothing": lambda x, make: x[:, :1].expand(2, 0, 4),
    "expand_as": lambda x, make: x[:1].expand_as(make(np.zeros((7, 3, 4)))),
    "repeat": lambda x, make: x.repeat(2, 1, 3),
    "repeat to more axes": lambda x, make: x.repeat((2, 2, 1, 1)),
    "repeat no times": lambda x, make: x.repeat(1, 0, 1),
    "unfold": lambda x, make: x.unfold(2, 2, 1),
    "unfold with a step": lambda x, make: x.unfold(-1, 2, 2),
    "unfold beyond": lambda x, make: x.unfold(1, 1, 5),
    "unfold to nothing": lambda x, make: x.unfold(1, 0, 1),
    "unfold a part": lambda x, make: x[:, ::2].unfold(0, 2, 1),
    "unfold a number": lambda x, make: x[0, 0, 0].unfold(0, 1, 1),
    "T": lambda x, make: x[0].T,
    "T of three axes": lambda x, make: x.permute(0, 2, 1).T,
    "mT": lambda x, make: x.mT,
    "hstack of lists": lambda x, make: x.split([1, 2], 1)[1],
    "iteration": lambda x, make: [*x][1],
}


@pytest.mark.filterwarnings("ignore:The use of `x.T`")  # PyTorch's, of three axes
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", CALLS)
def test_equals_pytorch(torch, name, dtype) -> None:
    results = []
    for make in (gpunet.tensor, torch.tensor):
        x = make(X.astype(dtype))
        x.requires_grad_()
        y = CALLS[name](x, make)
        weights = np.random.default_rng(1).integers(-2, 3, tuple(y.shape))  # sums of them are exact
        y.backward(make(weights.astype(dtype)))
        results.append((y.detach().numpy(), x.grad.numpy()))
    for ours, theirs in zip(*results, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: x.T.view(24), ShapeError, r"view: x must have memory .* use reshape"),
        (lambda x: x.view(5), ShapeError, r"view: shape must hold 24 elements, got \(5,\)"),
        (lambda x: x.view_as(3), DTypeError, "view_as: other must be a gpunet.Tensor, got int"),
        (lambda x: x.reshape_as(x[0]), ShapeError, r"reshape_as: shape must hold 24 elements"),
        (lambda x: x.expand(3, 4), ShapeError, r"expand: x must broadcast to the shape"),
        (lambda x: x.expand_as(x[0]), ShapeError, r"expand_as: x must broadcast to the shape"),
        (lambda x: x.expand(-1, 2, 3, 4), ShapeError, r"expand: x must broadcast .* got \(-1,"),
        (lambda x: x.repeat(2, 2), ShapeError, r"repeat: repeats must be at least 3 numbers"),
        (lambda x: x.repeat(1, 1, -1), ShapeError, r"repeat: repeats must not be negative"),
        (lambda x: x.unfold(0, 3, 1), ShapeError, r"unfold: size must be in \[0, 2\].* 3 and 1"),
        (lambda x: x.unfold(0, 1, 0), ShapeError, r"unfold: .*step at least 1, got 1 and 0"),
        (lambda x: x.unfold(3, 1, 1), ShapeError, r"unfold: dim must be in \[-3, 3\), got 3"),
        (lambda x: x[0, 0].mT, ShapeError, "mT: x must have at least two axes, got 1"),
    ],
)
def test_refused(call, error, message) -> None:
    with pytest.raises(error, match=f"^{message}"):
        call(gpunet.tensor(X))


def test_half_gradients_of_windows_are_added_in_float() -> None:
    """4096 windows over one element: a sum in half precision would stop at 2048."""
    x = gpunet.tensor(np.ones((4096, 1), "float16"), requires_grad=True)
    x.expand(4096, 2).sum(0)[0].backward()
    assert (x.grad.numpy() == 1).all()
    y = gpunet.tensor(np.ones(1, "float16"), requires_grad=True)
    index = gpunet.zeros(4096, dtype="int64")
    y[index].sum().backward()
    assert y.grad.tolist() == [4096]
