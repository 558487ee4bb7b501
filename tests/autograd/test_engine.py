"""The backward pass: whatever the graph, each gradient arrives once, whole, and alone."""

import itertools

import numpy as np
import pytest

import gpunet
from gpunet import backend
from gpunet.autograd import Op, Tensor, apply
from gpunet.backend.cpu import CPUBackend
from gpunet.errors import DeviceError, DTypeError, GradError, ShapeError


def leaf(*values: float, dtype: str = "float64") -> Tensor:
    return gpunet.tensor(np.array(values, dtype), requires_grad=True)


class Scale(Op):
    """y = factor·x, counting how often it is differentiated."""

    def __init__(self, factor: float):
        self.factor, self.visits = factor, 0

    def forward(self, be, x):
        self.saved = x
        return x * self.factor

    def backward(self, be, g):
        self.visits += 1
        return g * self.factor


class Split(Op):
    """y, z = 2x, 3x; remembers which gradients it was given."""

    def forward(self, be, x):
        return 2 * x, 3 * x

    def backward(self, be, gy, gz):
        self.given = gy, gz
        return sum(k * g for k, g in ((2, gy), (3, gz)) if g is not None)


class Returns(Op):
    """The sum of its inputs, with a backward pass of choice."""

    def __init__(self, backward):
        self.backward = lambda be, g: backward(g)

    def forward(self, be, *inputs):
        return sum(inputs)


# --- graphs


def test_diamond() -> None:
    x = leaf(3.0)
    (x * 2 * (x * 5)).backward()
    assert x.grad.item() == 2 * 10 * 3.0


def test_a_short_and_a_long_arm() -> None:
    """The shared operation waits for the long arm, and is visited once."""
    x, shared = leaf(2.0), Scale(3)
    y = apply(shared, x)
    arm = y
    for _ in range(5):
        arm = arm * 2
    (y + arm).backward()
    assert x.grad.item() == 3 * (1 + 2**5)
    assert shared.visits == 1


def test_an_arm_recorded_before_the_other() -> None:
    x = leaf(2.0)
    y = x * 3
    early = y * y
    late = y * 5
    (late * early).backward()  # 5·y³ with y = 3x
    assert x.grad.item() == 15 * 6.0**2 * 3


def test_many_diamonds_take_one_visit_each() -> None:
    """Walking every path would take 2^60 steps."""
    x = leaf(1.0)
    y = x
    for _ in range(60):
        y = y + y
    y.backward()
    assert x.grad.item() == 2.0**60


@pytest.mark.parametrize(
    ("function", "gradient"),
    [
        (lambda x: x + x, [2, 2]),
        (lambda x: x - x, [0, 0]),
        (lambda x: x * x, [6, -8]),
        (lambda x: x / x, [0, 0]),
        (lambda x: x * x * x, [27, 48]),
        (lambda x: x * x.detach(), [3, -4]),
        (lambda x: x[[0, 0]] * x, [3 + 3 + -4, 3]),
    ],
)
def test_a_tensor_used_twice(function, gradient) -> None:
    x = leaf(3.0, -4.0)
    function(x).sum().backward()
    assert x.grad.numpy().tolist() == gradient


def test_a_matrix_times_itself() -> None:
    w = gpunet.tensor(np.arange(4.0).reshape(2, 2), requires_grad=True)
    (w @ w).sum().backward()
    ones, a = np.ones((2, 2)), w.detach().numpy()
    np.testing.assert_array_equal(w.grad.numpy(), ones @ a.T + a.T @ ones)


def test_several_outputs() -> None:
    x, op = leaf(1.0, 2.0), Split()
    y, z = apply(op, x)
    (y * z).sum().backward()  # 6x²
    assert x.grad.numpy().tolist() == [12, 24]
    np.testing.assert_array_equal(op.given[0], [3, 6])


@pytest.mark.parametrize(("used", "gradient"), [(0, 2), (1, 3)])
def test_an_output_that_nobody_uses_comes_as_none(used, gradient) -> None:
    x, op = leaf(1.0), Split()
    apply(op, x)[used].backward()
    assert x.grad.item() == gradient
    assert op.given[used].tolist() == [1]
    assert op.given[1 - used] is None


def test_a_gradient_of_none_goes_nowhere() -> None:
    x, y = leaf(1.0), leaf(2.0)
    apply(Returns(lambda g: (g * 2, None)), x, y).backward()
    assert x.grad.item() == 2
    assert y.grad is None


def test_a_backward_pass_that_forgets_an_input_is_found_out() -> None:
    with pytest.raises(GradError, match=r"Returns must give one gradient an input \(2\), got 1"):
        apply(Returns(lambda g: (g,)), leaf(1.0), leaf(2.0)).backward()


def test_only_what_is_asked_for() -> None:
    x, constant = leaf(1.0), gpunet.tensor(2.0)
    y = constant * 3
    z = x * y
    assert y.is_leaf
    assert list(z.origin[0].edges) == [x, None]
    assert z.origin[0].needs == (True, False)
    z.backward()
    assert constant.grad is y.grad is z.grad is None


def test_ten_thousand_operations_deep() -> None:
    """No recursion, neither in the pass nor when the graph dies unused."""
    x = leaf(1.0)

    def chain() -> Tensor:
        y = x
        for _ in range(10_000):
            y = y + x
        return y

    chain().backward()
    assert x.grad.item() == 10_001
    unused = chain()
    del unused


# --- leaves and their gradients


def test_a_leaf_as_root() -> None:
    x, weights = leaf(1.0, 2.0), gpunet.tensor(np.array([5.0, 7.0]))
    x.backward(weights)
    assert x.grad.numpy().tolist() == [5, 7]
    assert not np.may_share_memory(x.grad.array, weights.array)
    one = leaf(3.0)
    one.backward()
    assert one.grad.numpy().tolist() == [1]


def test_gradients_add_up_over_passes() -> None:
    x = leaf(1.0, 2.0)
    (x * 2).sum().backward()
    first = x.grad.array
    (x * 3).sum().backward()
    assert x.grad.numpy().tolist() == [5, 5]
    assert first.tolist() == [2, 2], "a gradient handed out earlier has changed"


ALIASING = {
    "sum": lambda a, b: a + b,
    "difference": lambda a, b: a - b,
    "reshaped": lambda a, b: a.reshape(2, 2) + b.reshape(2, 2),
    "turned": lambda a, b: (a.reshape(2, 2) + b.reshape(2, 2)).transpose(0, 1),
    "total": lambda a, b: a.sum() + b.sum(),
    "the gradient itself": lambda a, b: apply(Returns(lambda g: (g, g)), a, b),
    "one array twice": lambda a, b: apply(Returns(lambda g: (g * 2,) * 2), a, b),
    "two views": lambda a, b: apply(Returns(lambda g: (g[:], g[:])), a, b),
    "views of a new array": lambda a, b: apply(Returns(lambda g: ((g2 := g * 2)[:], g2[:])), a, b),
}


@pytest.mark.parametrize("function", ALIASING.values(), ids=ALIASING)
def test_gradients_share_memory_with_nothing(function) -> None:
    a, b = leaf(1.0, 2.0, 3.0, 4.0), leaf(5.0, 6.0, 7.0, 8.0)
    y = function(a, b)
    weights = gpunet.tensor(np.arange(1.0, 1 + y.numel()).reshape(y.shape))
    y.backward(weights)
    arrays = [a.array, b.array, y.array, weights.array, a.grad.array, b.grad.array]
    for one, other in itertools.combinations(arrays, 2):
        if other is a.grad.array or other is b.grad.array:
            assert not np.may_share_memory(one, other)
    for gradient in (a.grad, b.grad):
        assert gradient.array.flags.writeable
        assert gradient.array.flags.c_contiguous


@pytest.mark.parametrize("dtypes", [("float32", "float64"), ("float64", "float32")])
def test_a_gradient_has_the_dtype_of_its_leaf(dtypes) -> None:
    x, y = (leaf(1.0, 2.0, dtype=dtype) for dtype in dtypes)
    for function in (
        Tensor.__add__,
        Tensor.__sub__,
        Tensor.__mul__,
        Tensor.__truediv__,
        Tensor.__pow__,
    ):
        x.grad = y.grad = None
        result = function(x, y)
        assert result.dtype == "float64"
        result.sum().backward()
        assert (x.grad.dtype, y.grad.dtype) == dtypes


# --- what a pass leaves behind


def nodes(y: Tensor) -> list[Op]:
    found, waiting = [], [y.origin]
    while waiting:
        edge = waiting.pop()
        if type(edge) is tuple and edge[0] not in found:
            found.append(edge[0])
            waiting.extend(edge[0].edges)
    return found


def test_what_was_kept_is_dropped() -> None:
    x = leaf(1.0, 2.0)
    y = (x.exp() * x).sum()
    ops = nodes(y)
    assert [op.name for op in ops] == ["Sum", "Multiply", "Exp"]
    assert ops[1].saved is not None
    y.backward()
    assert all(op.saved is None and op.edges == () for op in ops)


def test_a_retained_graph_serves_again() -> None:
    x = leaf(3.0)
    y = x * x
    y.backward(retain_graph=True)
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == 18
    with pytest.raises(GradError, match="an earlier backward pass has freed it"):
        y.backward()


def test_a_second_pass_says_how_to_keep_the_graph() -> None:
    x = leaf(3.0)
    y = x.exp()
    (y * 2).backward()
    with pytest.raises(GradError) as caught:
        (y * 3).backward()
    assert str(caught.value) == (
        "backward: the graph below Exp must be there, but an earlier backward pass has freed it; "
        "call backward(retain_graph=True) the first time if it is wanted twice"
    )


# --- refused


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda x: gpunet.tensor(1.0).backward(),
            GradError,
            "must require a gradient, got a tensor that",
        ),
        (
            lambda x: (x * 2).backward(),
            ShapeError,
            r"one element unless a gradient is given, got shape \(2,\)",
        ),
        (
            lambda x: x.backward(leaf(1.0)),
            ShapeError,
            r"gradient must have shape \(2,\), got \(1,\)",
        ),
        (
            lambda x: x.backward(np.ones(2)),
            DTypeError,
            "must be a gpunet.Tensor of float64, got ndarray",
        ),
        (lambda x: x.backward(leaf(1, 2, dtype="float32")), DTypeError, "of float64, got float32"),
        (
            lambda x: (x * 2).requires_grad_(),
            GradError,
            "must be a leaf, got the result of Multiply",
        ),
        (lambda x: apply(Scale(2), 1.0), DTypeError, "Scale: needs a gpunet.Tensor, got float"),
    ],
)
def test_refused(call, error, message) -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(error, match=message):
        call(x)
    assert x.grad is None


def test_tensors_of_two_devices() -> None:
    class Elsewhere(CPUBackend):
        device = "cuda:7"

    there = Tensor(np.ones(2), Elsewhere())
    with pytest.raises(DeviceError, match="must be on one device, got cpu and cuda:7"):
        leaf(1.0, 2.0) + there
    assert (there + there).backend is there.backend
    assert backend.cpu is leaf(1.0).backend


def test_a_gradient_made_afresh_is_not_copied_for_its_leaf() -> None:
    """Not even where it is a view; and nobody else holds it then."""
    leaves = [
        gpunet.tensor(np.ones(shape, "float32"), requires_grad=True)
        for shape in ((2, 3, 5, 5), (4, 3, 3, 3))
    ]
    y = gpunet.functional.conv2d(*leaves)
    op, gy = y.origin[0], np.ones(y.shape, "float32")
    made = []
    backward = op.backward
    op.backward = lambda be, gy: made.append(backward(be, gy)) or made[0]
    y.backward(gpunet.tensor(gy))
    for leaf, g in zip(leaves, made[0], strict=False):
        assert leaf.grad.array is g
        assert not np.may_share_memory(g, gy)
