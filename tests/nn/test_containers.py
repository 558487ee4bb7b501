"""Lists and dicts of modules and parameters."""

from collections import OrderedDict

import numpy as np
import pytest

import gpunet
from gpunet import nn
from gpunet.errors import ArgumentError, DTypeError


def linear(n: int = 2) -> nn.Linear:
    return nn.Linear(n, n)


def test_a_list_of_modules_is_found_and_edited() -> None:
    modules = nn.ModuleList([linear(), linear()])
    modules.append(nn.ReLU()).insert(0, nn.Tanh())
    assert [type(m).__name__ for m in modules] == ["Tanh", "Linear", "Linear", "ReLU"]
    assert list(modules.state_dict()) == ["1.weight", "1.bias", "2.weight", "2.bias"]
    assert isinstance(modules[1:3], nn.ModuleList)
    assert len(modules[1:3]) == 2
    del modules[0]
    modules[0] = linear(3)
    assert modules.pop() is not None
    assert [m.in_features for m in modules] == [3, 2]
    modules.extend([linear(5)])
    assert modules[-1].in_features == 5


def test_a_dict_of_modules() -> None:
    modules = nn.ModuleDict({"left": linear(), "right": linear()})
    modules["top"] = nn.ReLU()
    assert list(modules) == list(modules.keys()) == ["left", "right", "top"]
    assert "left" in modules
    assert len(modules.values()) == 3
    assert next(iter(modules.state_dict())) == "left.weight"
    assert isinstance(modules.pop("top"), nn.ReLU)
    assert [name for name, _ in modules.items()] == ["left", "right"]


def test_parameters_in_lists_and_dicts() -> None:
    def parameter() -> nn.Parameter:
        return nn.Parameter(gpunet.ones(2))

    class Model(nn.Module):
        def __init__(self):
            self.listed = nn.ParameterList([parameter(), parameter()])
            self.named = nn.ParameterDict({"a": parameter()})

    names = [name for name, _ in Model().named_parameters()]
    assert names == ["listed.0", "listed.1", "named.a"]


def test_sequential_by_names_and_edits() -> None:
    model = nn.Sequential(OrderedDict([("first", linear()), ("act", nn.ReLU())]))
    assert list(model.state_dict()) == ["first.weight", "first.bias"]
    x = gpunet.tensor([[1.0, -2.0]])
    model(x)
    model.act = nn.Tanh()
    np.testing.assert_array_equal(model(x).detach().numpy(), model.first(x).tanh().detach().numpy())
    model = nn.Sequential(linear(), nn.ReLU(), linear())
    assert isinstance(model[:2], nn.Sequential)
    model[1] = nn.Tanh()
    np.testing.assert_array_equal(
        model(x).detach().numpy(), model[2](model[0](x).tanh()).detach().numpy()
    )


def test_shared_modules_stand_twice_in_the_state_and_once_among_parameters() -> None:
    layer = linear()
    model = nn.Sequential(layer, nn.ReLU(), layer)
    assert list(model.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert [name for name, _ in model.named_parameters()] == ["0.weight", "0.bias"]
    assert len(list(model.modules())) == 3


@pytest.mark.parametrize(
    ("build", "error"),
    [
        (lambda: nn.ModuleList([3]), DTypeError),
        (lambda: nn.ParameterList([gpunet.ones(2)]), DTypeError),
        (lambda: nn.ModuleDict({"a": 1}), DTypeError),
        (lambda: nn.ModuleDict({"forward": nn.ReLU()}), ArgumentError),
        (lambda: nn.ModuleDict({"a.b": nn.ReLU()}), ArgumentError),
        (lambda: nn.Sequential(nn.ReLU(), "tanh"), DTypeError),
    ],
)
def test_other_members_are_refused(build, error) -> None:
    with pytest.raises(error):
        build()


# --- what modules do


def test_conversions_and_freezing() -> None:
    model = nn.Sequential(linear(), nn.Linear(2, 1))
    model.register_buffer("steps", gpunet.tensor([3]))
    model.register_buffer("scratch", gpunet.tensor([3.0]), persistent=False)
    model.double().requires_grad_(False)
    assert {p.dtype for p in model.parameters()} == {gpunet.float64}
    assert model.steps.dtype == "int64"
    assert "steps" in model.state_dict()
    assert "scratch" not in model.state_dict()
    assert not any(p.requires_grad for p in model.parameters())
    with pytest.raises(DTypeError, match="must be floating"):
        model.to("int32")


def test_apply_reaches_every_module() -> None:
    seen = []
    model = nn.Sequential(linear(), nn.Sequential(nn.ReLU()))
    assert model.apply(lambda module: seen.append(type(module).__name__)) is model
    assert seen == ["Linear", "ReLU", "Sequential", "Sequential"]
    assert model.get_submodule("1.0") is model[1][0]
    with pytest.raises(ArgumentError, match=r"got '1\.7'"):
        model.get_submodule("1.7")


def test_loading_leaves_out_what_is_not_there_when_asked() -> None:
    model = linear()
    keys = model.load_state_dict({"weight": np.ones((2, 2)), "more": np.ones(1)}, strict=False)
    assert keys == (["bias"], ["more"])
    assert (model.weight.array == 1).all()
    assert model.weight.dtype == "float32"


def test_a_pytorch_models_state_is_taken() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: NOT compared with it")
    theirs = torch.nn.Linear(2, 2)
    ours = linear()
    ours.load_state_dict(theirs.state_dict())
    np.testing.assert_array_equal(ours.weight.array, theirs.weight.detach().numpy())
