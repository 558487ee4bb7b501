"""Whole models: sizes that the papers state, formulas, PyTorch's results, and that they learn."""

import numpy as np
import pytest

import gpunet
from gpunet import functional as F
from gpunet import models, nn, optim
from gpunet.data import load
from gpunet.errors import ArgumentError, ShapeError
from tests.tolerance import EPS


def count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def run(model: nn.Module, *shape: int) -> np.ndarray:
    x = np.random.default_rng(1).random(shape, np.float32)
    with gpunet.no_grad():
        return model(gpunet.tensor(x)).numpy()


# ---- sizes --------------------------------------------------------------------------------------


def test_lenet_has_the_papers_layers() -> None:
    sizes = {name: count(layer) for name, layer in models.LeNet5().named_children()}
    # Trainable parameters of C1, C5 and F6 in section II.B; C3 looks at all six maps here.
    expected = {"c1": 156, "c3": (6 * 25 + 1) * 16, "c5": 48_120, "f6": 10_164, "output": 850}
    assert {name: size for name, size in sizes.items() if size} == expected
    assert run(models.LeNet5(3, 7), 2, 3, 28, 28).shape == (2, 7)


@pytest.mark.parametrize(
    ("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)]
)
def test_resnets_have_the_papers_sizes(depth, millions) -> None:
    residual, plain = models.ResNet(depth), models.ResNet(depth, residual=False)
    assert abs(count(residual) / 1e6 - millions) < 0.04 * millions  # table 6, two digits
    assert count(residual) == count(plain)  # section 4.2: shortcuts have no weights
    layers = [m for m in residual.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == depth


def test_resnet20_is_the_resnet_of_that_depth() -> None:
    small = models.ResNet20()
    assert count(small) == 269_722
    shapes = {k: v.shape for k, v in models.ResNet(20).state_dict().items()}
    assert {k: v.shape for k, v in small.state_dict().items()} == shapes
    assert run(models.ResNet20(1, 4), 2, 1, 28, 28).shape == (2, 4)


def test_the_papers_unet_has_its_layers() -> None:
    paper = models.UNet(channels=(64, 128, 256, 512, 1024), batch_norm=False)
    layers = [m for m in paper.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert len(layers) == 23  # "In total the network has 23 convolutional layers."
    # Figure 1: two 3 × 3 convolutions a level, down and up, 2 × 2 ones upwards, 1 × 1 at last.
    down = [(1, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 512)]
    down += [(512, 512), (512, 1024), (1024, 1024)]
    up = [(1024, 512), (512, 512), (512, 256), (256, 256), (256, 128), (128, 128), (128, 64)]
    up += [(64, 64)]
    widened = [(1024, 512), (512, 256), (256, 128), (128, 64)]
    weights = sum(9 * a * b + b for a, b in down + up) + sum(4 * a * b + b for a, b in widened)
    assert count(paper) == weights + 64 * 2 + 2


def test_unet_scores_every_pixel() -> None:
    assert run(models.UNet(3, 5, channels=(2, 3, 4)), 2, 3, 8, 12).shape == (2, 5, 8, 12)
    assert run(models.UNet(channels=(2,)), 1, 1, 5, 3).shape == (1, 2, 5, 3)


# ---- what they compute --------------------------------------------------------------------------


def test_a_block_adds_its_input_and_a_plain_one_does_not() -> None:
    net = models.ResNet(8)
    for stage, maps, side in (("layer1", 16, 6), ("layer2", 16, 6), ("layer3", 32, 5)):
        block = getattr(net, stage)[0].eval()
        block.bn2.weight.array[...] = 0  # the convolutions now give 0
        x = np.random.default_rng(2).standard_normal((2, maps, side, side)).astype(np.float32)
        y = block(gpunet.tensor(x)).detach().numpy()
        out = block.conv2.weight.shape[0]
        expected = np.zeros((2, out, -(-side // block.stride), -(-side // block.stride)))
        first = (out - maps) // 2
        expected[:, first : first + maps] = x[:, :, :: block.stride, :: block.stride]
        np.testing.assert_array_equal(y, np.maximum(expected, 0))
        block.residual = False
        assert not block(gpunet.tensor(x)).detach().numpy().any()


def test_resnet_is_that_of_pytorch() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: NOT compared with it")
    net = models.ResNet(8)
    state = {k: torch.from_numpy(np.array(v)) for k, v in net.state_dict().items()}
    f = torch.nn.functional
    x = torch.randn(4, 3, 12, 12, generator=torch.Generator().manual_seed(1))

    def norm(x, name):
        return f.batch_norm(x, None, None, state[f"{name}.weight"], state[f"{name}.bias"], True)

    y = torch.relu(norm(f.conv2d(x, state["conv1.weight"], padding=1), "bn1"))
    for stage in (1, 2, 3):
        at, stride = f"layer{stage}.0", 1 + (stage > 1)
        z = f.conv2d(y, state[f"{at}.conv1.weight"], stride=stride, padding=1)
        z = f.conv2d(torch.relu(norm(z, f"{at}.bn1")), state[f"{at}.conv2.weight"], padding=1)
        added = (z.shape[1] - y.shape[1]) // 2
        y = f.pad(y[:, :, ::stride, ::stride], (0, 0, 0, 0, added, added))
        y = torch.relu(norm(z, f"{at}.bn2") + y)
    expected = y.mean((2, 3)) @ state["fc.weight"].T + state["fc.bias"]
    got = net(gpunet.tensor(x.numpy())).detach().numpy()
    np.testing.assert_allclose(got, expected.numpy(), atol=2**8 * EPS["float32"])


def test_unet_is_that_of_pytorch() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: NOT compared with it")
    net = models.UNet(channels=(2, 3, 4), batch_norm=False)
    state = {k: torch.from_numpy(np.array(v)) for k, v in net.state_dict().items()}
    f = torch.nn.functional
    x = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(1))

    def twice(x, at):
        for layer in (0, 2):
            name = f"{at}.{layer}"
            x = torch.relu(f.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=1))
        return x

    beside = [twice(x, "down.0")]
    beside.append(twice(f.max_pool2d(beside[0], 2), "down.1"))
    y = twice(f.max_pool2d(beside[1], 2), "down.2")
    for level in (0, 1):
        at = f"widen.{level}"
        y = f.conv_transpose2d(y, state[f"{at}.weight"], state[f"{at}.bias"], 2)
        y = twice(torch.cat([beside[1 - level], y], 1), f"up.{level}")
    expected = f.conv2d(y, state["scores.weight"], state["scores.bias"])
    got = net(gpunet.tensor(x.numpy())).detach().numpy()
    np.testing.assert_allclose(got, expected.numpy(), atol=2**8 * EPS["float32"])


def test_cnn_has_what_it_is_asked_for() -> None:
    def kinds(**arguments) -> str:
        net = models.CNN((1, 8, 8), **arguments)
        assert run(net, 2, 1, 8, 8).shape == (2, 10)
        return " ".join(type(layer).__name__ for layer in net)

    stage, norm = "Conv2d ReLU MaxPool2d ", "Conv2d ReLU BatchNorm2d MaxPool2d "
    dense, drop = "Linear ReLU ", "Linear ReLU Dropout "
    assert kinds() == 2 * norm + "Flatten " + drop + "Linear"
    assert kinds(batch_norm=False, dropout=0) == 2 * stage + "Flatten " + dense + "Linear"
    assert kinds(channels=[4], hidden=[5, 6]) == norm + "Flatten " + 2 * drop + "Linear"
    assert kinds(channels=(), hidden=()) == "Flatten Linear"


# ---- learning -----------------------------------------------------------------------------------


def learns(model: nn.Module, x: np.ndarray, t: np.ndarray, steps: int) -> tuple[float, float]:
    """Loss in training before and after some steps on one batch."""
    optimizer = optim.AdamW(model.parameters(), lr=5e-3)
    losses = []
    for _ in range(steps):
        loss = F.cross_entropy(model(gpunet.tensor(x)), gpunet.tensor(t))
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return losses[0], losses[-1]


@pytest.mark.parametrize(
    "make",
    [
        lambda: models.LeNet5(),
        lambda: models.CNN((1, 28, 28), channels=(4, 8), hidden=(32,), dropout=0.1),
        lambda: models.ResNet(8, in_channels=1),
        lambda: models.ResNet(8, in_channels=1, residual=False),
    ],
    ids=["LeNet5", "CNN", "ResNet", "plain"],
)
def test_digits_are_learnt(make) -> None:
    digits = load("digits", "train")
    x = np.pad(digits.inputs[:48], ((0, 0), (0, 0), (10, 10), (10, 10)))
    before, after = learns(make(), x, digits.targets[:48], steps=25)
    assert 1.8 < before < 4
    assert after < 0.5 * before


def test_where_ink_is_is_learnt() -> None:
    x = load("digits", "train").inputs[:32]
    before, after = learns(models.UNet(channels=(4, 8)), x, (x[:, 0] > 0.5).astype(np.int64), 40)
    assert 0.5 < before < 2
    assert after < 0.5 * before


# ---- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: models.ResNet(21), r"ResNet: depth must be 8, 14, 20, ... \(6n \+ 2\), got 21"),
        (lambda: models.ResNet(2), "got 2"),
        (lambda: models.UNet(channels=()), "UNet: channels must have at least one level, got none"),
        (lambda: models.CNN((28, 28)), r"CNN: shape must be \(C, H, W\), got \(28, 28\)"),
        (
            lambda: models.CNN((1, 8, 3), channels=(4, 8)),
            "H and W of at least 4, got 8 × 3; 2 convolutions, each followed by a pooling",
        ),
    ],
)
def test_impossible_models_are_refused(make, problem) -> None:
    with pytest.raises(ArgumentError, match=problem):
        make()


@pytest.mark.parametrize("shape", [(1, 1, 8, 6), (1, 2, 8, 8), (1, 8, 8)])
def test_unet_refuses_other_pictures(shape) -> None:
    rule = r"x must have shape \(N, 1, H, W\), H and W multiples of 4, got"
    with pytest.raises(ShapeError, match=rule):
        models.UNet(channels=(2, 2, 2))(gpunet.zeros(shape))
