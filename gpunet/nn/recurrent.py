"""Recurrent layers: stacks of `functional.rnn`, `lstm` and `gru`, in one direction or both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from gpunet import backend
from gpunet import functional as F
from gpunet.autograd.tensor import Tensor
from gpunet.errors import ArgumentError
from gpunet.functional.check import describe, is_tensor, one_of, shape_error
from gpunet.functional.recurrent import Lengths
from gpunet.nn import init
from gpunet.nn.module import Module, Parameter
from gpunet.nn.utils.rnn import PackedSequence, pack_again, pad_packed_sequence

State = tuple[Tensor, ...]


class RNNBase(Module):
    """What `RNN`, `LSTM` and `GRU` share: parameters, layers, directions and layouts.

    A subclass names its states and runs one direction of one layer.
    """

    gates: ClassVar[int]
    states: ClassVar[tuple[str, ...]] = ("h_0",)
    proj_size = 0

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: str = "cpu",
        dtype: str = "float32",
    ):
        name = type(self).__name__
        for what, size in (
            ("input_size", input_size), ("hidden_size", hidden_size), ("num_layers", num_layers)
        ):  # fmt: skip
            if size < 1:
                raise ArgumentError(name, f"{what} must be at least 1, got {size}")
        if not 0.0 <= dropout <= 1.0:
            raise ArgumentError(name, f"dropout must be in [0, 1], got {dropout}")
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, dropout
        self.bidirectional = bidirectional
        be = backend.resolve(device)[0]
        for layer in range(num_layers):
            for suffix in self._suffixes(layer):
                for kind, shape in self._shapes(layer).items():
                    parameter = Parameter(Tensor(be.empty(shape, dtype), be))
                    setattr(self, kind + suffix, parameter)
        self.reset_parameters()

    def _suffixes(self, layer: int) -> list[str]:
        """Behind the names of the parameters of each direction of a layer."""
        return [f"_l{layer}", f"_l{layer}_reverse"][: 1 + self.bidirectional]

    def _shapes(self, layer: int) -> dict[str, tuple[int, ...]]:
        """Of the parameters of one direction, in order."""
        rows, width = self.gates * self.hidden_size, self.proj_size or self.hidden_size
        inputs = self.input_size if layer == 0 else width * (1 + self.bidirectional)
        shapes: dict[str, tuple[int, ...]] = dict(weight_ih=(rows, inputs), weight_hh=(rows, width))
        if self.bias:
            shapes.update(bias_ih=(rows,), bias_hh=(rows,))
        if self.proj_size:
            shapes["weight_hr"] = (width, self.hidden_size)
        return shapes

    def _parameters_of(self, suffix: str) -> list[Tensor | None]:
        """Weights and biases of one direction, as the functions take them."""
        names = "weight_ih", "weight_hh", "bias_ih", "bias_hh"
        return [getattr(self, name + suffix, None) for name in names]

    def reset_parameters(self) -> None:
        """Draws all parameters anew, uniform in ±1/√hidden_size."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def flatten_parameters(self) -> None:
        """Nothing to do; there for programs that call it."""

    def _direction(
        self, x: Tensor, suffix: str, state: Sequence[Tensor | None], **options: Any
    ) -> tuple[Tensor, ...]:
        """Output and final states of one direction of one layer."""
        raise NotImplementedError

    def forward(
        self,
        x: Tensor | PackedSequence,
        hx: Tensor | State | None = None,
        lengths: Lengths = None,
    ) -> tuple[Any, Any]:
        """The output of the last layer, and the final states of all.

        Shapes: x (T, N, input_size), (N, T, input_size) if `batch_first`, or (T, input_size)
        without a batch; the output likewise, with all directions in its last axis. States have
        shape (num_layers · directions, N, hidden_size), or no N without a batch.
        Args:
            hx: the first states, zeros if None.
            lengths: steps of each sequence, N whole numbers from 1 to T, in any order. The output
                behind the end of a sequence is 0, its final state that of its last step, and the
                other direction begins there. Nothing is sorted or packed.
        """
        if isinstance(x, PackedSequence):
            return self._packed(x, hx, lengths)
        name = type(self).__name__
        is_tensor(name, "x", x)
        if x.ndim not in (2, 3) or x.shape[-1] != self.input_size:
            layout = "(N, T, " if self.batch_first else "(T, N, "
            rule = f"x must have shape {layout}{self.input_size}), or no N, got {x.shape}"
            shape_error(name, rule, x=x)
        batched = x.ndim == 3
        if not batched:
            x = x.unsqueeze(1)
        elif self.batch_first:
            x = x.transpose(0, 1)
        states = self._first_states(name, x, hx, batched)
        y, final = self._layers(x, states, lengths)
        if not batched:
            return y.squeeze(1), self._as_given([state.squeeze(1) for state in final])
        return y.transpose(0, 1) if self.batch_first else y, self._as_given(final)

    def _layers(
        self, x: Tensor, states: list[Tensor] | None, lengths: Lengths
    ) -> tuple[Tensor, list[Tensor]]:
        final: list[list[Tensor]] = [[] for _ in self.states]
        none = (None,) * len(self.states)
        for layer in range(self.num_layers):
            if layer and self.training and self.dropout:
                x = F.dropout(x, self.dropout)
            outputs = []
            for suffix in self._suffixes(layer):
                row = len(final[0])
                state: Sequence[Tensor | None] = none if states is None else self._row(states, row)
                reverse = suffix.endswith("_reverse")
                y, *last = self._direction(x, suffix, state, lengths=lengths, reverse=reverse)
                outputs.append(y)
                for list_, one in zip(final, last, strict=True):
                    list_.append(one)
            x = F.cat(outputs, -1) if self.bidirectional else outputs[0]
        if states is None:
            return x, [F.stack(each) if len(each) > 1 else each[0].unsqueeze(0) for each in final]
        return x, [F.cat(each) if len(each) > 1 else each[0] for each in final]

    def _row(self, states: list[Tensor], row: int) -> list[Tensor]:
        """The first states of one direction of one layer; a single one is spared the operation."""
        if self.num_layers == 1 and not self.bidirectional:
            return states
        return [state[row : row + 1] for state in states]

    def _packed(
        self, x: PackedSequence, hx: Tensor | State | None, lengths: Lengths
    ) -> tuple[PackedSequence, Any]:
        """The same for a packed sequence, whose states are in the order it was packed from."""
        if lengths is not None:
            raise ArgumentError(
                type(self).__name__, "lengths must be None, as a packed sequence has its own"
            )
        padded, own = pad_packed_sequence(x, self.batch_first)
        y, final = self.forward(padded, hx, own)
        return pack_again(y.transpose(0, 1) if self.batch_first else y, x), final

    # --- states

    def _first_states(self, name: str, x: Tensor, hx: Any, batched: bool) -> list[Tensor] | None:
        """One tensor a state, with a batch axis; None if all are zeros."""
        if hx is None:
            return None
        given = (hx,) if len(self.states) == 1 else hx
        if not isinstance(given, (tuple, list)) or len(given) != len(self.states):
            rule = f"hx must be a tuple ({', '.join(self.states)}), got {type(hx).__name__}"
            raise ArgumentError(name, rule, describe(x=x))
        rows = self.num_layers * (1 + self.bidirectional)
        widths = self.proj_size or self.hidden_size, self.hidden_size
        states = []
        for what, state, width in zip(self.states, given, widths, strict=False):
            is_tensor(name, what, state)
            shape = (rows, x.shape[1], width) if batched else (rows, width)
            if state.shape != shape:
                shape_error(name, f"{what} must have shape {shape}, got {state.shape}", x=x)
            states.append(state if batched else state.unsqueeze(1))
        return states

    def _as_given(self, states: list[Tensor]) -> Tensor | State:
        return states[0] if len(self.states) == 1 else tuple(states)

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        for name, usual in (
            ("proj_size", 0), ("num_layers", 1), ("bias", True), ("batch_first", False),
            ("dropout", 0.0), ("bidirectional", False),
        ):  # fmt: skip
            if getattr(self, name) != usual:
                text += f", {name}={getattr(self, name)}"
        return text


class RNN(RNNBase):
    """h = tanh(W_ih·x + b_ih + W_hh·h + b_hh) at each step of a sequence, layer upon layer.

    Shapes: see `forward`; weight_ih_l[k] (hidden_size, inputs), weight_hh_l[k] (hidden_size,
    hidden_size), biases (hidden_size,); those of the other direction end in `_reverse`.

    All parameters start uniform in ±1/√hidden_size, as PyTorch's do.

    Args:
        num_layers: each takes the output of the one before.
        nonlinearity: "tanh" or "relu".
        batch_first: inputs and outputs are (N, T, ...); states are not.
        dropout: probability, of the outputs of all layers but the last, in training.
        bidirectional: a second set of parameters goes from the end to the beginning.
    """

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: str = "cpu",
        dtype: str = "float32",
    ):
        one_of("RNN", "nonlinearity", nonlinearity, ("tanh", "relu"))
        self.nonlinearity = nonlinearity
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device,
            dtype,
        )  # fmt: skip

    def _direction(
        self, x: Tensor, suffix: str, state: Sequence[Tensor | None], **options: Any
    ) -> tuple[Tensor, ...]:
        parameters = *self._parameters_of(suffix), *state
        return F.rnn(x, *parameters, nonlinearity=self.nonlinearity, **options)  # type: ignore[arg-type]

    def extra_repr(self) -> str:
        relu = "" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity}"
        return super().extra_repr() + relu


class LSTM(RNNBase):
    """Long short-term memory: gates i, f, g, o; c = f·c + i·g, h = o·tanh(c), layer upon layer.

    Shapes: see `forward`; the state is (h, c). weight_ih_l[k] (4·hidden_size, inputs),
    weight_hh_l[k] (4·hidden_size, width), biases (4·hidden_size,), gates in the order i, f, g, o.

    Args:
        num_layers, batch_first, dropout, bidirectional: see `RNN`.
        proj_size: if not 0, below hidden_size: h is projected onto as many units by a further
            parameter, weight_hr_l[k] (proj_size, hidden_size).
    """

    gates = 4
    states = ("h_0", "c_0")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: str = "cpu",
        dtype: str = "float32",
    ):
        if not 0 <= proj_size < hidden_size:
            rule = f"proj_size must be in [0, hidden_size) = [0, {hidden_size}), got {proj_size}"
            raise ArgumentError("LSTM", rule)
        self.proj_size = proj_size
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device,
            dtype,
        )  # fmt: skip

    def _direction(
        self, x: Tensor, suffix: str, state: Sequence[Tensor | None], **options: Any
    ) -> tuple[Tensor, ...]:
        parameters = *self._parameters_of(suffix), *state, getattr(self, "weight_hr" + suffix, None)
        return F.lstm(x, *parameters, **options)  # type: ignore[arg-type]


class GRU(RNNBase):
    """Gated recurrent units: gates r, u and n, h = (1 − u)·n + u·h, layer upon layer.

    Shapes: see `forward`; weight_ih_l[k] (3·hidden_size, inputs), weight_hh_l[k] (3·hidden_size,
    hidden_size), biases (3·hidden_size,), gates in the order r, u, n. See `functional.gru`.

    Args:
        num_layers, batch_first, dropout, bidirectional: see `RNN`.
    """

    gates = 3

    def _direction(
        self, x: Tensor, suffix: str, state: Sequence[Tensor | None], **options: Any
    ) -> tuple[Tensor, ...]:
        return F.gru(x, *self._parameters_of(suffix), *state, **options)  # type: ignore[arg-type]
