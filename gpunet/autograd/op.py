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

import inspect
from collections.abc import Callable, Sequence
from sys import modules
from typing import Any

from gpunet.autograd.memory import clock, owner
from gpunet.autograd.mode import mode
from gpunet.autograd.tensor import Tensor
from gpunet.backend import Array, Backend, dtypes
from gpunet.errors import DeviceError, DTypeError


class Op:
    """Base of all operations; an instance serves one call. Hyperparameters go into `__init__`.

    Attributes:
        saved: what `forward` keeps for `backward`; dropped as soon as the backward pass leaves the
            node.
        needs: for each input, whether its gradient is wanted. `backward` may skip the others.
        edges: for each input, where its gradient goes: None, a leaf tensor, or (operation, output
            index).
        order: when it was recorded; the backward pass runs against it.
        outputs: how many tensors `forward` returned.
        target: the backend of the results, where it is not that of the inputs.
        view: id of the array whose memory the result shows, None if it has its own.
        fresh: whether `backward` makes every gradient anew, for one input: what it returns may then
            be a view, as long as nobody else has its elements.
        takes_bfloat16: whether `forward` and `backward` are given arrays of bfloat16 as they are:
            they only move them, or leave them to kernels. Others get float32; see `apply`.
        hooks: called with the list of the outputs' gradients, which they may change; see
            `Tensor.register_hook`.
    """

    saved: Any = None
    needs: tuple[bool, ...] = ()
    edges: Sequence[Any] = ()
    backend: Backend
    order: int
    outputs = 1
    target: Backend | None = None
    view: int | None = None
    fresh = False
    takes_bfloat16 = False
    hooks: tuple[Callable[[list[Array | None]], None], ...] = ()

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

    Plain numbers and None among the inputs are passed through. Results that are not floating
    (indices, say) take no part in differentiation. bfloat16 is computed in float32 and rounded
    once, unless the operation takes it as it is.

    Returns:
        A tensor, or a tuple of them.

    Raises:
        DTypeError: no input is a tensor. DeviceError: tensors of different devices.
    """
    # Nobody has such an array before this package was imported, and then pays nothing for the test.
    if "ml_dtypes" in modules and not op.takes_bfloat16 and any(map(_is_bfloat16, inputs)):
        return _in_float32(op, inputs)
    arrays: list[Any] = []
    edges: list[Any] = []
    needs: list[bool] = []
    recording, recorded = mode.recording, False
    be: Backend | None = None
    for x in inputs:
        if isinstance(x, Tensor):
            if x.backend is not be:
                if be is not None:
                    raise different_devices(op.name, be, x.backend)
                be = x.backend
            arrays.append(x.array)
            if recording and x.requires_grad:
                edges.append(x.origin or x)
                needs.append(True)
                recorded = True
                continue
        else:
            arrays.append(x)
        edges.append(None)
        needs.append(False)
    if be is None:
        got = ", ".join(type(x).__name__ for x in inputs)
        raise DTypeError(_called(op.name), f"needs a gpunet.Tensor, got {got}")

    if recorded:
        op.needs = tuple(needs)
    watcher = mode.watcher
    result = op.forward(be, *arrays) if watcher is None else watcher.forward(op, be, arrays)
    home = op.target or be
    if not recorded:
        if type(result) is tuple:
            return tuple([Tensor(y, home) for y in result])
        return Tensor(result, home)

    op.backend, op.order, op.edges = be, next(clock), edges
    if type(result) is tuple:
        op.outputs = len(result)
        return tuple([_output(y, home, op, i) for i, y in enumerate(result)])
    # As `_output` does, without the call: nearly every operation ends here.
    if result.base is None and result.dtype.kind == "f":
        return Tensor(result, home, True, (op, 0))
    return _output(result, home, op, 0)


def _output(y: Array, home: Backend, op: Op, index: int) -> Tensor:
    """One of the results of a recorded operation; only floating ones are differentiated."""
    if y.base is not None:
        shown = owner(y)
        if shown is not y:
            op.view = id(shown)
    return Tensor(y, home, True, (op, index)) if y.dtype.kind in "fV" else Tensor(y, home)


def _is_bfloat16(x: Any) -> bool:
    return isinstance(x, Tensor) and x.array.dtype.char == "E"


def _in_float32(op: Op, inputs: tuple[Any, ...]) -> Any:
    """What `op` makes of its inputs in float32; where all of these are, it is rounded back."""
    results = apply(op, *[cast(x, dtypes.float32) if _is_bfloat16(x) else x for x in inputs])
    if any([isinstance(x, Tensor) and x.array.dtype == dtypes.float32 for x in inputs]):
        return results

    def rounded(y: Tensor) -> Tensor:
        return cast(y, dtypes.bfloat16()) if y.array.dtype == dtypes.float32 else y

    return tuple(map(rounded, results)) if type(results) is tuple else rounded(results)


class Cast(Op):
    """The gradient is rounded back to the dtype of the input."""

    takes_bfloat16 = True

    def __init__(self, dtype: Any):
        self.dtype = dtype

    def forward(self, be: Backend, x: Array) -> Array:
        self.before = x.dtype
        return be.cast(x, self.dtype)

    def backward(self, be: Backend, gy: Array) -> Array:
        return be.cast(gy, self.before)


def cast(x: Tensor, dtype: Any) -> Tensor:
    """x in another dtype, which must be a `numpy.dtype`; x itself if it has it."""
    if x.array.dtype == dtype:
        return x
    if dtypes.floating(dtype) and dtypes.floating(x.array.dtype):
        return apply(Cast(dtype), x)
    return Tensor(x.backend.cast(x.array, dtype), x.backend)  # whole numbers have no gradient


def different_devices(operation: str, one: Backend, other: Backend) -> DeviceError:
    """The error for tensors that are not on one device."""
    got = f"{one.device} and {other.device}"
    return DeviceError(_called(operation), f"all tensors must be on one device, got {got}")


FUNCTIONS = "gpunet.functional"


def _called(operation: str) -> str:
    """The public function that was called, for a message; `operation` if there is none.

    A function may be made of others, so it is the outermost of them on the stack. Looked up when
    a call has failed, it costs the others nothing.
    """
    public = vars(modules[FUNCTIONS]) if FUNCTIONS in modules else {}
    frame = inspect.currentframe()
    while frame is not None:
        code = frame.f_code
        known = public.get(code.co_name)
        if known is not None and getattr(inspect.unwrap(known), "__code__", None) is code:
            operation = code.co_name
        frame = frame.f_back
    return operation
