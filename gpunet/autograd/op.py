"""An operation: a call of a differentiable function, and the node it leaves in the backward graph.

    class Multiply(Op):
        def forward(self, be, x, y):
            self.saved = x, y
            return x * y

        def backward(self, be, gy):
            x, y = self.saved
            return gy * y, gy * x

`apply(Multiply(), x, y)` runs `forward` on the raw arrays and wraps the result. `forward` states
what it keeps by putting it into `self.saved`: keep the cheaper of input and output, or nothing.
"""

from __future__ import annotations

from itertools import count
from typing import Any

from gpunet.autograd.mode import mode
from gpunet.autograd.tensor import Tensor
from gpunet.backend import Array, Backend
from gpunet.errors import DeviceError, DTypeError

_order = count()


class Op:
    """Base of all operations; an instance serves one call. Hyperparameters go into `__init__`.

    Attributes:
        saved: what `forward` keeps for `backward`; dropped as soon as the backward pass leaves the
            node.
        needs: for each input, whether its gradient is wanted. `backward` may skip the others.
        edges: for each input, where its gradient goes: None, a leaf tensor, or (operation, output
            index).
        order: a number that grows with each recorded operation; the backward pass runs against it.
        outputs: how many tensors `forward` returned.
    """

    saved: Any = None
    needs: tuple[bool, ...] = ()
    edges: tuple[Any, ...] = ()
    backend: Backend
    order: int
    outputs = 1

    def forward(self, be: Backend, *inputs: Any) -> Any:
        """The result as an array, or a tuple of arrays. Must not change its inputs."""
        raise NotImplementedError

    def backward(self, be: Backend, *gys: Array) -> Any:
        """Gradients of the inputs, in order (one alone may come bare); None where there is none.

        Takes one gradient an output; where there are several outputs, those unused come as None.
        """
        raise NotImplementedError

    @property
    def name(self) -> str:
        """As it stands in graphs and messages."""
        return type(self).__name__


def apply(op: Op, *inputs: Any) -> Any:
    """Runs `op` on tensors, recording it if a gradient may be wanted.

    Plain numbers and None among the inputs are passed through.

    Returns:
        A tensor, or a tuple of them.

    Raises:
        DTypeError: no input is a tensor. DeviceError: tensors of different devices.
    """
    arrays: list[Any] = []
    needs: list[bool] = []
    be: Backend | None = None
    for x in inputs:
        if isinstance(x, Tensor):
            if x.backend is not be:
                if be is not None:
                    raise DeviceError(
                        op.name,
                        f"all tensors must be on one device, got {be.device} and {x.device}",
                    )
                be = x.backend
            arrays.append(x.array)
            needs.append(x.requires_grad)
        else:
            arrays.append(x)
            needs.append(False)
    if be is None:
        got = ", ".join(type(x).__name__ for x in inputs)
        raise DTypeError(op.name, f"needs a gpunet.Tensor, got {got}")

    recorded = mode.recording and True in needs
    if recorded:
        op.needs = tuple(needs)
    result = op.forward(be, *arrays)
    if not recorded:
        if type(result) is tuple:
            return tuple([Tensor(y, be) for y in result])
        return Tensor(result, be)

    op.backend, op.order = be, next(_order)
    op.edges = tuple([(x.origin or x) if need else None for x, need in zip(inputs, needs)])  # noqa: B905
    if type(result) is tuple:
        op.outputs = len(result)
        return tuple([Tensor(y, be, True, (op, i)) for i, y in enumerate(result)])
    return Tensor(result, be, True, (op, 0))
