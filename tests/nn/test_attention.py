"""Attention layers and the Transformer beside PyTorch's: keys, outputs, gradients, refusals."""

import itertools

import numpy as np
import pytest

import gpunet
from gpunet import nn
from gpunet.errors import ArgumentError, DTypeError, ShapeError
from tests.tolerance import EPS

# PyTorch says so of every encoder without batch_first.
pytestmark = pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed: NOT compared with it")


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def compare(torch, ours, theirs, inputs, masks, dtype, **options) -> None:
    """Keys, state in both directions, results and all gradients."""
    theirs = theirs.to(getattr(torch, dtype))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    rng = np.random.default_rng(1)
    state = {k: rng.normal(0, 0.5, v.shape).astype(dtype) for k, v in ours.state_dict().items()}
    ours.load_state_dict(state)
    theirs.load_state_dict({k: torch.tensor(np.array(v)) for k, v in ours.state_dict().items()})

    xs = [gpunet.tensor(x.astype(dtype), requires_grad=True) for x in inputs]
    ts = [torch.tensor(x.astype(dtype), requires_grad=True) for x in inputs]
    cast = {k: m if m.dtype == bool else m.astype(dtype) for k, m in masks.items()}
    repeat = (0, 0, 0) if options.pop("same", False) else range(len(xs))
    got = ours(
        *[xs[i] for i in repeat], **{k: gpunet.tensor(m) for k, m in cast.items()}, **options
    )
    there = {k: torch.tensor(m) for k, m in cast.items()}
    expected = theirs(*[ts[i] for i in repeat], **there, **options)
    pairs = []
    for y, t in zip(got, expected) if isinstance(got, tuple) else [(got, expected)]:  # noqa: B905
        assert (y is None) == (t is None)
        if y is not None:
            assert y.shape == tuple(t.shape)
            pairs.append((y.detach(), t.detach()))
    total, ttotal = (out[0] if isinstance(out, tuple) else out for out in (got, expected))
    weights = normal(*total.shape, seed=7).astype(dtype)
    total.backward(gpunet.tensor(weights))
    ttotal.backward(torch.tensor(weights))
    pairs += [(x.grad, t.grad) for x, t in zip(xs, ts, strict=True) if t.grad is not None]
    by_name = dict(theirs.named_parameters())
    pairs += [(p.grad, by_name[name].grad) for name, p in ours.named_parameters()]
    for y, t in pairs:
        bound = 2**8 * EPS[dtype] * (1 + t.abs().max().item())
        assert np.abs(y.numpy() - t.numpy()).max() <= bound


def hidden(*shape: int) -> np.ndarray:
    """A mask of bool that leaves each query its first key."""
    mask = np.random.default_rng(shape).random(shape) < 0.4
    mask[..., 0] = False
    return mask


SIZES = {"same": {}, "widths": {"kdim": 3, "vdim": 5}, "no bias": {"bias": False}}
EXTRAS = {
    "plain": {},
    "learned": {"add_bias_kv": True},
    "zero": {"add_zero_attn": True},
    "both": {"add_bias_kv": True, "add_zero_attn": True},
}
MASKS = {
    "none": {},
    "bool": {"attn_mask": hidden(4, 6)},
    "float": {"attn_mask": normal(4, 6)},
    "heads": {"attn_mask": normal(2 * 2, 4, 6)},
    "padding": {"key_padding_mask": hidden(2, 6)},
    "both": {"key_padding_mask": hidden(2, 6), "attn_mask": hidden(4, 6)},
}


@pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("masks", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("extras", EXTRAS.values(), ids=EXTRAS)
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_multihead_attention(torch, sizes, extras, masks, dtype) -> None:
    for batch_first in (False, True):
        need_weights = batch_first == (dtype == "float32")
        arguments = {**sizes, **extras, "batch_first": batch_first}
        ours = nn.MultiheadAttention(8, 2, dtype=dtype, **arguments)
        theirs = torch.nn.MultiheadAttention(8, 2, **arguments)
        widths = 8, sizes.get("kdim", 8), sizes.get("vdim", 8)
        inputs = [normal(2, n, w) for n, w in zip((4, 6, 6), widths, strict=True)]
        inputs = inputs if batch_first else [x.swapaxes(0, 1) for x in inputs]
        options = {"need_weights": need_weights, "average_attn_weights": bool(extras)}
        compare(torch, ours, theirs, inputs, masks, dtype, **options)


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("masks", [{}, {"attn_mask": hidden(5, 5)}])
def test_self_attention(torch, masks, need_weights) -> None:
    ours = nn.MultiheadAttention(6, 3, dtype="float64")
    theirs = torch.nn.MultiheadAttention(6, 3)
    options = {"same": True, "need_weights": need_weights}
    compare(torch, ours, theirs, [normal(5, 2, 6)], masks, "float64", **options)
    masks = {**masks, "key_padding_mask": hidden(5)}
    compare(torch, ours, theirs, [normal(5, 6)], masks, "float64", **options)


def test_causal_hint(torch) -> None:
    mask = nn.Transformer.generate_square_subsequent_mask(5, dtype="float64")
    expected = torch.nn.Transformer.generate_square_subsequent_mask(5)
    np.testing.assert_array_equal(mask.numpy(), expected.numpy())
    ours = nn.MultiheadAttention(6, 3, dtype="float64")
    x = gpunet.tensor(normal(5, 2, 6))
    hinted, _ = ours(x, x, x, attn_mask=mask, need_weights=False, is_causal=True)
    told, _ = ours(x, x, x, attn_mask=mask, need_weights=False)
    assert np.abs((hinted - told).detach().numpy()).max() <= 2**4 * EPS["float64"]
    with pytest.raises(ArgumentError, match="attn_mask must be given where is_causal"):
        ours(x, x, x, is_causal=True)


LAYER = {
    "post": {},
    "pre": {"norm_first": True},
    "gelu": {"activation": "gelu", "batch_first": True},
    "no bias": {"bias": False, "layer_norm_eps": 1e-3},
}
SEEN = np.triu(np.full((4, 4), -np.inf), 1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("options", LAYER.values(), ids=LAYER)
def test_encoder(torch, options, dtype) -> None:
    def model(n, **more):
        layer = n.TransformerEncoderLayer(8, 2, 12, 0.0, **options, **more)
        return n.TransformerEncoder(layer, 2, n.LayerNorm(8, **more))

    x = normal(4, 2, 8)
    batch = 4 if options.get("batch_first") else 2
    length = 2 if options.get("batch_first") else 4
    masks = {"src_key_padding_mask": hidden(batch, length), "mask": hidden(length, length)}
    for given in ({}, masks):
        compare(torch, model(nn, dtype=dtype), model(torch.nn), [x], given, dtype)
    ours, theirs = model(nn, dtype=dtype).layers[0], model(torch.nn).layers[0]
    compare(torch, ours, theirs, [x], {}, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("options", LAYER.values(), ids=LAYER)
def test_decoder(torch, options, dtype) -> None:
    def model(n, **more):
        layer = n.TransformerDecoderLayer(8, 2, 12, 0.0, **options, **more)
        return n.TransformerDecoder(layer, 2)

    first = options.get("batch_first", False)
    tgt, memory = normal(4, 2, 8), normal(6, 2, 8)
    inputs = [x.swapaxes(0, 1) if first else x for x in (tgt, memory)]
    masks = {
        "tgt_mask": SEEN,
        "memory_mask": normal(4, 6),
        "memory_key_padding_mask": np.where(hidden(2, 6), -np.inf, 0.0),
    }
    for given in ({}, masks):
        compare(torch, model(nn, dtype=dtype), model(torch.nn), inputs, given, dtype)


@pytest.mark.parametrize("options", LAYER.values(), ids=LAYER)
def test_transformer(torch, options) -> None:
    arguments = 8, 2, 1, 2, 12, 0.0
    ours = nn.Transformer(*arguments, dtype="float64", **options)
    theirs = torch.nn.Transformer(*arguments, **options)
    inputs = [normal(6, 2, 8), normal(4, 2, 8)]
    if options.get("batch_first"):
        inputs = [x.swapaxes(0, 1) for x in inputs]
    compare(torch, ours, theirs, inputs, {"tgt_mask": SEEN}, "float64", tgt_is_causal=True)


def test_activation_may_be_a_function(torch) -> None:
    ours = nn.TransformerEncoderLayer(8, 2, 12, 0.0, gpunet.functional.silu, dtype="float64")
    theirs = torch.nn.TransformerEncoderLayer(8, 2, 12, 0.0, torch.nn.functional.silu)
    compare(torch, ours, theirs, [normal(4, 2, 8)], {}, "float64")


def test_weights_start_as_pytorchs(torch) -> None:
    """The range of the uniform ones, the width of the normal ones, zeros where it has zeros."""
    for options in ({"add_bias_kv": True}, {"kdim": 60, "vdim": 90}):
        ours = nn.MultiheadAttention(120, 3, **options).state_dict()
        theirs = torch.nn.MultiheadAttention(120, 3, **options).state_dict()
        for key, value in ours.items():
            expected = theirs[key].numpy()
            if not expected.any():
                assert not value.any()
            elif key.startswith("bias"):
                assert 0.6 < value.std() / expected.std() < 1.6
            else:
                assert abs(np.abs(value).max() / np.abs(expected).max() - 1) < 0.01
    ours, theirs = (n.Transformer(16, 2, 1, 1, 32) for n in (nn, torch.nn))
    for (key, value), expected in zip(
        ours.state_dict().items(), theirs.state_dict().values(), strict=True
    ):
        if value.ndim > 1:
            assert abs(np.abs(value).max() / np.abs(expected.numpy()).max() - 1) < 0.1, key


def test_dropout_in_training_only() -> None:
    gpunet.manual_seed(0)
    layer = nn.MultiheadAttention(4, 1, dropout=0.5)
    x = gpunet.tensor(normal(9, 1, 4).astype("float32"))
    _, weights = layer(x, x, x)
    dropped = weights.detach().numpy()
    assert 0.2 < (dropped == 0).mean() < 0.8
    out, _ = layer(x, x, x, need_weights=False)
    layer.eval()
    _, weights = layer(x, x, x)
    np.testing.assert_allclose(weights.detach().numpy().sum(-1), 1, atol=1e-5)
    assert (
        np.abs(layer(x, x, x, need_weights=False)[0].detach().numpy() - out.detach().numpy()).max()
        > 0.01
    )


zeros, look = gpunet.zeros, nn.AdditiveAttention(2, 2, 2)
one = {"num_encoder_layers": 1, "num_decoder_layers": 1, "dim_feedforward": 8}
WRONG = [
    (
        ArgumentError,
        "num_heads must divide embed_dim 8, got 3",
        lambda: nn.MultiheadAttention(8, 3),
    ),
    (ArgumentError, "must be at least 1", lambda: nn.MultiheadAttention(8, 0)),
    (ArgumentError, "dropout must be in", lambda: nn.MultiheadAttention(8, 2, 1.5)),
    (ShapeError, "query must have 8 features, got 7", lambda: attend(normal(4, 2, 7))),
    (
        ShapeError,
        "key must have two axes, or three as the others",
        lambda: attend(None, normal(6, 8)),
    ),
    (
        ShapeError,
        "query and key must have equal batches, got 2 and 3",
        lambda: attend(None, normal(6, 3, 8)),
    ),
    (
        ShapeError,
        "attn_mask must have shape (4, 4) or (4, 4, 4), got (4, 6)",
        lambda: attend(attn_mask=normal(4, 6)),
    ),
    (
        ShapeError,
        "key_padding_mask must have shape (2, 4), got (4, 2)",
        lambda: attend(key_padding_mask=hidden(4, 2)),
    ),
    (
        DTypeError,
        "attn_mask must be bool or float64 as query, got int64",
        lambda: attend(attn_mask=np.ones((4, 4), int)),
    ),
    (
        ArgumentError,
        "activation must be one of 'relu', 'gelu', got 'tanh'",
        lambda: nn.TransformerEncoderLayer(8, 2, activation="tanh"),
    ),
    (
        ArgumentError,
        "num_layers must be at least 1",
        lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2), 0),
    ),
    (
        ShapeError,
        "src must have shape (..., d_model) = (..., 8)",
        lambda: nn.Transformer(8, 2, **one)(zeros(3, 1, 7), zeros(3, 1, 8)),
    ),
    (
        ShapeError,
        "at most max_length = 3 positions, got 4",
        lambda: nn.LearnedPositionalEncoding(2, 3)(zeros(4, 1, 2)),
    ),
    (
        ShapeError,
        "x must have shape (L, N, E) or (L, E) with E = 2",
        lambda: nn.SinusoidalPositionalEncoding(2)(zeros(4, 3)),
    ),
    (ArgumentError, "must be at least 1", lambda: nn.SinusoidalPositionalEncoding(2, 0)),
    (
        ShapeError,
        "key_padding_mask must be bool (N, S) = (2, 3)",
        lambda: look(zeros(2, 1, 2), zeros(2, 3, 2), None, zeros(2, 3)),
    ),
    (
        ShapeError,
        "query must have shape (N, length, features)",
        lambda: look(zeros(2, 2), zeros(2, 3, 2)),
    ),
]


def attend(query=None, key=None, **masks):
    x = gpunet.tensor(normal(4, 2, 8))
    query, key = (x if y is None else gpunet.tensor(y) for y in (query, key))
    given = {name: gpunet.tensor(mask) for name, mask in masks.items()}
    return nn.MultiheadAttention(8, 2, dtype="float64")(query, key, key, **given)


@pytest.mark.parametrize(("error", "message", "call"), WRONG, ids=[m for _, m, _ in WRONG])
def test_refused(error, message, call) -> None:
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)


@pytest.mark.parametrize("width", [1, 6, 7])
def test_sinusoidal_encoding(width) -> None:
    expected = np.zeros((5, width))
    for t, i in itertools.product(range(5), range(width)):
        angle = t / 10000 ** ((i - i % 2) / width)
        expected[t, i] = np.cos(angle) if i % 2 else np.sin(angle)
    layer = nn.SinusoidalPositionalEncoding(width, 9, dtype="float64")
    assert not layer.state_dict()
    x = normal(5, 3, width)
    close = {"rtol": 0, "atol": 2**4 * EPS["float64"]}
    got = layer(gpunet.tensor(x)).numpy()
    np.testing.assert_allclose(got, x + expected[:, None], **close)
    np.testing.assert_allclose(layer(gpunet.tensor(x[:, 0])).numpy(), x[:, 0] + expected, **close)
    first = nn.SinusoidalPositionalEncoding(width, 9, True, dtype="float64")
    turned = first(gpunet.tensor(x.swapaxes(0, 1))).numpy()
    np.testing.assert_array_equal(turned, got.swapaxes(0, 1))


def test_learned_encoding() -> None:
    gpunet.manual_seed(0)
    layer = nn.LearnedPositionalEncoding(50, 40, batch_first=True, dtype="float64")
    table = layer.weight.detach().numpy()
    assert 0.018 < table.std() < 0.022
    x = normal(3, 5, 50)
    y = layer(gpunet.tensor(x))
    np.testing.assert_array_equal(y.detach().numpy(), x + table[:5])
    y.sum().backward()
    grad = np.zeros((40, 50))
    grad[:5] = 3
    np.testing.assert_array_equal(layer.weight.grad.numpy(), grad)


def test_additive_attention_by_its_definition() -> None:
    gpunet.manual_seed(0)
    layer = nn.AdditiveAttention(3, 4, 5, dtype="float64")
    q, k, v, mask = normal(2, 3, 3), normal(2, 6, 4), normal(2, 6, 7), hidden(2, 6)
    w = {name: p.detach().numpy() for name, p in layer.named_parameters()}
    expected, weights = np.zeros((2, 3, 7)), np.zeros((2, 3, 6))
    for n, t in itertools.product(range(2), range(3)):
        at = w["query_proj.weight"] @ q[n, t] + w["key_proj.bias"]
        e = [w["score.weight"][0] @ np.tanh(at + w["key_proj.weight"] @ h) for h in k[n]]
        e = np.where(mask[n], 0, np.exp(e))
        weights[n, t] = e / e.sum()
        expected[n, t] = weights[n, t] @ v[n]
    out, got = layer(*map(gpunet.tensor, (q, k, v, mask)))
    np.testing.assert_allclose(got.detach().numpy(), weights, atol=2**5 * EPS["float64"])
    np.testing.assert_allclose(out.detach().numpy(), expected, atol=2**5 * EPS["float64"])
    same, _ = layer(gpunet.tensor(q), gpunet.tensor(k), key_padding_mask=gpunet.tensor(mask))
    np.testing.assert_allclose(same.detach().numpy(), got.detach().numpy() @ k, atol=1e-14)
