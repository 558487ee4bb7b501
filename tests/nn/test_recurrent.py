"""Recurrent layers and cells beside PyTorch's; lengths beside packed sequences."""

import copy

import numpy as np
import pytest

import gpunet
from gpunet import nn
from gpunet.errors import ArgumentError, DTypeError, ShapeError
from gpunet.nn.utils import rnn
from tests.tolerance import EPS

I, H = 5, 12
LAYERS = ("RNN", "LSTM", "GRU")
SIZES = ((6, 3), (1, 4), (5, 1), (7, 20))  # T, N


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed: NOT compared with it")


def pair(torch, name, dtype, *sizes, **options):
    """The layer in both, with the same weights."""
    theirs = getattr(torch.nn, name)(*sizes, **options).to(getattr(torch, dtype))
    ours = getattr(nn, name)(*sizes, **options, dtype=dtype)
    state = {key: value.numpy() for key, value in theirs.state_dict().items()}
    assert list(ours.state_dict()) == list(state)
    ours.load_state_dict(state)
    return ours, theirs


def numbers(seed, *shape, dtype="float64"):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def flat(results):
    return (
        [y for r in results for y in flat(r)] if isinstance(results, (tuple, list)) else [results]
    )


def compare(torch, ours, theirs, calls, inputs, dtype):
    """Results of a call, and the gradients of inputs and parameters, with random weights.

    Args:
        calls: a function of the layer and the inputs, for gpunet and for PyTorch.
    """
    mine = [gpunet.tensor(x).requires_grad_() for x in inputs]
    other = [torch.tensor(x, requires_grad=True) for x in inputs]
    got, wanted = flat(calls[0](ours, *mine)), flat(calls[1](theirs, *other))
    assert [tuple(y.shape) for y in got] == [tuple(y.shape) for y in wanted]
    weights = [numbers(i, *y.shape, dtype=dtype) for i, y in enumerate(got)]
    sum((y * gpunet.tensor(w)).sum() for y, w in zip(got, weights, strict=True)).backward()
    sum((y * torch.tensor(w)).sum() for y, w in zip(wanted, weights, strict=True)).backward()
    pairs = [(y.detach().numpy(), t.detach()) for y, t in zip(got, wanted, strict=True)]
    pairs += [(x.grad.numpy(), t.grad) for x, t in zip(mine, other, strict=True)]
    by_name = dict(theirs.named_parameters())
    pairs += [(p.grad.numpy(), by_name[key].grad) for key, p in ours.named_parameters()]
    for a, b in pairs:
        b = b.numpy()
        assert a.dtype == b.dtype
        # Some two hundred roundings, of steps, layers and sums over all of them.
        assert np.abs(a - b).max(initial=0) <= 200 * EPS[dtype] * (1 + np.abs(b).max(initial=0))


def states(name, rows, batch, dtype, width=H):
    shapes = [(rows, *batch, width)] + [(rows, *batch, H)] * (name == "LSTM")
    return [numbers(7 + i, *shape, dtype=dtype) for i, shape in enumerate(shapes)]


def as_hx(name, given):
    return (tuple(given) if name == "LSTM" else given[0]) if given else None


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bias": False},
        {"num_layers": 2, "bidirectional": True},
        {"num_layers": 3, "batch_first": True},
        {"bidirectional": True, "batch_first": True, "bias": False},
    ],
    ids=str,
)
def test_layer(torch, name, options, size, dtype) -> None:
    ours, theirs = pair(torch, name, dtype, I, H, **options)
    shape = size[::-1] if options.get("batch_first") else size
    x = numbers(0, *shape, I, dtype=dtype)
    rows = options.get("num_layers", 1) * (1 + options.get("bidirectional", False))
    for given in ([], states(name, rows, size[1:], dtype)):
        ours.zero_grad(), theirs.zero_grad()
        call = lambda layer, x, *s: layer(x, as_hx(name, s))  # noqa: E731
        compare(torch, ours, theirs, (call, call), [x, *given], dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("two_ways", [False, True], ids=["one way", "two ways"])
@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
def test_projection(torch, two_ways, size, dtype) -> None:
    options = dict(proj_size=4, num_layers=2, bidirectional=two_ways)
    ours, theirs = pair(torch, "LSTM", dtype, I, H, **options)
    given = states("LSTM", 2 * (1 + two_ways), size[1:], dtype, 4)
    call = lambda layer, x, *s: layer(x, s)  # noqa: E731
    compare(torch, ours, theirs, (call, call), [numbers(0, *size, I, dtype=dtype), *given], dtype)


@pytest.mark.parametrize("name", LAYERS)
def test_unbatched(torch, name) -> None:
    ours, theirs = pair(torch, name, "float64", I, H, num_layers=2, bidirectional=True)
    call = lambda layer, x, *s: layer(x, as_hx(name, s))  # noqa: E731
    for given in ([], states(name, 4, (), "float64")):
        ours.zero_grad(), theirs.zero_grad()
        compare(torch, ours, theirs, (call, call), [numbers(0, 6, I), *given], "float64")


def test_relu(torch) -> None:
    ours, theirs = pair(torch, "RNN", "float64", I, H, num_layers=2, nonlinearity="relu")
    call = lambda layer, x: layer(x)  # noqa: E731
    compare(torch, ours, theirs, (call, call), [numbers(0, 6, 3, I)], "float64")


# --- sequences of different lengths


@pytest.mark.parametrize("batch_first", [False, True], ids=["time first", "batch first"])
@pytest.mark.parametrize("given", [False, True], ids=["zeros", "states"])
@pytest.mark.parametrize("lengths", [[2, 6, 1, 5], [6, 6, 4, 3], [1, 1, 1, 1]], ids=str)
@pytest.mark.parametrize("name", [*LAYERS, "projected"])
def test_lengths_are_packed_sequences(torch, name, lengths, given, batch_first) -> None:
    packs = torch.nn.utils.rnn
    options = {"proj_size": 4} if name == "projected" else {}
    name = "LSTM" if name == "projected" else name
    options.update(num_layers=2, bidirectional=True, batch_first=batch_first)
    ours, theirs = pair(torch, name, "float64", I, H, **options)
    width = options.get("proj_size", H)
    inputs = [numbers(0, *((4, 6) if batch_first else (6, 4)), I)]
    inputs += states(name, 4, (4,), "float64", width) if given else []

    def call(layer, x, *s):
        return layer(x, as_hx(name, s), lengths=lengths)

    def packed(module, layer, x, *s):
        how = dict(batch_first=batch_first, enforce_sorted=False)
        y, last = layer(module.pack_padded_sequence(x, lengths, **how), as_hx(name, s))
        return module.pad_packed_sequence(y, batch_first, total_length=6)[0], last

    def their_call(layer, x, *s):
        return packed(packs, layer, x, *s)

    def our_packed_call(layer, x, *s):
        return packed(rnn, layer, x, *s)

    compare(torch, ours, theirs, (call, their_call), inputs, "float64")
    ours.zero_grad(), theirs.zero_grad()
    compare(torch, ours, theirs, (our_packed_call, their_call), inputs, "float64")


@pytest.mark.parametrize("name", LAYERS)
def test_what_stands_behind_the_end_does_not_matter(name) -> None:
    layer, lengths = getattr(nn, name)(I, H, 2, bidirectional=True), gpunet.tensor([3, 5, 1])
    x = numbers(0, 5, 3, I, dtype="float32")
    spoilt = x.copy()
    for n, end in enumerate((3, 5, 1)):
        spoilt[end:, n] = 1e30
    found = [flat(layer(gpunet.tensor(each), lengths=lengths)) for each in (x, spoilt)]
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())
    y = found[0][0].detach().numpy()
    assert not y[3:, 0].any()
    assert not y[1:, 2].any()
    assert y[:, 1].all()


@pytest.mark.parametrize("lengths", [[4, 4, 2, 1], [1, 3, 4, 2], [4, 4, 4, 4]], ids=str)
def test_packing(torch, lengths) -> None:
    theirs = torch.nn.utils.rnn
    in_order = sorted(lengths, reverse=True) == lengths
    x = numbers(0, 4, 4, 3)
    for enforce in {False, in_order}:
        got = rnn.pack_padded_sequence(gpunet.tensor(x), lengths, enforce_sorted=enforce)
        wanted = theirs.pack_padded_sequence(torch.tensor(x), lengths, enforce_sorted=enforce)
        np.testing.assert_array_equal(got.data.numpy(), wanted.data)
        np.testing.assert_array_equal(got.batch_sizes.numpy(), wanted.batch_sizes)
        assert (got.sorted_indices is None) == (wanted.sorted_indices is None)
        # Sequences of one length are equals: PyTorch's order of them is not promised.
        for options in ({}, {"batch_first": True}, {"padding_value": -1.0, "total_length": 6}):
            ours, ends = rnn.pad_packed_sequence(got, **options)
            other, their_ends = theirs.pad_packed_sequence(wanted, **options)
            np.testing.assert_array_equal(ours.numpy(), other)
            np.testing.assert_array_equal(ends.numpy(), their_ends)


def test_padding(torch) -> None:
    theirs, arrays = torch.nn.utils.rnn, [numbers(i, n, 3) for i, n in enumerate((2, 5, 1))]
    ours, others = [gpunet.tensor(x) for x in arrays], [torch.tensor(x) for x in arrays]
    for options in ({}, {"batch_first": True, "padding_value": 2.0}, {"padding_side": "left"}):
        got, wanted = rnn.pad_sequence(ours, **options), theirs.pad_sequence(others, **options)
        np.testing.assert_array_equal(got.numpy(), wanted)
    again = rnn.unpad_sequence(rnn.pad_sequence(ours), [2, 5, 1])
    packed = rnn.pack_sequence(ours, enforce_sorted=False)
    np.testing.assert_array_equal(
        packed.data.numpy(), theirs.pack_sequence(others, enforce_sorted=False).data
    )
    for x, y, z in zip(arrays, again, rnn.unpack_sequence(packed), strict=True):
        np.testing.assert_array_equal(x, y.numpy())
        np.testing.assert_array_equal(x, z.numpy())


# --- cells


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(3,), (1,), (20,), ()], ids=str)
@pytest.mark.parametrize("name", LAYERS)
def test_cell(torch, name, shape, bias, dtype) -> None:
    ours, theirs = pair(torch, f"{name}Cell", dtype, I, H, bias=bias)
    call = lambda layer, x, *s: layer(x, as_hx(name, s))  # noqa: E731
    given = [numbers(3 + i, *shape, H, dtype=dtype) for i in range(1 + (name == "LSTM"))]
    for hx in ([], given):
        ours.zero_grad(), theirs.zero_grad()
        x = numbers(0, *shape, I, dtype=dtype)
        compare(torch, ours, theirs, (call, call), [x, *hx], dtype)


def test_cells_are_steps_of_layers() -> None:
    x = gpunet.tensor(numbers(0, 4, 3, I))
    for name in LAYERS:
        layer = getattr(nn, name)(I, H, dtype="float64")
        cell = getattr(nn, f"{name}Cell")(I, H, dtype="float64")
        state = {k.removesuffix("_l0"): v for k, v in layer.state_dict().items()}
        cell.load_state_dict(state)
        hx = None
        for t in range(4):
            hx = cell(x[t], hx)
        expected = layer(x)[1]
        for a, b in zip(flat(hx), flat(expected), strict=True):
            error = np.abs(a.detach().numpy() - b.detach().numpy()[0]).max()
            assert error <= 20 * EPS["float64"]


# --- dropout, state and looks


def test_dropout_is_between_layers_and_in_training_alone(torch) -> None:
    ours, theirs = pair(torch, "GRU", "float64", I, H, num_layers=2, dropout=1.0)
    x = numbers(0, 6, 3, I)
    call = lambda layer, x: layer(x)  # noqa: E731
    # With everything dropped, the second layer sees zeros: no luck in that.
    compare(torch, ours, theirs, (call, call), [x], "float64")
    ours.eval(), theirs.eval()
    ours.zero_grad(), theirs.zero_grad()
    compare(torch, ours, theirs, (call, call), [x], "float64")
    some = nn.GRU(I, H, 2, dropout=0.5)
    one, other = (some(gpunet.tensor(x.astype("float32")))[0].detach().numpy() for _ in range(2))
    assert np.abs(one - other).max() > 0.01
    some.eval()
    one, other = (some(gpunet.tensor(x.astype("float32")))[0].detach().numpy() for _ in range(2))
    np.testing.assert_array_equal(one, other)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("name", LAYERS)
def test_state_goes_both_ways(torch, name) -> None:
    options = {"num_layers": 2, "bidirectional": True}
    options |= {"proj_size": 4} if name == "LSTM" else {}
    ours, theirs = pair(torch, name, "float32", I, H, **options)
    ours.reset_parameters()
    state = {key: torch.from_numpy(value.copy()) for key, value in ours.state_dict().items()}
    theirs.load_state_dict(state)
    x = numbers(0, 6, 3, I, dtype="float32")
    got, wanted = ours(gpunet.tensor(x))[0].detach().numpy(), theirs(torch.tensor(x))[0]
    assert np.abs(got - wanted.detach().numpy()).max() <= 40 * EPS["float32"]


def test_weights_start_in_the_same_range(torch) -> None:
    for name in ("LSTM", "GRUCell"):
        ours, theirs = getattr(nn, name)(20, 100), getattr(torch.nn, name)(20, 100)
        for (key, a), (other, b) in zip(
            ours.named_parameters(), theirs.named_parameters(), strict=True
        ):
            assert key == other
            assert abs(np.abs(a.array).max() - b.abs().max().item()) < 4 / a.numel()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("RNN", {"nonlinearity": "relu", "num_layers": 2}),
        ("LSTM", {"proj_size": 3, "dropout": 0.25, "num_layers": 3}),
        ("GRU", {"bias": False, "batch_first": True, "bidirectional": True}),
        ("RNNCell", {"nonlinearity": "relu"}),
        ("LSTMCell", {"bias": False}),
        ("GRUCell", {}),
    ],
)
def test_repr(torch, name, options) -> None:
    theirs = repr(getattr(torch.nn, name)(I, H, **options))
    if name == "RNN":  # PyTorch's does not say it
        theirs = theirs[:-1] + ", nonlinearity=relu)"
    assert repr(getattr(nn, name)(I, H, **options)) == theirs


def test_a_copy_and_half_precision() -> None:
    layer = nn.LSTM(I, H)
    x = numbers(0, 4, 3, I, dtype="float32")
    y = layer(gpunet.tensor(x))[0].detach().numpy()
    half = copy.deepcopy(layer).half()
    got = half(gpunet.tensor(x.astype("float16")))[0].detach().numpy()
    assert got.dtype == "float16"
    assert np.abs(got - y).max() <= 40 * EPS["float16"]


# --- what is refused


def refused(error, message, call) -> None:
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value), str(caught.value)


def test_wrong_arguments() -> None:
    lstm, x = nn.LSTM(I, H), gpunet.tensor(numbers(0, 4, 3, I, dtype="float32"))
    h = gpunet.tensor(numbers(0, 1, 3, H, dtype="float32"))
    for sizes in ((0, 3), (3, 0), (3, 3, 0)):
        refused(ArgumentError, "must be at least 1, got 0", lambda s=sizes: nn.GRU(*s))
    refused(ArgumentError, "RNNCell: input_size and hidden_size must be", lambda: nn.RNNCell(0, 1))
    refused(ArgumentError, "dropout must be in [0, 1], got 2", lambda: nn.GRU(1, 1, dropout=2))
    rule = "proj_size must be in [0, hidden_size) = [0, 3), got 3"
    refused(ArgumentError, rule, lambda: nn.LSTM(3, 3, proj_size=3))
    rule = "nonlinearity must be one of 'tanh', 'relu', got 'elu'"
    refused(ArgumentError, rule, lambda: nn.RNN(3, 3, nonlinearity="elu"))
    refused(ArgumentError, rule, lambda: nn.RNNCell(3, 3, nonlinearity="elu"))
    rule = "LSTM: x must have shape (T, N, 5), or no N, got (4, 3, 4); x is (4, 3, 4) float32"
    refused(ShapeError, rule, lambda: lstm(x[..., :4]))
    rule = "GRU: x must have shape (N, T, 5), or no N, got (4,)"
    refused(ShapeError, rule, lambda: nn.GRU(I, H, batch_first=True)(x[:, 0, 0]))
    refused(ArgumentError, "hx must be a tuple (h_0, c_0), got Tensor", lambda: lstm(x, h))
    rule = "c_0 must have shape (1, 3, 12), got (1, 2, 12)"
    refused(ShapeError, rule, lambda: lstm(x, (h, h[:, :2])))
    rule = "h_0 must have shape (1, 12), got (1, 3, 12)"
    refused(ShapeError, rule, lambda: nn.GRU(I, H)(x[:, 0], h))
    refused(
        DTypeError, "must be float32 as the others, got float64", lambda: lstm(x, (h, h.double()))
    )
    refused(DTypeError, "lstm: weight_ih must be float64", lambda: lstm(x.double()))
    rule = "lengths must be in [1, T] = [1, 4], got 5"
    refused(ArgumentError, rule, lambda: lstm(x, lengths=[1, 5, 2]))
    cell = nn.GRUCell(I, H)
    refused(ShapeError, "x must have shape (N, 5) or (5,), got (4, 3, 5)", lambda: cell(x))
    refused(ShapeError, "hx must have shape (3, 12), got (1, 3, 12)", lambda: cell(x[0], h))


def test_wrong_sequences() -> None:
    x = gpunet.tensor(numbers(0, 4, 3, I, dtype="float32"))
    pack = rnn.pack_padded_sequence
    rule = "pack_padded_sequence: lengths must fall unless enforce_sorted=False, got [1, 3, 2]"
    refused(ArgumentError, rule, lambda: pack(x, [1, 3, 2]))
    for got in (0, 5):
        rule = f"lengths must be in [1, T] = [1, 4], got {got}"
        refused(ArgumentError, rule, lambda got=got: pack(x, [got, 1, 1]))
    refused(ShapeError, "lengths must be N = 3 whole numbers, got 2", lambda: pack(x, [2, 1]))
    packed = pack(x, [3, 2, 1])
    rule = "total_length must be at least 3, the longest length, got 2"
    refused(ArgumentError, rule, lambda: rnn.pad_packed_sequence(packed, total_length=2))
    rule = "lengths must be None, as a packed sequence has its own"
    refused(ArgumentError, rule, lambda: nn.LSTM(I, H)(packed, lengths=[3, 2, 1]))
    rule = 'padding_side must be "left" or "right", got \'up\''
    refused(ArgumentError, rule, lambda: rnn.pad_sequence([x], padding_side="up"))
    rule = "sequences must have shape (L, *(3, 5)), got (4, 5)"
    refused(ShapeError, rule, lambda: rnn.pad_sequence([x, x[:, 0]]))
