"""An LSTM with layer normalisation and zoneout, made of functions step by step."""

from __future__ import annotations

import math
from typing import Any

from gpunet import backend
from gpunet import functional as F
from gpunet.autograd import tensor
from gpunet.autograd.creation import zeros
from gpunet.autograd.tensor import Tensor
from gpunet.errors import ArgumentError
from gpunet.functional.check import describe, is_tensor, lengths_of, shape_error
from gpunet.functional.recurrent import Lengths
from gpunet.nn import init
from gpunet.nn.linear import Identity
from gpunet.nn.module import Module, Parameter
from gpunet.nn.normalization import LayerNorm


class LayerNormLSTM(Module):
    """One layer of LSTM in one direction, its sums normalised, its states held now and then.

    i, f, g, o = σ, σ, tanh, σ of the parts of LN(W_ih·x) + LN(W_hh·h) + b; c' = f·c + i·g and
    h' = o·tanh(LN(c')); zoneout then keeps each element of c and of h with a probability. LN has a
    gain of its own at each place, and around c' a bias.

    Shapes: input (T, N, input_size), or (N, T, input_size) if `batch_first`; output likewise with
    hidden_size; states (N, hidden_size). weight_ih (4·hidden_size, input_size), weight_hh
    (4·hidden_size, hidden_size), bias (4·hidden_size,).

    Weights start uniform in ±1/√hidden_size, gains at 1 and biases at 0. A step is several
    operations and not one kernel: `LSTM` is many times as fast.

    Args:
        layer_norm: without it LN is the identity: an LSTM with zoneout.
        zoneout_h, zoneout_c: in [0, 1), probability that an element of h or c stays as it was, in
            training; in evaluation it moves by the mean of that.
        eps: of the normalisation.
    Source: Ba et al., arXiv:1607.06450, eq. 20 to 22; Krueger et al., arXiv:1606.01305, section 3.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        batch_first: bool = False,
        layer_norm: bool = True,
        zoneout_h: float = 0.0,
        zoneout_c: float = 0.0,
        eps: float = 1e-5,
        device: str = "cpu",
        dtype: str = "float32",
    ):
        name = type(self).__name__
        if input_size < 1 or hidden_size < 1:
            rule = "input_size and hidden_size must be at least 1"
            raise ArgumentError(name, f"{rule}, got {input_size} and {hidden_size}")
        for what, p in (("zoneout_h", zoneout_h), ("zoneout_c", zoneout_c)):
            if not 0.0 <= p < 1.0:
                raise ArgumentError(name, f"{what} must be in [0, 1), got {p}")
        self.input_size, self.hidden_size, self.batch_first = input_size, hidden_size, batch_first
        self.layer_norm, self.zoneout_h, self.zoneout_c = layer_norm, zoneout_h, zoneout_c
        be, rows = backend.resolve(device)[0], 4 * hidden_size
        self.weight_ih = Parameter(Tensor(be.empty((rows, input_size), dtype), be))
        self.weight_hh = Parameter(Tensor(be.empty((rows, hidden_size), dtype), be))
        self.bias = Parameter(Tensor(be.empty((rows,), dtype), be))

        def norm(size: int, bias: bool) -> Module:
            if not layer_norm:
                return Identity()
            return LayerNorm(size, eps, bias=bias, device=device, dtype=dtype)

        self.norm_ih, self.norm_hh = norm(rows, False), norm(rows, False)
        self.norm_c = norm(hidden_size, True)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the weights anew, and sets gains to 1, biases to 0."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        init.uniform_(self.weight_ih, -bound, bound)
        init.uniform_(self.weight_hh, -bound, bound)
        init.zeros_(self.bias)
        for norm in (self.norm_ih, self.norm_hh, self.norm_c):
            if isinstance(norm, LayerNorm):
                norm.reset_parameters()

    def forward(
        self, x: Tensor, hx: tuple[Tensor, Tensor] | None = None, lengths: Lengths = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The output of every step, and the final (h, c).

        Args:
            hx: the first (h, c), zeros if None. lengths: see `LSTM`.
        """
        name = type(self).__name__
        is_tensor(name, "x", x)
        if x.ndim != 3 or x.shape[-1] != self.input_size:
            layout = "(N, T, " if self.batch_first else "(T, N, "
            rule = f"x must have shape {layout}{self.input_size}), got {x.shape}"
            shape_error(name, rule, x=x)
        x = x.transpose(0, 1) if self.batch_first else x
        ends = lengths_of(name, lengths, x)
        h, c = self._first(name, x, hx)
        from_input = self.norm_ih(F.linear(x, self.weight_ih)) + self.bias
        outputs = []
        for t in range(x.shape[0]):
            new_h, new_c = self._step(from_input[t], h, c)
            if ends is None:
                h, c = new_h, new_c
                outputs.append(h)
            else:
                on = tensor([[t < end] for end in ends], device=x.device)
                h, c = F.where(on, new_h, h), F.where(on, new_c, c)
                outputs.append(F.where(on, new_h, 0.0))
        y = F.stack(outputs)
        return (y.transpose(0, 1) if self.batch_first else y), (h, c)

    def _step(self, from_input: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        gates = from_input + self.norm_hh(F.linear(h, self.weight_hh))
        i, f, g, o = F.chunk(gates, 4, -1)
        new_c = F.sigmoid(f) * c + F.sigmoid(i) * F.tanh(g)
        new_h = F.sigmoid(o) * F.tanh(self.norm_c(new_c))
        return self._held(h, new_h, self.zoneout_h), self._held(c, new_c, self.zoneout_c)

    def _held(self, before: Tensor, after: Tensor, p: float) -> Tensor:
        """Each element as before with probability p, else as after; the mean in evaluation."""
        if not p:
            return after
        # Dropout scales what it keeps by 1 / (1 − p), and is the identity in evaluation.
        return before + (1.0 - p) * F.dropout(after - before, p, self.training)

    def _first(self, name: str, x: Tensor, hx: Any) -> tuple[Tensor, Tensor]:
        shape = x.shape[1], self.hidden_size
        if hx is None:
            nothing = zeros(shape, dtype=x.dtype, device=x.device)
            return nothing, nothing
        if not isinstance(hx, (tuple, list)) or len(hx) != 2:
            rule = f"hx must be a tuple (h, c), got {type(hx).__name__}"
            raise ArgumentError(name, rule, describe(x=x))
        for what, state in zip("hc", hx, strict=True):
            is_tensor(name, what, state)
            if state.shape != shape:
                shape_error(name, f"{what} must have shape {shape}, got {state.shape}", x=x)
        return hx[0], hx[1]

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        for name, usual in (
            ("batch_first", False), ("layer_norm", True), ("zoneout_h", 0.0), ("zoneout_c", 0.0)
        ):  # fmt: skip
            if getattr(self, name) != usual:
                text += f", {name}={getattr(self, name)}"
        return text
