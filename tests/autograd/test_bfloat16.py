"""Tensors of bfloat16: made, printed, met with others, moved without a copy; and who pays for it.

What every function gives for them is in tests/test_cases.py, on either backend.
"""

import copy
import itertools
import pickle

import ml_dtypes
import numpy as np
import pytest

import gpunet
from gpunet import backend, nn
from gpunet import functional as F
from gpunet.autograd import Tensor
from gpunet.errors import DTypeError
from tests import checks
from tests.cases import public, rows_of
from tests.process import python
from tests.test_cases import tried
from tests.tolerance import EPS

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


def drawn(*shape: int, grad: bool = False) -> Tensor:
    values = np.random.default_rng(sum(shape)).standard_normal(shape)
    return gpunet.tensor(values, "bfloat16", requires_grad=grad)


# --- made, and told


@pytest.mark.parametrize("dtype", ["bfloat16", BFLOAT16, ml_dtypes.bfloat16], ids=str)
def test_it_has_a_name_a_type_and_a_dtype(dtype) -> None:
    for x in (
        *(gpunet.zeros(2, dtype=dtype), gpunet.arange(3, dtype=dtype), gpunet.eye(2, dtype=dtype)),
        *(gpunet.tensor([1.5, 2], dtype), gpunet.full((2,), 3, dtype), gpunet.rand(3, dtype=dtype)),
        *(gpunet.ones(2).to(dtype), gpunet.ones(2).bfloat16(), gpunet.linspace(0, 1, 3, dtype)),
        *(gpunet.from_numpy(np.ones(2, dtype)), gpunet.tensor(np.ones(2, dtype))),
    ):
        assert x.dtype == gpunet.bfloat16 == BFLOAT16
        assert x.is_floating_point()
        assert x.numpy() is x.array


def test_values_are_rounded_to_the_nearest_and_ties_to_even() -> None:
    unit, inf = 2.0**-7, float("inf")
    x = gpunet.tensor([1 + unit / 2, 1 + unit * 3 / 2, 1 + unit * 0.501, 3.39e38, 3.4e38, -inf])
    largest = (2 - unit) * 2.0**127
    assert x.bfloat16().tolist() == [1.0, 1 + 2 * unit, 1 + unit, largest, inf, -inf]
    assert np.isnan(gpunet.tensor(float("nan")).bfloat16().item())


def test_random_numbers_stay_below_1() -> None:
    assert gpunet.rand(20_000, dtype="bfloat16").max().item() < 1


def test_it_is_printed() -> None:
    x = gpunet.tensor([0.5, -2], "bfloat16", requires_grad=True)
    assert repr(x) == "tensor([0.5, -2], dtype=bfloat16, requires_grad=True)"
    assert (x[1].item(), x.tolist()) == (-2.0, [0.5, -2.0])


def test_copies_and_pickles() -> None:
    x = drawn(3)
    for y in (copy.deepcopy(x), pickle.loads(pickle.dumps(x)), x.clone()):
        assert y.dtype == BFLOAT16
        assert y.array.tobytes() == x.array.tobytes()


def test_a_module_takes_it() -> None:
    layer = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).bfloat16()
    assert {str(x.dtype) for x in layer.parameters()} == {"bfloat16"}
    assert str(layer[1].num_batches_tracked.dtype) == "int64"
    layer(drawn(5, 3)).sum().backward()
    assert str(layer[0].weight.grad.dtype) == "bfloat16"
    other = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    other.load_state_dict(layer.state_dict())
    assert other[0].weight.tolist() == layer[0].weight.tolist()


def test_weights_of_pytorch_in_bfloat16_are_read() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: NOT compared with it")
    theirs = torch.nn.Linear(3, 2).bfloat16()
    ours = nn.Linear(3, 2).bfloat16()
    ours.load_state_dict(theirs.state_dict())
    assert ours.weight.tolist() == theirs.weight.tolist()


def test_dlpack_is_refused() -> None:
    with pytest.raises(DTypeError, match=r"^from_dlpack: values must be of a dtype"):
        gpunet.from_dlpack(drawn(2))


# --- the dtype where operands meet

OTHERS = ("bfloat16", "float16", "float32", "float64", "int8", "int64", "uint8", "bool")


def operand(library, dtype: str, shape):
    return library.ones(shape, dtype=getattr(library, dtype))


@pytest.mark.parametrize("dtype", OTHERS)
def test_it_meets_others_as_in_pytorch(dtype) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: NOT compared with it")
    for mine, its in itertools.product([(2,), ()], repeat=2):
        for name in ("add", "mul", "maximum"):
            ours, theirs = (
                getattr(x, name)(operand(x, "bfloat16", mine), operand(x, dtype, its))
                for x in (gpunet, torch)
            )
            assert str(ours.dtype) == str(theirs.dtype).removeprefix("torch."), (name, mine, its)


def test_of_the_halves_neither_is_wider_and_numbers_do_not_widen() -> None:
    x = drawn(3)
    assert str((x + x.half()).dtype) == "float32"
    for y in (x + 1, x * 2.5, 2.5 - x, x**2, x / 3, x + True, x.clamp(0.1, 0.5), x.lerp(x, 0.3)):
        assert str(y.dtype) == "bfloat16"
    assert str((x > 0).dtype) == "bool"


# --- moved, without a copy


def test_views_are_views() -> None:
    """Whatever shows the memory of its input in float32 does so in bfloat16."""
    found = set()
    for name, function in public().items():
        for row in rows_of(function)[:4]:
            if not tried(function, row, "bfloat16") or not row.differentiable:
                continue
            shown = [
                [np.may_share_memory(done.arrays[0], y.array) for y in done.results]
                for done in (
                    checks.run(function, row, d, needs=()) for d in ("float32", "bfloat16")
                )
            ]
            assert shown[0] == shown[1], f"{name}({row})"
            if any(shown[0]):
                found.add(name)
    assert {"reshape", "permute", "getitem", "split", "diagonal"} <= found


def test_in_place() -> None:
    x = drawn(4, 3)
    whole = x[:]
    x[0] = 2
    x[1] += 0.5
    x.mul_(2.5)
    assert whole.tolist() == x.tolist()
    assert x[0].tolist() == [5.0] * 3


# --- beside PyTorch

FUNCTIONS = {
    "gelu": lambda m, f, x, w: f.gelu(x),
    "softmax": lambda m, f, x, w: f.softmax(x, 1),
    "layer_norm": lambda m, f, x, w: f.layer_norm(x, (6,)),
    "linear": lambda m, f, x, w: f.linear(x, w),
    "exp": lambda m, f, x, w: m.exp(x),
    "mul": lambda m, f, x, w: x * w[0],
    "sum": lambda m, f, x, w: x.sum(0),
    "cumsum": lambda m, f, x, w: m.cumsum(x, 1),
    "std": lambda m, f, x, w: x.std(1),
    "logsumexp": lambda m, f, x, w: m.logsumexp(x, 1),
    "amax": lambda m, f, x, w: m.amax(x, 1),
    "sort": lambda m, f, x, w: m.sort(x, 1)[0],
    "where": lambda m, f, x, w: m.where(x > 0, x, w[0]),
    "cat": lambda m, f, x, w: m.cat([x, w]),
    "attention": lambda m, f, x, w: f.scaled_dot_product_attention(x, w, w, x @ w.T),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_gradients_beside_pytorch(name) -> None:
    """Both round what they compute in float32, though PyTorch more often: 4 units of 2^-7."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: NOT compared with it")
    rng = np.random.default_rng(0)
    x, w, weights = (rng.standard_normal((5, 6)).astype(BFLOAT16) for _ in range(3))
    ours = [gpunet.tensor(a, requires_grad=True) for a in (x, w)]
    theirs = [torch.tensor(a.astype("float32")).bfloat16().requires_grad_() for a in (x, w)]
    y, z = (
        FUNCTIONS[name](gpunet, F, *ours),
        FUNCTIONS[name](torch, torch.nn.functional, *theirs),
    )
    assert str(y.dtype) == "bfloat16"
    part = np.resize(weights, y.shape)
    y.backward(gpunet.tensor(part))
    z.backward(torch.tensor(part.astype("float32")).bfloat16())
    pairs = [(y.detach(), z.detach())]
    pairs += [(a.grad, b.grad) for a, b in zip(ours, theirs, strict=True) if b.grad is not None]
    for got, expected in pairs:
        exact = expected.float().numpy().astype("float64")
        assert str(got.dtype) == "bfloat16"
        allowed = 4 * EPS["bfloat16"] * max(1, np.abs(exact).max())
        assert np.abs(got.array - exact).max() <= allowed


# --- who pays


def test_nobody_imports_the_package_who_does_not_ask() -> None:
    python(
        "-c",
        "import sys, gpunet\n"
        "x = gpunet.ones(2, requires_grad=True)\n"
        "(x.half() * 2 + x).sum().backward()\n"
        "assert 'ml_dtypes' not in sys.modules\n"
        "assert gpunet.bfloat16 == (x.bfloat16() * 2).dtype",
    )


@pytest.mark.parametrize(
    "call",
    ["gpunet.bfloat16", "gpunet.ones(2).bfloat16()", "gpunet.autocast('bfloat16')"],
)
def test_without_the_package_it_says_what_to_install(call) -> None:
    told = python(
        "-c",
        "import sys\nsys.modules['ml_dtypes'] = None\nimport gpunet\n"
        f"try:\n    {call}\nexcept gpunet.errors.MissingPackageError as error:\n    print(error)",
    )
    rule = "needs ml_dtypes, which is missing: pip install 'gpunet[bfloat16]'"
    assert told.strip() == f"bfloat16: {rule}"


def test_backend_knows_it_by_its_name() -> None:
    assert backend.dtype("bfloat16") == BFLOAT16
    with pytest.raises(DTypeError, match=r"must be one of float16.*, bfloat16, got"):
        backend.dtype("float8_e5m2")
