"""Tensors of different devices, where no case table has them: writes, operators and layers."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pytest

import gpunet
from gpunet import nn
from gpunet.autograd import Tensor
from gpunet.errors import DeviceError
from tests.checks import ELSEWHERE


def here() -> Tensor:
    return gpunet.tensor([[1.0, 2.0, 3.0]])


def there(*values: Any) -> Tensor:
    return Tensor(np.array(values or [[1.0, 2.0, 3.0]], "float32"), ELSEWHERE)


REFUSED = {
    "getitem": lambda: here()[there(0).long()],
    "setitem": lambda: operator.setitem(here(), 0, there()),
    "setitem, key": lambda: operator.setitem(here(), there(0).long(), 1.0),
    "setitem, recorded": lambda: operator.setitem(here().requires_grad_() * 2, 0, there()),
    "fill_": lambda: here().fill_(there(1.0).sum()),
    "eq": lambda: here() == there(),
    "ne": lambda: here() != there(),
    "eq, in": lambda: there(1.0).sum() in here(),
    "add": lambda: operator.iadd(here(), there()),
    "sub": lambda: there() - here(),
    "matmul": lambda: here() @ there().T,
    "backward": lambda: (here().requires_grad_() * 2).backward(there()),
    "grad": lambda: gpunet.grad((x := here().requires_grad_()) * 2, x, there()),
}


@pytest.mark.parametrize(("name", "call"), REFUSED.items(), ids=REFUSED)
def test_refused(name, call) -> None:
    with pytest.raises(DeviceError, match=rf"^{name.partition(',')[0]}: .*must be on") as caught:
        call()
    assert {"cpu", "cuda:7"} <= set(str(caught.value).replace(",", "").split())


def test_copy_from_another_device() -> None:
    """`copy_` is the write that crosses devices, as in PyTorch; the gradient goes back."""
    x, source = here(), there(7.0, 8.0, 9.0).requires_grad_()
    y = x * 1
    y.copy_(source)
    assert y.backend is x.backend
    assert y.tolist() == [[7.0, 8.0, 9.0]]
    (y * 2).sum().backward()
    assert source.grad.backend is ELSEWHERE
    assert source.grad.tolist() == [2.0, 2.0, 2.0]


LAYERS: dict[str, tuple[nn.Module, list[tuple[int, ...]]]] = {
    "linear": (nn.Linear(3, 2), [(4, 3)]),
    "bilinear": (nn.Bilinear(3, 2, 5), [(4, 3), (4, 2)]),
    "conv1d": (nn.Conv1d(3, 2, 1), [(4, 3, 5)]),
    "conv_transpose2d": (nn.ConvTranspose2d(3, 2, 1), [(4, 3, 5, 5)]),
    "batch_norm": (nn.BatchNorm1d(3), [(4, 3)]),
    "instance_norm": (nn.InstanceNorm1d(3, affine=True, track_running_stats=True), [(4, 3, 5)]),
    "group_norm": (nn.GroupNorm(1, 3), [(4, 3)]),
    "layer_norm": (nn.LayerNorm(3), [(4, 3)]),
    "prelu": (nn.PReLU(), [(4, 3)]),
}


@pytest.mark.parametrize(("name", "layer", "shapes"), [(n, *r) for n, r in LAYERS.items()])
def test_a_layer_with_one_tensor_elsewhere(name, layer, shapes) -> None:
    inputs = [gpunet.ones(*shape) for shape in shapes]
    state = [*layer.parameters(), *(b for b in layer.buffers() if b.is_floating_point())]
    layer(*inputs)
    for x in (*inputs, *state):
        x.backend = ELSEWHERE
        with pytest.raises(DeviceError, match=rf"^{name}: all tensors must be on one device"):
            layer(*inputs)
        x.backend = gpunet.backend.cpu
