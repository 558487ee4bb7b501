"""The table of vectors: its start, its options, and PyTorch's layer with the same table."""

import numpy as np
import pytest

import gpunet
from gpunet import nn
from gpunet.errors import ArgumentError, DTypeError, ShapeError
from tests.tolerance import EPS

X = np.array([[2, 0, 2], [4, 2, 1]])
TABLE = np.random.default_rng(0).normal(0, 3, (5, 3))
OPTIONS = [
    {},
    {"padding_idx": 2},
    {"padding_idx": -1},
    {"scale_grad_by_freq": True},
    {"padding_idx": 0, "scale_grad_by_freq": True},
    {"max_norm": 2.0},
    {"max_norm": 2.0, "norm_type": 1.0},
    {"max_norm": 1.0, "norm_type": float("inf")},
]


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed: NOT compared with it")


def test_starts_normally_distributed_with_padding_at_zero() -> None:
    """Of n standard normal draws, mean and deviation are within 5 standard errors."""
    layer = nn.Embedding(300, 50, padding_idx=-2)
    assert layer.padding_idx == 298
    assert (layer.weight.shape, layer.weight.dtype) == ((300, 50), "float32")
    w = layer.weight.detach().numpy()
    assert not w[298].any()
    drawn = np.delete(w, 298, 0)
    assert abs(drawn.mean()) < 5 / np.sqrt(drawn.size)
    assert abs(drawn.std() - 1) < 5 / np.sqrt(2 * drawn.size)
    before = w[0].copy()
    layer.reset_parameters()
    assert not layer.weight.array[298].any()
    assert (layer.weight.array[0] != before).all()


@pytest.mark.parametrize("options", OPTIONS, ids=repr)
def test_equals_pytorch(torch, options) -> None:
    ours = nn.Embedding(5, 3, dtype="float64", **options)
    theirs = torch.nn.Embedding(5, 3, dtype=torch.float64, **options)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict({"weight": TABLE})
    theirs.load_state_dict({"weight": torch.tensor(TABLE)})
    y, ty = ours(gpunet.tensor(X)), theirs(torch.tensor(X))
    w = np.random.default_rng(1).standard_normal(y.shape)
    y.backward(gpunet.tensor(w))
    ty.backward(torch.tensor(w))
    assert y.shape == (2, 3, 3)
    for got, expected in [
        (y, ty),
        (ours.weight, theirs.weight),  # which max_norm changes
        (ours.weight.grad, theirs.weight.grad),
    ]:
        expected = expected.detach().numpy()
        # norms: some ten roundings; gradients: at most three additions
        assert np.abs(got.detach().numpy() - expected).max() <= 20 * EPS["float64"] * 10


def test_max_norm_writes_into_the_table_only_where_it_is_read() -> None:
    layer = nn.Embedding.from_pretrained(gpunet.tensor(TABLE), freeze=False, max_norm=0.5)
    layer(gpunet.tensor([1, 3]))
    norms = np.linalg.norm(layer.weight.detach().numpy(), axis=1)
    np.testing.assert_allclose(norms[[1, 3]], 0.5, rtol=1e-6)
    np.testing.assert_array_equal(layer.weight.detach().numpy()[[0, 2, 4]], TABLE[[0, 2, 4]])


def test_from_pretrained_shares_the_table() -> None:
    table = gpunet.tensor(TABLE)
    layer = nn.Embedding.from_pretrained(table, padding_idx=1)
    assert layer.weight.array is table.array
    assert not layer.weight.requires_grad
    assert nn.Embedding.from_pretrained(table, freeze=False).weight.requires_grad
    np.testing.assert_array_equal(layer(gpunet.tensor(X)).numpy(), TABLE[X])
    assert repr(layer) == "Embedding(5, 3, padding_idx=1)"


def test_an_empty_table() -> None:
    assert nn.Embedding(0, 3)(gpunet.zeros(0, dtype="int64")).shape == (0, 3)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nn.Embedding(-1, 2), ArgumentError, "must not be negative, got -1 and 2"),
        (lambda: nn.Embedding(3, 2, 3), ArgumentError, r"padding_idx must be in \[-3, 3\), got 3"),
        (
            lambda: nn.Embedding.from_pretrained(gpunet.zeros(3)),
            ShapeError,
            r"embeddings must have two axes, got shape \(3,\)",
        ),
        (
            lambda: nn.Embedding.from_pretrained(gpunet.arange(4).reshape(2, 2)),
            DTypeError,
            "embeddings must be floating, got int64",
        ),
    ],
)
def test_refused(call, error, message) -> None:
    with pytest.raises(error, match=f"^Embedding: .*{message}"):
        call()


def test_an_index_out_of_range_names_the_layer() -> None:
    model = nn.Sequential(nn.Embedding(3, 2))
    with pytest.raises(ArgumentError, match=r"\[0, 3\), got 3 \(in layer 0\)"):
        model(gpunet.tensor([1, 3]))
