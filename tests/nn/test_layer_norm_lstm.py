"""LSTM with layer normalisation and zoneout: beside loops in NumPy, and beside the plain layer."""

import numpy as np
import pytest

import gpunet
from gpunet import nn
from gpunet.errors import ArgumentError, ShapeError
from tests.tolerance import EPS

T, N, I, H = 5, 3, 4, 6


def numbers(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def normalised(x, weight, bias=0.0):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(
        x.var(-1, keepdims=True) + 1e-5
    ) * weight + bias


def layer(**options):
    made = nn.LayerNormLSTM(I, H, dtype="float64", **options)
    for seed, parameter in enumerate(made.parameters()):
        parameter.array[...] = numbers(seed, *parameter.shape)
    return made


def oracle(state, x, h, c, p_h=0.0, p_c=0.0):
    y = []
    for step in x:
        a = normalised(step @ state["weight_ih"].T, state["norm_ih.weight"]) + state["bias"]
        i, f, g, o = np.split(
            a + normalised(h @ state["weight_hh"].T, state["norm_hh.weight"]), 4, -1
        )
        new_c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        inner = normalised(new_c, state["norm_c.weight"], state["norm_c.bias"])
        new_h = sigmoid(o) * np.tanh(inner)
        h, c = p_h * h + (1 - p_h) * new_h, p_c * c + (1 - p_c) * new_c
        y.append(h)
    return np.stack(y), h, c


def close(got, expected):
    assert np.abs(got.detach().numpy() - expected).max() <= 400 * EPS["float64"]


@pytest.mark.parametrize("batch_first", [False, True], ids=["time first", "batch first"])
@pytest.mark.parametrize("zoneout", [(0.0, 0.0), (0.1, 0.5)], ids=str)
def test_evaluation_equals_the_formulas(zoneout, batch_first) -> None:
    made = layer(zoneout_h=zoneout[0], zoneout_c=zoneout[1], batch_first=batch_first).eval()
    x, h, c = numbers(8, T, N, I), numbers(9, N, H), numbers(10, N, H)
    y, last_h, last_c = oracle(made.state_dict(), x, h, c, *zoneout)
    given = x.swapaxes(0, 1) if batch_first else x
    got, (got_h, got_c) = made(gpunet.tensor(given), (gpunet.tensor(h), gpunet.tensor(c)))
    close(got, y.swapaxes(0, 1) if batch_first else y)
    close(got_h, last_h)
    close(got_c, last_c)


def test_gradients() -> None:
    made, x = layer(), gpunet.tensor(numbers(8, T, N, I)).requires_grad_()
    names = [name for name, _ in made.named_parameters()]
    weights = numbers(9, T, N, H)

    def reference(x, *parameters):
        zero = np.zeros((N, H))
        return (oracle(dict(zip(names, parameters, strict=True)), x, zero, zero)[0] * weights).sum()

    gpunet.gradcheck(
        lambda x, *_: (made(x)[0] * gpunet.tensor(weights)).sum(),
        [x, *made.parameters()],
        reference=reference,
    )


def test_without_norm_and_zoneout_it_is_the_plain_layer() -> None:
    plain, made = nn.LSTM(I, H, dtype="float64"), layer(layer_norm=False)
    state = {f"{k}_l0": v for k, v in made.state_dict().items() if k != "bias"}
    bias = made.bias.detach().numpy()
    plain.load_state_dict({**state, "bias_ih_l0": bias, "bias_hh_l0": 0 * bias})
    x = gpunet.tensor(numbers(8, T, N, I))
    for lengths in (None, [2, 5, 1]):
        (y, states), (expected, others) = made(x, lengths=lengths), plain(x, lengths=lengths)
        close(y, expected.detach().numpy())
        for a, b in zip(states, others, strict=True):
            close(a, b.detach().numpy()[0])


def test_zoneout_holds_elements_in_training() -> None:
    wide = nn.LayerNormLSTM(I, 400, zoneout_h=0.25, zoneout_c=0.5)
    x = gpunet.tensor(numbers(8, 1, N, I).astype("float32"))
    h, c = (gpunet.tensor(numbers(s, N, 400).astype("float32")) for s in (9, 10))
    gpunet.manual_seed(0)
    _, (new_h, new_c) = wide(x, (h, c))
    for new, old, p in ((new_h, h, 0.25), (new_c, c, 0.5)):
        held = (new.detach().numpy() == old.numpy()).mean()
        assert abs(held - p) < 5 * np.sqrt(p * (1 - p) / (400 * N))


def test_wrong_arguments() -> None:
    for options, rule in (
        (dict(zoneout_h=1.0), "zoneout_h must be in [0, 1), got 1.0"),
        (dict(zoneout_c=-0.5), "zoneout_c must be in [0, 1), got -0.5"),
        (dict(hidden_size=0), "input_size and hidden_size must be at least 1, got 4 and 0"),
    ):
        with pytest.raises(ArgumentError) as caught:
            nn.LayerNormLSTM(**{"input_size": I, "hidden_size": H, **options})
        assert rule in str(caught.value)
    made, x, h = layer(), gpunet.tensor(numbers(8, T, N, I)), gpunet.tensor(numbers(9, N, H))
    with pytest.raises(ShapeError, match=r"x must have shape \(T, N, 4\), got \(5, 3, 3\)"):
        made(x[..., :3])
    with pytest.raises(ShapeError, match=r"c must have shape \(3, 6\), got \(2, 6\)"):
        made(x, (h, h[:2]))
    with pytest.raises(ArgumentError, match=r"hx must be a tuple \(h, c\), got Tensor"):
        made(x, h)
    with pytest.raises(ArgumentError, match=r"lengths must be in \[1, T\] = \[1, 5\], got 6"):
        made(x, lengths=[6, 1, 1])


def test_repr() -> None:
    text = repr(nn.LayerNormLSTM(I, H, zoneout_h=0.1))
    assert text.startswith("LayerNormLSTM(")
    assert "(norm_c): LayerNorm" in text
