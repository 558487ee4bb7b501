"""The checker checked: it must find every kind of wrong gradient, and say whose it is."""

import numpy as np
import pytest

import gpunet
from gpunet.autograd import Op, Tensor, apply, gradcheck
from gpunet.errors import DTypeError, GradError


class Double(Op):
    """2·x, whose backward pass is handed in."""

    def __init__(self, backward):
        self.backward = lambda be, g: backward(g)

    def forward(self, be, x):
        return 2 * x


def double(backward):
    return lambda *inputs: apply(Double(backward), inputs[-1])


def drawn(*shape: int) -> Tensor:
    return gpunet.tensor(np.random.default_rng(0).standard_normal(shape), requires_grad=True)


def one_entry_off(g):
    g = 2 * g
    g.reshape(-1)[7] *= 1.001
    return g


WRONG = {
    "2.001 instead of 2": lambda g: 2.001 * g,
    "one entry of twelve": one_entry_off,
    "sign": lambda g: -2 * g,
    "zero": np.zeros_like,
    "nothing": lambda g: None,
    "two entries exchanged": lambda g: 2 * g[::-1],
    "NaN": lambda g: g * np.nan,
    "summed": lambda g: np.broadcast_to(2 * g.mean(), g.shape),
}


def test_the_right_gradient_passes() -> None:
    assert gradcheck(double(lambda g: 2 * g), [drawn(3, 4)]) is True


@pytest.mark.parametrize("backward", WRONG.values(), ids=WRONG)
def test_a_wrong_gradient_is_found(backward) -> None:
    with pytest.raises(GradError, match="gradcheck: the gradient of input 0 must be") as caught:
        gradcheck(double(backward), [drawn(3, 4)])
    assert "input 0 is (3, 4) float64" in str(caught.value)


def test_both_numbers_are_told() -> None:
    """For a single element they are the two gradients, times the same random weights."""
    with pytest.raises(GradError) as caught:
        gradcheck(double(lambda g: 2.001 * g), [drawn()])
    words = str(caught.value).replace(",", " ").split()
    expected, got = float(words[words.index("be") + 1]), float(words[words.index("got") + 1][:-1])
    assert got / expected == pytest.approx(2.001 / 2, rel=1e-6)  # nine digits are printed


def test_the_input_is_named() -> None:
    """The first two are right; plain values are passed on and keep their position."""
    wrong = double(lambda g: 2.001 * g)

    def function(x, number, y, z):
        return x * number + y + wrong(z)

    with pytest.raises(GradError, match="the gradient of input 3 must be"):
        gradcheck(function, [drawn(2), 3.0, drawn(2), drawn(2)])


def test_an_input_that_does_not_matter_has_gradient_zero() -> None:
    assert gradcheck(lambda x, y: x * 2, [drawn(3), drawn(4)])


def test_inputs_without_gradient_are_not_checked() -> None:
    constant = gpunet.tensor(np.ones(3))
    assert gradcheck(lambda x, c: x * c, [drawn(3), constant])
    assert constant.grad is None


def test_a_reference_finds_a_pair_that_is_wrong_alike() -> None:
    """Forward 2x and backward 2g agree with each other, but 3x was meant."""
    function, x = double(lambda g: 2 * g), drawn(3)
    assert gradcheck(function, [x], reference=lambda x: 2 * x)
    with pytest.raises(GradError, match="the gradient of input 0 must be"):
        gradcheck(function, [x], reference=lambda x: 3 * x)


def test_of_several_results_all_are_checked() -> None:
    assert gradcheck(lambda x: (x * 2, x * x), [drawn(3)])
    with pytest.raises(GradError, match="the gradient of input 0 must be"):
        gradcheck(lambda x: (x * 2, double(lambda g: g)(x)), [drawn(3)])


def test_inputs_stay_as_they_are() -> None:
    x = drawn(3)
    before = x.array.copy()
    gradcheck(lambda x: x.exp(), [x])
    np.testing.assert_array_equal(x.array, before)


def test_tolerance_is_relative_to_what_is_compared() -> None:
    """Of a gradient of a million, one part in ten million may be wrong, one in 10⁵ not."""
    x = drawn(3)

    def function(error):
        return lambda x: apply(Double(lambda g: 2 * g * (1 + error)), x * 5e5)

    assert gradcheck(function(1e-7), [x])
    with pytest.raises(GradError):
        gradcheck(function(1e-5), [x])
    assert gradcheck(function(1e-5), [x], tolerance=1e-4)


def test_refused() -> None:
    single = gpunet.tensor([1.0], requires_grad=True)
    with pytest.raises(DTypeError, match="gradcheck: inputs must be float64, got float32"):
        gradcheck(lambda x: x * 2, [single])
    with pytest.raises(GradError, match="gradcheck: an input must require a gradient, got none"):
        gradcheck(lambda x: x * 2, [gpunet.tensor(np.ones(2)), 3.0])
