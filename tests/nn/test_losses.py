"""Losses as modules: each is its function, whose formulas the case tables hold to."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpunet
from gpunet import functional as F
from gpunet import nn
from gpunet.errors import ArgumentError, DeviceError
from tests.checks import ELSEWHERE
from tests.tolerance import EPS

rng = np.random.default_rng(0)
X, T, Z = (2 * rng.standard_normal((5, 7)) for _ in range(3))
P, T01, POSITIVE = rng.random((5, 7)), rng.random((5, 7)), rng.uniform(0.5, 2, (5, 7))
LABELS, ANY = np.array([0, 6, 3, 3, 1]), np.tile([2, 0, -1, 5, 5, 5, 5], (5, 1))
SIGNS = np.array([1.0, -1.0, -1.0, 1.0, 1.0])
WEIGHT, BALANCE = rng.uniform(0.5, 2, 7), rng.uniform(0.5, 2, 7)


def squared(x: Any, y: Any) -> Any:
    """A distance written with what both frameworks have."""
    return ((x - y) * (x - y)).sum(-1)


# Module, function, inputs, and options that are not the defaults.
TABLE: list[tuple[type[nn.Module], Callable[..., Any], list[Any], dict[str, Any]]] = [
    (nn.L1Loss, F.l1_loss, [X, T], dict(reduction="sum")),
    (nn.MSELoss, F.mse_loss, [X, T], dict(reduction="sum")),
    (nn.SmoothL1Loss, F.smooth_l1_loss, [X, T], dict(reduction="sum", beta=0.5)),
    (nn.HuberLoss, F.huber_loss, [X, T], dict(reduction="sum", delta=0.5)),
    (nn.KLDivLoss, F.kl_div, [X, T01], dict(reduction="batchmean", log_target=True)),
    (
        nn.PoissonNLLLoss,
        F.poisson_nll_loss,
        [POSITIVE, 3 * T01],
        dict(log_input=False, full=True, eps=0.1, reduction="sum"),
    ),
    (
        nn.GaussianNLLLoss,
        F.gaussian_nll_loss,
        [X, T, POSITIVE],
        dict(full=True, eps=1.0, reduction="sum"),
    ),
    (
        nn.CrossEntropyLoss,
        F.cross_entropy,
        [X, LABELS],
        dict(weight=WEIGHT, ignore_index=3, reduction="sum", label_smoothing=0.1),
    ),
    (nn.NLLLoss, F.nll_loss, [X, LABELS], dict(weight=WEIGHT, ignore_index=3, reduction="sum")),
    (nn.BCELoss, F.binary_cross_entropy, [P, T01], dict(weight=WEIGHT, reduction="sum")),
    (
        nn.BCEWithLogitsLoss,
        F.binary_cross_entropy_with_logits,
        [X, T01],
        dict(weight=WEIGHT, reduction="sum", pos_weight=BALANCE),
    ),
    (nn.SoftMarginLoss, F.soft_margin_loss, [X, np.sign(T)], dict(reduction="sum")),
    (
        nn.MultiLabelSoftMarginLoss,
        F.multilabel_soft_margin_loss,
        [X, T01],
        dict(weight=WEIGHT, reduction="sum"),
    ),
    (
        nn.MarginRankingLoss,
        F.margin_ranking_loss,
        [X, Z, np.sign(T)],
        dict(margin=0.5, reduction="sum"),
    ),
    (
        nn.MultiMarginLoss,
        F.multi_margin_loss,
        [X, LABELS],
        dict(p=2, margin=0.5, weight=WEIGHT, reduction="sum"),
    ),
    (nn.MultiLabelMarginLoss, F.multilabel_margin_loss, [X, ANY], dict(reduction="sum")),
    (
        nn.HingeEmbeddingLoss,
        F.hinge_embedding_loss,
        [X, np.sign(T)],
        dict(margin=0.5, reduction="sum"),
    ),
    (
        nn.CosineEmbeddingLoss,
        F.cosine_embedding_loss,
        [X, Z, SIGNS],
        dict(margin=-0.5, reduction="sum"),
    ),
    (
        nn.TripletMarginLoss,
        F.triplet_margin_loss,
        [X, T, Z],
        dict(margin=9.0, p=3.0, eps=0.1, swap=True, reduction="sum"),
    ),
    (
        nn.TripletMarginWithDistanceLoss,
        F.triplet_margin_with_distance_loss,
        [X, T, Z],
        dict(distance_function=squared, margin=9.0, swap=True, reduction="sum"),
    ),
]
every_loss = pytest.mark.parametrize(
    ("module", "function", "inputs", "options"), [pytest.param(*r, id=r[0].__name__) for r in TABLE]
)


def tensor(value: Any) -> Any:
    return gpunet.tensor(value) if isinstance(value, np.ndarray) else value


def called(loss: Callable[..., Any], inputs: list[Any]) -> tuple[bytes, bytes]:
    """The bits of the loss and of its gradient by the first input."""
    x, *rest = map(tensor, inputs)
    y = loss(x.requires_grad_(), *rest)
    y.sum().backward()
    return y.detach().numpy().tobytes(), x.grad.numpy().tobytes()


@every_loss
def test_mixed_devices(module, function, inputs, options) -> None:
    """The function refuses them; weights of classes are tensors of the module."""
    words = rf"^{function.__name__}: all tensors must be on one device, got .*cuda:7"
    given = {name: tensor(value) for name, value in options.items()}
    loss = module(**given)
    tensors = [*map(tensor, inputs), *loss.buffers()]
    for x in tensors:
        x.backend = ELSEWHERE
        with pytest.raises(DeviceError, match=words):
            loss(*tensors[: len(inputs)])
        x.backend = gpunet.backend.cpu


@every_loss
def test_it_is_its_function(module, function, inputs, options) -> None:
    given = {name: tensor(value) for name, value in options.items()}
    assert called(module(**given), inputs) == called(lambda *x: function(*x, **given), inputs)
    assert called(module(), inputs) == called(function, inputs)


@every_loss
def test_every_option_is_used(module, function, inputs, options) -> None:
    given = {name: tensor(value) for name, value in options.items()}
    assert given.keys() == inspect.signature(module).parameters.keys()
    with_all = called(module(**given), inputs)
    for name in given:
        others = {other: value for other, value in given.items() if other != name}
        assert called(module(**others), inputs) != with_all, name


@every_loss
def test_same_defaults_as_the_function(module, function, inputs, options) -> None:
    wanted = inspect.signature(function).parameters
    for name, parameter in inspect.signature(module).parameters.items():
        assert parameter.default == wanted[name].default, name


def test_every_loss_stands_in_the_table() -> None:
    kinds = (getattr(nn, name) for name in nn.__all__)
    losses = {kind for kind in kinds if getattr(kind, "__module__", "") == "gpunet.nn.loss"}
    assert {module for module, *_ in TABLE} == losses


@every_loss
def test_beside_pytorch(module, function, inputs, options) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: NOT compared with it")

    def theirs(value: Any) -> Any:
        return torch.tensor(value) if isinstance(value, np.ndarray) else value

    kind = getattr(torch.nn, module.__name__)
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(kind).parameters.items()
        if name not in ("size_average", "reduce")
    }
    ours = inspect.signature(module).parameters
    assert defaults == {name: parameter.default for name, parameter in ours.items()}
    reference = kind(**{name: theirs(value) for name, value in options.items()})
    loss = module(**{name: tensor(value) for name, value in options.items()})
    assert list(loss.state_dict()) == list(reference.state_dict())
    x, *rest = map(tensor, inputs)
    tx, *trest = map(theirs, inputs)
    y, ty = loss(x.requires_grad_(), *rest), reference(tx.requires_grad_(), *trest)
    y.backward()
    ty.backward()
    # Some twenty roundings on the way, of sums of 35 terms.
    for got, expected in ((y.detach(), ty.detach()), (x.grad, tx.grad)):
        bound = 40 * EPS["float64"] * (1 + np.abs(expected.numpy()).max())
        assert np.abs(got.numpy() - expected.numpy()).max() <= bound


def test_weights_are_state() -> None:
    loss = nn.BCEWithLogitsLoss(pos_weight=gpunet.tensor(BALANCE))
    assert list(loss.state_dict()) == ["pos_weight"]
    loss.load_state_dict({"pos_weight": WEIGHT})
    same = nn.BCEWithLogitsLoss(pos_weight=gpunet.tensor(WEIGHT))
    assert called(loss, [X, T01]) == called(same, [X, T01])


@pytest.mark.parametrize(
    ("module", "options", "message"),
    [
        (nn.MultiMarginLoss, dict(p=3), "p must be one of 1, 2, got 3"),
        (nn.TripletMarginLoss, dict(margin=0.0), "margin must be above 0, got 0.0"),
        (nn.TripletMarginWithDistanceLoss, dict(margin=-1.0), "margin must be above 0, got -1.0"),
    ],
)
def test_refused_when_made(module, options, message) -> None:
    with pytest.raises(ArgumentError, match=f"^{module.__name__}: {message}"):
        module(**options)
