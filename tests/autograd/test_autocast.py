"""Mixed precision: which functions take halves, which give float32, and what gradients become."""

import ml_dtypes  # noqa: F401  # NumPy knows bfloat16 by it
import numpy as np
import pytest

import gpunet
from gpunet import functional as F
from gpunet import models, nn
from gpunet.errors import DTypeError
from tests.kernels import needs
from tests.kernels.host.gpu import HostGPU, pretended

SINGLE = "float32"
DIGITS = {"float16": 11, "bfloat16": 8}  # of the two halves
both = pytest.mark.parametrize("half", DIGITS)


def drawn(*shape: int, dtype: str = SINGLE, grad: bool = False) -> gpunet.Tensor:
    values = np.random.default_rng(sum(shape)).standard_normal(shape).astype(dtype)
    return gpunet.tensor(values, requires_grad=grad)


PRODUCTS = {
    "matmul": lambda: drawn(3, 4) @ drawn(4, 2),
    "mm": lambda: F.mm(drawn(3, 4), drawn(4, 2)),
    "bmm": lambda: F.bmm(drawn(2, 3, 4), drawn(2, 4, 2)),
    "mv": lambda: F.mv(drawn(3, 4), drawn(4)),
    "addmm": lambda: F.addmm(drawn(2), drawn(3, 4), drawn(4, 2)),
    "addmv": lambda: F.addmv(drawn(3), drawn(3, 4), drawn(4)),
    "baddbmm": lambda: F.baddbmm(drawn(2), drawn(2, 3, 4), drawn(2, 4, 2)),
    "linear": lambda: F.linear(drawn(3, 4), drawn(2, 4), drawn(2)),
    "conv1d": lambda: F.conv1d(drawn(1, 2, 5), drawn(3, 2, 3), drawn(3)),
    "conv2d": lambda: F.conv2d(drawn(1, 2, 5, 5), drawn(3, 2, 3, 3), drawn(3)),
    "conv3d": lambda: F.conv3d(drawn(1, 2, 3, 3, 3), drawn(3, 2, 2, 2, 2)),
    "conv_transpose2d": lambda: F.conv_transpose2d(drawn(1, 2, 3, 3), drawn(2, 3, 2, 2)),
    "attention": lambda: F.scaled_dot_product_attention(*[drawn(2, 3, 4)] * 3, drawn(3, 3)),
    "lstm": lambda: F.lstm(drawn(3, 2, 4), drawn(8, 4), drawn(8, 2), h_0=drawn(2, 2))[0],
    "gru": lambda: F.gru(drawn(3, 2, 4), drawn(6, 4), drawn(6, 2))[0],
    "rnn": lambda: F.rnn(drawn(3, 2, 4), drawn(2, 4), drawn(2, 2))[0],
    "einsum": lambda: F.einsum("ij,jk->ik", drawn(3, 4), drawn(4, 2)),
    "prelu": lambda: F.prelu(drawn(3, 4), drawn(1)),
    "bilinear": lambda: F.bilinear(drawn(3, 4), drawn(3, 2), drawn(5, 4, 2)),
}


@both
@pytest.mark.parametrize("name", PRODUCTS)
def test_products_are_those_of_rounded_operands(name, half) -> None:
    """In the half inside, and in float32 again outside."""
    assert str(PRODUCTS[name]().dtype) == SINGLE
    with gpunet.autocast(half):
        got = PRODUCTS[name]()
    assert str(got.dtype) == half
    assert str(PRODUCTS[name]().dtype) == SINGLE


@both
def test_operands_of_both_precisions_meet_in_the_half(half) -> None:
    with gpunet.autocast(half):
        assert str(F.linear(drawn(3, 4, dtype=half), drawn(2, 4), drawn(2)).dtype) == half


WIDE = {
    "softmax": lambda x: F.softmax(x, 1),
    "log_softmax": lambda x: x.log_softmax(1),
    "exp": lambda x: x.exp(),
    "log": lambda x: x.abs().log(),
    "pow": lambda x: x**2,
    "power of a number": lambda x: 2.0**x,
    "sum": lambda x: x.sum(),
    "cumsum": lambda x: x.cumsum(0),
    "norm": lambda x: x.norm(),
    "layer_norm": lambda x: F.layer_norm(x, 3, drawn(3), drawn(3)),
    "batch_norm": lambda x: F.batch_norm(x, None, None, drawn(3), drawn(3), training=True),
    "cross_entropy": lambda x: F.cross_entropy(x, gpunet.tensor([0, 1, 2, 0])),
    "mse_loss": lambda x: F.mse_loss(x, drawn(4, 3)),
    "binary": lambda x: F.binary_cross_entropy_with_logits(x, F.sigmoid(drawn(4, 3))),
    "softplus": lambda x: F.softplus(x),
}


@both
@pytest.mark.parametrize("name", WIDE)
def test_what_leaves_the_range_of_a_half_is_computed_and_given_in_float32(name, half) -> None:
    x = drawn(4, 3, dtype=half)
    expected = WIDE[name](x.to(SINGLE))
    with gpunet.autocast(half):
        got = WIDE[name](x)
    assert str(got.dtype) == SINGLE
    np.testing.assert_array_equal(got.array, expected.array)


@both
def test_all_else_computes_in_the_dtype_where_its_operands_meet(half) -> None:
    x = drawn(4, 3, dtype=half)
    with gpunet.autocast(half):
        assert str((x + x).dtype) == half
        assert str((x + drawn(4, 3)).dtype) == SINGLE
        assert str(F.relu(x).dtype) == half
        assert str((drawn(2, 2).double() @ drawn(2, 2).double()).dtype) == "float64"


def test_it_can_be_switched_off_inside_and_ends_with_its_block() -> None:
    with gpunet.autocast():
        with gpunet.autocast(enabled=False):
            assert str(PRODUCTS["matmul"]().dtype) == SINGLE
        with gpunet.autocast("bfloat16"):
            assert str(PRODUCTS["matmul"]().dtype) == "bfloat16"
        assert str(PRODUCTS["matmul"]().dtype) == "float16"

    @gpunet.autocast()
    def product() -> gpunet.Tensor:
        return PRODUCTS["matmul"]()

    assert str(product().dtype) == "float16"
    assert str(PRODUCTS["matmul"]().dtype) == SINGLE


def test_an_error_inside_leaves_it_as_it_was() -> None:
    with gpunet.autocast():
        with pytest.raises(DTypeError):
            F.linear(drawn(3, 4), drawn(2, 4).double())
        assert str(PRODUCTS["matmul"]().dtype) == "float16"
    assert str(PRODUCTS["matmul"]().dtype) == SINGLE


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_other_dtypes_are_refused(dtype) -> None:
    with pytest.raises(DTypeError, match=f"dtype must be float16 or bfloat16, got {dtype}"):
        gpunet.autocast(dtype)


@both
def test_gradients_of_float32_weights_are_float32_and_add_up_there(half) -> None:
    """Halves end adding ones at 2048 or sooner; in float32 they do not."""
    w = gpunet.ones(1, 1, requires_grad=True)
    for _ in range(3):
        with gpunet.autocast(half):
            loss = F.linear(gpunet.ones(2048, 1), w).sum()
        loss.backward()
    assert str(w.grad.dtype) == SINGLE
    assert w.grad.item() == 3 * 2048


MODELS = {
    "LeNet5": (lambda: models.LeNet5(), (2, 1, 28, 28)),
    "ResNet20": (lambda: models.ResNet20(), (2, 3, 32, 32)),
    "UNet": (lambda: models.UNet(), (1, 1, 32, 32)),
    "transformer": (lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (2, 5, 8)),
    "LSTM": (lambda: nn.LSTM(4, 6, 2, bidirectional=True), (5, 2, 4)),
}


def gradients(name: str, half: str, device: str = "cpu", nudge: float = 0.0) -> np.ndarray:
    """All of them in a row, with weights moved by a share of themselves."""
    gpunet.manual_seed(1)
    build, shape = MODELS[name]
    model = build()
    for p in model.parameters():
        signs = np.random.default_rng(0).choice((-1, 1), p.shape)
        p.array *= (1 + nudge * signs).astype(SINGLE)
    model.to(device)
    x = gpunet.tensor(np.random.default_rng(0).standard_normal(shape, SINGLE), device=device)
    with gpunet.autocast(half or "float16", enabled=bool(half)):
        y = model(x)
        loss = (F.softmax(y[0] if isinstance(y, tuple) else y, -1) ** 2).sum()
    loss.backward()
    found = [p.backend.to_host(p.grad.array) for p in model.parameters() if p.grad is not None]
    assert {g.dtype.name for g in found} == {SINGLE}
    return np.concatenate([g.ravel() for g in found]).astype("float64")


def assert_near(name: str, half: str, device: str) -> None:
    """Weights and activations, each rounded by up to 2^-11, are like weights moved by 2^-10."""
    size = 2.0 ** (1 - DIGITS[half])
    exact = gradients(name, "")
    nudged = [gradients(name, "", nudge=n) for n in (-size, size)]
    noise = max(np.linalg.norm(g - exact) for g in nudged)
    error = np.linalg.norm(gradients(name, half, device) - exact)
    assert 0 < error < 2 * noise < 0.5 * np.linalg.norm(exact)


@both
@pytest.mark.parametrize("name", MODELS)
def test_whole_models(name, half) -> None:
    assert_near(name, half, "cpu")


@needs.compiler
@both
@pytest.mark.parametrize("name", ["transformer", "LSTM"])
def test_on_the_pretended_gpu(name, half) -> None:
    with pretended(HostGPU()):
        assert_near(name, half, "cuda:0")
