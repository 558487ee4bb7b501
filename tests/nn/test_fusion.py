"""Normalisation folded into the layer before it, beside the two layers apart."""

import numpy as np
import pytest

import gpunet
from gpunet import nn
from gpunet.errors import ArgumentError, ShapeError
from gpunet.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

CONVOLUTIONS = [
    (nn.Conv1d(4, 6, 3, bias=False, dtype="float64"), nn.BatchNorm1d, (2, 4, 9)),
    (nn.Conv2d(4, 6, 3, 2, groups=2, dtype="float64"), nn.BatchNorm2d, (2, 4, 9, 8)),
    (
        nn.Conv2d(4, 6, 3, padding=1, padding_mode="circular", dtype="float64"),
        nn.BatchNorm2d,
        (2, 4, 5, 5),
    ),
    (nn.Conv3d(2, 3, 2, dtype="float64"), nn.BatchNorm3d, (2, 2, 3, 4, 5)),
    (nn.ConvTranspose2d(4, 6, 3, 2, dtype="float64"), nn.BatchNorm2d, (2, 4, 5, 4)),
    (nn.ConvTranspose2d(4, 6, 3, groups=2, dtype="float64"), nn.BatchNorm2d, (2, 4, 5, 4)),
]


def trained(norm: type, channels: int, **options: bool) -> nn.Module:
    """A normalisation that does something to every channel, in evaluation."""
    rng = np.random.default_rng(1)
    layer = norm(channels, eps=0.1, dtype="float64", **options)
    for x in (layer.running_mean, layer.running_var, layer.weight, layer.bias):
        if x is not None:
            x.array[...] = rng.uniform(0.5, 2.0, channels)
    return layer.eval()


@pytest.mark.parametrize("affine", [True, False], ids=["affine", "plain"])
@pytest.mark.parametrize(("conv", "norm", "shape"), CONVOLUTIONS, ids=lambda x: str(x))
def test_a_convolution_takes_its_normalisation_in(conv, norm, shape, affine) -> None:
    conv, bn = conv.eval(), trained(norm, 6 if conv.out_channels == 6 else 3, affine=affine)
    before = {key: value.copy() for key, value in conv.state_dict().items()}
    fused = fuse_conv_bn_eval(conv, bn, transpose="Transpose" in type(conv).__name__)
    x = gpunet.tensor(np.random.default_rng(0).standard_normal(shape))
    apart = bn(conv(x)).array
    assert np.abs(fused(x).array - apart).max() <= 1e-14 * np.abs(apart).max()
    assert type(fused) is type(conv)
    for key, value in conv.state_dict().items():
        assert (value == before[key]).all()


def test_a_dense_layer_does_so_too() -> None:
    linear, bn = nn.Linear(5, 4, dtype="float64").eval(), trained(nn.BatchNorm1d, 4)
    x = gpunet.tensor(np.random.default_rng(0).standard_normal((3, 5)))
    apart = bn(linear(x)).array
    together = fuse_linear_bn_eval(linear, bn)(x).array
    assert np.abs(together - apart).max() <= 1e-14 * np.abs(apart).max()


def test_refusals() -> None:
    conv, bn = nn.Conv2d(1, 2, 3).eval(), nn.BatchNorm2d(2).eval()
    with pytest.raises(ArgumentError, match="must be in evaluation"):
        fuse_conv_bn_eval(conv.train(), bn)
    with pytest.raises(ArgumentError, match="must be in evaluation"):
        fuse_conv_bn_eval(conv.eval(), bn.train())
    with pytest.raises(ShapeError, match="2 channels, got 3"):
        fuse_conv_bn_eval(conv, nn.BatchNorm2d(3).eval())
    with pytest.raises(ArgumentError, match="running statistics"):
        fuse_conv_bn_eval(conv, nn.BatchNorm2d(2, track_running_stats=False).eval())


def test_beside_pytorch() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: NOT compared with it")
    theirs = torch.nn.Conv2d(3, 4, 3).double().eval(), torch.nn.BatchNorm2d(4).double().eval()
    torch.nn.init.uniform_(theirs[1].running_var, 0.5, 2.0)
    torch.nn.init.uniform_(theirs[1].running_mean, 0.5, 2.0)
    ours = nn.Conv2d(3, 4, 3, dtype="float64").eval(), nn.BatchNorm2d(4, dtype="float64").eval()
    for mine, other in zip(ours, theirs, strict=True):
        mine.load_state_dict({key: value.numpy() for key, value in other.state_dict().items()})
    expected = torch.nn.utils.fusion.fuse_conv_bn_eval(*theirs).state_dict()
    found = fuse_conv_bn_eval(*ours).state_dict()
    assert list(found) == list(expected)
    for key, value in found.items():
        assert np.abs(value - expected[key].numpy()).max() <= 1e-14
