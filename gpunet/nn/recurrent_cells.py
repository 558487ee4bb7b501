"""One step of a recurrent layer: cells, for loops that are written by hand."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from gpunet import backend
from gpunet import functional as F
from gpunet.autograd.tensor import Tensor
from gpunet.errors import ArgumentError
from gpunet.functional.check import describe, is_tensor, one_of, shape_error
from gpunet.nn import init
from gpunet.nn.module import Module, Parameter


class RNNCellBase(Module):
    """What the cells share: parameters, and one step as a sequence of length 1."""

    gates: ClassVar[int]
    states: ClassVar[tuple[str, ...]] = ("hx",)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: str = "cpu",
        dtype: str = "float32",
    ):
        if input_size < 1 or hidden_size < 1:
            rule = "input_size and hidden_size must be at least 1"
            got = f"got {input_size} and {hidden_size}"
            raise ArgumentError(type(self).__name__, f"{rule}, {got}")
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        be, rows = backend.resolve(device)[0], self.gates * hidden_size

        def parameter(*shape: int) -> Parameter:
            return Parameter(Tensor(be.empty(shape, dtype), be))

        self.weight_ih = parameter(rows, input_size)
        self.weight_hh = parameter(rows, hidden_size)
        self.bias_ih = parameter(rows) if bias else None
        self.bias_hh = parameter(rows) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws all parameters anew, uniform in ±1/√hidden_size."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def _step(self, x: Tensor, *state: Tensor | None) -> tuple[Tensor, ...]:
        """Final states of a sequence x of length 1."""
        raise NotImplementedError

    def _weights(self) -> tuple[Tensor | None, ...]:
        return self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh

    def _run(self, x: Tensor, hx: Any) -> tuple[Tensor, ...]:
        name = type(self).__name__
        is_tensor(name, "x", x)
        if x.ndim not in (1, 2) or x.shape[-1] != self.input_size:
            rule = f"x must have shape (N, {self.input_size}) or ({self.input_size},)"
            shape_error(name, f"{rule}, got {x.shape}", x=x)
        given: Any = (None,) * len(self.states) if hx is None else hx
        if not isinstance(given, (tuple, list)):
            given = (given,)
        if len(given) != len(self.states):
            rule = f"hx must be a tuple ({', '.join(self.states)}), got {type(hx).__name__}"
            raise ArgumentError(name, rule, describe(x=x))
        shape = (*x.shape[:-1], self.hidden_size)
        for what, state in zip(self.states, given, strict=True):
            if state is not None:
                is_tensor(name, what, state)
                if state.shape != shape:
                    shape_error(name, f"{what} must have shape {shape}, got {state.shape}", x=x)
        if x.ndim == 2:
            return self._step(x.unsqueeze(0), *given)
        rows = [None if state is None else state.unsqueeze(0) for state in given]
        return tuple([s.squeeze(0) for s in self._step(x.reshape(1, 1, -1), *rows)])

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")


class RNNCell(RNNCellBase):
    """One step: tanh(W_ih·x + b_ih + W_hh·h + b_hh), or ReLU. Weights as those of a layer of `RNN`.

    Shapes: x (N, input_size) or (input_size,), hx and the result (N, hidden_size) or without N.

    Args:
        nonlinearity: "tanh" or "relu".
    """

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: str = "cpu",
        dtype: str = "float32",
    ):
        one_of("RNNCell", "nonlinearity", nonlinearity, ("tanh", "relu"))
        self.nonlinearity = nonlinearity
        super().__init__(input_size, hidden_size, bias, device, dtype)

    def _step(self, x: Tensor, *state: Tensor | None) -> tuple[Tensor, ...]:
        return F.rnn(x, *self._weights(), *state, nonlinearity=self.nonlinearity)[1:]  # type: ignore[arg-type]

    def forward(self, x: Tensor, hx: Tensor | None = None) -> Tensor:
        return self._run(x, hx)[0]

    def extra_repr(self) -> str:
        relu = "" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity}"
        return super().extra_repr() + relu


class LSTMCell(RNNCellBase):
    """One step of `LSTM`: takes x and (h, c), gives the next (h, c).

    Shapes: x (N, input_size) or (input_size,), h and c (N, hidden_size) or without N.
    """

    gates = 4
    states = ("h_0", "c_0")

    def _step(self, x: Tensor, *state: Tensor | None) -> tuple[Tensor, ...]:
        return F.lstm(x, *self._weights(), *state)[1:]  # type: ignore[arg-type]

    def forward(self, x: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, ...]:
        return self._run(x, hx)


class GRUCell(RNNCellBase):
    """One step of `GRU`: takes x and h, gives the next h.

    Shapes: x (N, input_size) or (input_size,), h (N, hidden_size) or without N.
    """

    gates = 3

    def _step(self, x: Tensor, *state: Tensor | None) -> tuple[Tensor, ...]:
        return F.gru(x, *self._weights(), *state)[1:]  # type: ignore[arg-type]

    def forward(self, x: Tensor, hx: Tensor | None = None) -> Tensor:
        return self._run(x, hx)[0]
