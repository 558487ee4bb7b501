"""The module: what it finds of itself, how its state comes and goes, where its errors happened."""

import copy

import numpy as np
import pytest

import gpunet
from gpunet import nn
from gpunet.errors import ArgumentError, DTypeError, GpunetError, ShapeError


class Block(nn.Module):
    """A residual block with a scale of its own and a buffer."""

    def __init__(self, width: int):
        self.first = nn.Linear(width, width)
        self.scale = nn.Parameter(gpunet.tensor([1.0]))
        self.second = nn.Linear(width, width, bias=False)
        self.calls = nn.Buffer(gpunet.tensor([0.0]))
        self.width = width

    def forward(self, x):
        return x + self.second(self.first(x).relu()) * self.scale


class Net(nn.Module):
    def __init__(self):
        self.encoder = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), Block(6), nn.Dropout(0.5))
        self.head = nn.Linear(6, 2)

    def forward(self, x):
        return self.head(self.encoder(x))


PARAMETERS = [
    "encoder.0.weight",
    "encoder.0.bias",
    "encoder.2.scale",
    "encoder.2.first.weight",
    "encoder.2.first.bias",
    "encoder.2.second.weight",
    "head.weight",
    "head.bias",
]


@pytest.fixture
def net() -> Net:
    return Net()


def x(*shape: int) -> gpunet.Tensor:
    return gpunet.tensor(np.ones(shape or (3, 4), "float32"))


# --- what it holds


def test_names(net) -> None:
    assert [name for name, _ in net.named_parameters()] == PARAMETERS
    assert [name for name, _ in net.named_buffers()] == ["encoder.2.calls"]
    assert [name for name, _ in net.named_children()] == ["encoder", "head"]
    assert [name for name, _ in net.named_modules()] == [
        *("", "encoder", "encoder.0", "encoder.1", "encoder.2", "encoder.2.first"),
        *("encoder.2.second", "encoder.3", "head"),
    ]
    assert list(net.modules())[-1] is net.head
    assert all(isinstance(p, nn.Parameter) and p.requires_grad for p in net.parameters())


def test_a_parameter_used_twice_comes_once() -> None:
    class Tied(nn.Module):
        def __init__(self):
            self.one, self.other = nn.Linear(3, 3), nn.Linear(3, 3, bias=False)
            self.other.weight = self.one.weight

    assert [name for name, _ in Tied().named_parameters()] == ["one.weight", "one.bias"]


def test_sequential_has_pytorchs_keys() -> None:
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(4, 8), nn.ReLU(), nn.Dropout(), nn.Sequential(nn.Linear(8, 2))
    )
    assert list(model.state_dict()) == ["1.weight", "1.bias", "4.0.weight", "4.0.bias"]


def test_attributes_may_change(net) -> None:
    net.head = nn.Linear(6, 3, bias=False)
    net.extra = net.head
    net.encoder.training_note = "no module"
    assert [name for name, _ in net.named_parameters()] == [*PARAMETERS[:-2], "head.weight"]


def test_forward_must_be_defined() -> None:
    class Nothing(nn.Module):
        pass

    with pytest.raises(NotImplementedError, match="Nothing must define forward"):
        Nothing()(x())


# --- state


def bits(model: nn.Module) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in model.state_dict().items()}


def test_state_goes_into_another_model(net) -> None:
    other = Net()
    assert bits(other) != bits(net)
    other.load_state_dict(net.state_dict())
    assert bits(other) == bits(net)
    for one, its in zip(net.parameters(), other.parameters(), strict=True):
        assert not np.may_share_memory(one.array, its.array)
    np.testing.assert_array_equal(net.eval()(x()).array, other.eval()(x()).array)


def test_state_is_cast_and_taken_from_tensors(net) -> None:
    state = {name: gpunet.tensor(a.astype("float64")) for name, a in net.state_dict().items()}
    other = Net()
    other.load_state_dict(state)
    assert bits(other) == bits(net)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda s: s.pop("head.bias"), ArgumentError, r"missing \['head.bias'\]"),
        (lambda s: s.pop("encoder.2.calls"), ArgumentError, r"missing \['encoder.2.calls'\]"),
        (lambda s: s.update(tail=1), ArgumentError, r"unexpected \['tail'\]"),
        (
            lambda s: s.update({"head.weight": s["head.weight"].T}),
            ShapeError,
            r"head.weight must have shape \(2, 6\), got \(6, 2\)",
        ),
        (
            lambda s: s.update({"encoder.2.calls": np.ones(())}),
            ShapeError,
            r"encoder.2.calls must have shape \(1,\), got \(\)",
        ),
    ],
)
def test_state_of_another_model_changes_nothing(net, change, error, message) -> None:
    other = Net()
    before, state = bits(other), dict(net.state_dict())
    change(state)
    with pytest.raises(error, match=f"load_state_dict: .*{message}"):
        other.load_state_dict(state)
    assert bits(other) == before


def test_a_deep_copy_is_another_model(net) -> None:
    other = copy.deepcopy(net)
    assert bits(other) == bits(net)
    other.head.bias.array += 1
    assert bits(other) != bits(net)
    other(x()).sum().backward()
    assert other.head.weight.grad is not None
    assert net.head.weight.grad is None


def test_zero_grad(net) -> None:
    net(x()).sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())
    net.zero_grad()
    assert all(parameter.grad is None for parameter in net.parameters())


def test_to_the_same_device_changes_nothing(net) -> None:
    arrays = [parameter.array for parameter in net.parameters()]
    assert net.to("cpu") is net
    assert all(p.array is array for p, array in zip(net.parameters(), arrays, strict=True))


# --- modes and hooks


def test_train_and_eval_reach_every_layer(net) -> None:
    assert all(module.training for module in net.modules())
    assert net.eval() is net
    assert not any(module.training for module in net.modules())
    np.testing.assert_array_equal(net(x()).array, net(x()).array)
    assert net.train() is net
    assert all(module.training for module in net.modules())
    assert (net(x()).array != net(x()).array).any()


def test_hooks_see_inputs_and_output(net) -> None:
    seen = []
    handles = [
        net.head.register_forward_hook(lambda *call: seen.append(("first", *call))),
        net.head.register_forward_hook(lambda *call: seen.append(("second", *call))),
    ]
    y = net(x())
    assert [(order, module) for order, module, *_ in seen] == [
        ("first", net.head),
        ("second", net.head),
    ]
    (features,), output = seen[0][2:]
    assert features.shape == (3, 6)
    assert output is y
    handles[0].remove()
    net(x())
    assert [call[0] for call in seen] == ["first", "second", "second"]
    handles[1].remove()
    net(x())
    assert len(seen) == 3


# --- errors say where


@pytest.mark.parametrize(
    ("where", "path"),
    [
        (lambda net: net.head, "head"),
        (lambda net: net.encoder[0], "encoder.0"),
        (lambda net: net.encoder[2].first, "encoder.2.first"),
    ],
)
def test_an_error_names_the_layer(net, where, path) -> None:
    layer = where(net)
    layer.weight = nn.Parameter(gpunet.tensor(np.ones((2, 9), "float32")))
    with pytest.raises(ShapeError) as caught:
        net(x())
    assert str(caught.value).startswith("linear: x must have shape (..., in) = (..., 9), got (3, ")
    assert str(caught.value).endswith(f" (in layer {path})")


def test_an_error_below_a_block_names_the_block(net) -> None:
    """The block's own arithmetic fails, not one of its layers."""
    net.encoder[2].scale = nn.Parameter(gpunet.tensor(np.ones(5, "float32")))
    with pytest.raises(ShapeError, match=r"^mul: shapes must broadcast.* \(in layer encoder.2\)$"):
        net(x())


def test_an_error_on_the_way_in(net) -> None:
    with pytest.raises(DTypeError, match=r"linear: .*float64.* \(in layer encoder.0\)$"):
        net(gpunet.tensor(np.ones((3, 4))))


def test_a_layer_alone_has_no_path() -> None:
    with pytest.raises(ShapeError) as caught:
        nn.Linear(3, 2)(x(2, 4))
    assert "in layer" not in str(caught.value)


def test_a_module_that_its_parent_does_not_hold() -> None:
    """Called from a list, which is not looked into, it has no name; the parent's still comes."""

    class Hidden(nn.Module):
        def __init__(self):
            self.layers = [nn.Linear(9, 9)]

        def forward(self, x):
            return self.layers[0](x)

    with pytest.raises(ShapeError, match=r"got \(3, 4\).* \(in layer 0\)$"):
        nn.Sequential(Hidden())(x())


def test_other_errors_pass_as_they_are() -> None:
    class Broken(nn.Module):
        def forward(self, x):
            raise KeyError("mine")

    with pytest.raises(KeyError, match=r"^'mine'$"):
        nn.Sequential(Broken())(x())
    assert issubclass(ShapeError, ValueError)
    assert issubclass(DTypeError, TypeError)
    assert str(GpunetError("op", "problem", "context")) == "op: problem; context"


def test_repr(net) -> None:
    assert repr(net) == (
        "Net(\n"
        "  (encoder): Sequential(\n"
        "    (0): Linear(4, 6, bias=True)\n"
        "    (1): Tanh()\n"
        "    (2): Block(\n"
        "      (first): Linear(6, 6, bias=True)\n"
        "      (second): Linear(6, 6, bias=False)\n"
        "    )\n"
        "    (3): Dropout(p=0.5)\n"
        "  )\n"
        "  (head): Linear(6, 2, bias=True)\n"
        ")"
    )
