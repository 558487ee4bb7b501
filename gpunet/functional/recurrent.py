"""Recurrent layers, one direction over whole sequences.

CPU: gpunet/backend/cpu/recurrent.py. CUDA: kernels/recurrent.cu.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpunet.autograd.op import Op, apply
from gpunet.autograd.tensor import Tensor
from gpunet.backend import Array, Backend, dtypes
from gpunet.functional.check import (
    is_tensor,
    lengths_of,
    one_device,
    one_of,
    same_dtype,
    shape_error,
)
from gpunet.functional.precision import in_half

Lengths = Sequence[int] | Tensor | None


class Recurrent(Op):
    """What the layers share: the product with the input, and the gradients of weights.

    Both are one product for all time steps; between them the backend goes through time. A subclass
    does all that in `run` and `run_backward`, where states have two axes.
    """

    takes_bfloat16 = True

    def __init__(self, lengths: list[int] | None, reverse: bool):
        self.lengths, self.reverse = lengths, reverse

    def run(self, be: Backend, x: Array, /, *parameters: Array | None) -> Any:
        """The outputs and the final states."""
        raise NotImplementedError

    def run_backward(self, be: Backend, gy: Array | None, /, *gstates: Array | None) -> Any:
        """Gradients of x and all parameters, from those of the outputs and the final states."""
        raise NotImplementedError

    def forward(self, be: Backend, x: Array, *parameters: Array | None) -> Any:
        states = [h.ndim for h in parameters[4:6] if h is not None]
        self.in_layer = 3 in states  # with an axis for the layer
        arrays = [None if p is None else be.contiguous(_flat(p)) for p in parameters]
        y, *final = self.run(be, be.contiguous(x), *arrays)
        return y, *self._shaped(final)

    def backward(self, be: Backend, gy: Array | None, *gstates: Array | None) -> Any:
        incoming = [None if g is None else be.contiguous(g) for g in (gy, *map(_flat, gstates))]
        gradients = list(self.run_backward(be, *incoming))
        ends = 5 + len(gstates)
        gradients[5:ends] = self._shaped(gradients[5:ends])
        return tuple([g if need else None for g, need in zip(gradients, self.needs, strict=True)])

    def _shaped(self, states: list[Array]) -> list[Array]:
        """States of the backend, or their gradients, in the shape of those that were given."""
        return [h[None] for h in states] if self.in_layer else states

    def begin(self, be: Backend, x: Array, w_ih: Array) -> Array:
        """x·w_ihᵀ of all steps; uploads the lengths."""
        self.ends = None if self.lengths is None else be.asarray(self.lengths, "int64")
        return _product(be, x, w_ih.T)

    def of_input(
        self, be: Backend, gz: Array, x: Array, w_ih: Array
    ) -> tuple[Array | None, Array | None]:
        """Gradients of x and w_ih, as far as they are needed."""
        gx = _product(be, gz, w_ih) if self.needs[0] else None
        gw = be.matmul(_rows(gz).T, _rows(x)) if self.needs[1] else None
        return gx, gw

    def of_state(self, be: Backend, gz: Array, y: Array, h_0: Array | None) -> Array:
        """Gradient of w_hh: of each step with the state before it, which is an output or h_0."""
        before, after = (y[1:], gz[:-1]) if self.reverse else (y[:-1], gz[1:])
        gw = be.matmul(_rows(after).T, _rows(before))
        if h_0 is None:
            return gw
        return be.xp.add(gw, be.matmul(self._first(be, gz).T, h_0))

    def _first(self, be: Backend, gz: Array) -> Array:
        """gz of the step that each sequence begins with."""
        if self.ends is None or not self.reverse:
            return gz[-1 if self.reverse else 0]
        return gz[self.ends - 1, be.xp.arange(gz.shape[1])]


def _rows(x: Array) -> Array:
    return x.reshape(x.shape[0] * x.shape[1], x.shape[2])


def _product(be: Backend, x: Array, w: Array) -> Array:
    return be.matmul(_rows(x), w).reshape(*x.shape[:2], w.shape[1])


def _flat(p: Array | None) -> Array | None:
    """A parameter or state, without the axis that a state may have in front."""
    return p[0] if p is not None and p.ndim == 3 else p


def _added(be: Backend, b_ih: Array | None, b_hh: Array | None) -> Array | None:
    if b_ih is None or b_hh is None:
        return None if b_ih is b_hh else be.contiguous(b_hh if b_ih is None else b_ih)
    return be.xp.add(b_ih, b_hh)


class RNN(Recurrent):
    """h = tanh(x·W_ihᵀ + b_ih + h·W_hhᵀ + b_hh), or with ReLU in place of tanh."""

    def __init__(self, lengths: list[int] | None, reverse: bool, relu: bool):
        super().__init__(lengths, reverse)
        self.relu = relu

    def run(self, be: Backend, x: Array, *parameters: Any) -> Any:
        w_ih, w_hh, b_ih, b_hh, h_0 = parameters
        z, bias = self.begin(be, x, w_ih), _added(be, b_ih, b_hh)
        y, h = be.recurrent.rnn_fwd(z, bias, w_hh, h_0, self.ends, self.reverse, self.relu)
        self.saved = x, w_ih, w_hh, h_0, y
        return y, h

    def run_backward(self, be: Backend, gy: Array | None, *gstates: Array | None) -> Any:
        (gh,) = gstates
        x, w_ih, w_hh, h_0, y = self.saved
        arguments = y, gy, gh, w_hh, self.ends, self.reverse, self.relu
        gz, gh = be.recurrent.rnn_bwd(*arguments)
        gx, gw_ih = self.of_input(be, gz, x, w_ih)
        gw_hh = self.of_state(be, gz, y, h_0) if self.needs[2] else None
        gb = be.reduction.column_sum(gz) if self.needs[3] or self.needs[4] else None
        return gx, gw_ih, gw_hh, gb, gb, gh


class LSTM(Recurrent):
    """Gates i, f, g, o of x and h; c = f·c + i·g, h = o·tanh(c), projected if W_hr is given."""

    def run(self, be: Backend, x: Array, *parameters: Any) -> Any:
        w_ih, w_hh, b_ih, b_hh, h_0, c_0, w_hr = parameters
        z, bias, keep = self.begin(be, x, w_ih), _added(be, b_ih, b_hh), True in self.needs
        arguments = z, bias, w_hh, w_hr, h_0, c_0, self.ends, self.reverse, keep
        y, h, c, gates, cells = be.recurrent.lstm_fwd(*arguments)
        self.saved = x, w_ih, w_hh, h_0, c_0, w_hr, y, gates, cells
        return y, h, c

    def run_backward(self, be: Backend, gy: Array | None, *gstates: Array | None) -> Any:
        gh, gc = gstates
        x, w_ih, w_hh, h_0, c_0, w_hr, y, gates, cells = self.saved
        arguments = gates, gy, gh, gc, cells, c_0, w_hh, w_hr, self.ends, self.reverse
        gz, gh, gc, gp = be.recurrent.lstm_bwd(*arguments)
        gx, gw_ih = self.of_input(be, gz, x, w_ih)
        gw_hh = self.of_state(be, gz, y, h_0) if self.needs[2] else None
        gb = be.reduction.column_sum(gz) if self.needs[3] or self.needs[4] else None
        gw_hr = None
        if self.needs[7]:
            m = be.xp.multiply(gates[..., -cells.shape[2] :], be.xp.tanh(cells))
            gw_hr = be.matmul(_rows(gp).T, _rows(m))
        return gx, gw_ih, gw_hh, gb, gb, gh, gc, gw_hr


class GRU(Recurrent):
    """Gates r and u of x and h; n of x and r·(h·W_hhᵀ + b_hh); h = (1 − u)·n + u·h."""

    def run(self, be: Backend, x: Array, *parameters: Any) -> Any:
        w_ih, w_hh, b_ih, b_hh, h_0 = parameters
        z, bias = self.begin(be, x, w_ih), self._bias(be, b_ih, b_hh, w_hh.shape[1])
        arguments = z, bias, w_hh, h_0, self.ends, self.reverse
        y, h, gates, q = be.recurrent.gru_fwd(*arguments)
        self.saved = x, w_ih, w_hh, h_0, y, gates, q
        return y, h

    @staticmethod
    def _bias(be: Backend, b_ih: Array | None, b_hh: Array | None, units: int) -> Array | None:
        """Biases of r, u and n, and what stands inside the brackets that r multiplies."""
        one = b_hh if b_ih is None else b_ih
        if one is None:
            return None
        b_ih, b_hh = (be.full(one.shape, 0, one.dtype) if b is None else b for b in (b_ih, b_hh))
        both = be.xp.add(b_ih[: 2 * units], b_hh[: 2 * units])
        return be.concatenate([both, b_ih[2 * units :], b_hh[2 * units :]], 0)

    def run_backward(self, be: Backend, gy: Array | None, *gstates: Array | None) -> Any:
        (gh,) = gstates
        x, w_ih, w_hh, h_0, y, gates, q = self.saved
        units = y.shape[2]
        arguments = gates, gy, gh, q, y, h_0, w_hh, self.ends, self.reverse
        g, gh = be.recurrent.gru_bwd(*arguments)
        gx, gw_ih = self.of_input(be, g[..., : 3 * units], x, w_ih)
        gw_hh = gb_ih = gb_hh = None
        if self.needs[2]:
            parts = g[..., : 2 * units], g[..., 3 * units :]
            gw_hh = be.concatenate([self.of_state(be, part, y, h_0) for part in parts], 0)
        if self.needs[3] or self.needs[4]:
            gb = be.reduction.column_sum(g)
            gb_ih = be.copy(gb[: 3 * units])
            gb_hh = be.concatenate([gb[: 2 * units], gb[3 * units :]], 0)
        return gx, gw_ih, gw_hh, gb_ih, gb_hh, gh


# --- public functions


@in_half
def rnn(
    x: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None = None,
    bias_hh: Tensor | None = None,
    h_0: Tensor | None = None,
    *,
    nonlinearity: str = "tanh",
    lengths: Lengths = None,
    reverse: bool = False,
) -> tuple[Tensor, Tensor]:
    """One direction of a layer: h = tanh(x·W_ihᵀ + b_ih + h·W_hhᵀ + b_hh) over time.

    Shapes: x (T, N, I), weight_ih (H, I), weight_hh (H, H), biases (H,), h_0 (N, H), or (1, N, H)
    as that of a layer; the results are every h, (T, N, H), and the last one, like h_0.
    Dtypes: floating, all the same.
    Args:
        bias_ih, bias_hh, h_0: 0 if None.
        nonlinearity: "tanh" or "relu".
        lengths: steps of each sequence, N whole numbers from 1 to T; all have T if None. Behind the
            end of a sequence the result is 0, and the last h is that of its last step. They are
            checked on the host.
        reverse: go from the last step of each sequence to its first.
    """
    one_of("rnn", "nonlinearity", nonlinearity, ("tanh", "relu"))
    tensors = _checked("rnn", 1, x, weight_ih, weight_hh, bias_ih, bias_hh, h_0)
    op = RNN(lengths_of("rnn", lengths, x), reverse, nonlinearity == "relu")
    return apply(op, *tensors)


@in_half
def lstm(
    x: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None = None,
    bias_hh: Tensor | None = None,
    h_0: Tensor | None = None,
    c_0: Tensor | None = None,
    weight_hr: Tensor | None = None,
    *,
    lengths: Lengths = None,
    reverse: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """One direction of a layer of long short-term memory over time.

    i, f, g, o = σ, σ, tanh, σ of x·W_ihᵀ + b_ih + h·W_hhᵀ + b_hh, its four parts in this order;
    c = f·c + i·g; h = o·tanh(c), times W_hrᵀ if that is given.
    Shapes: x (T, N, I), weight_ih (4H, I), weight_hh (4H, P), biases (4H,), h_0 (N, P) and c_0
    (N, H), or (1, N, P) and (1, N, H) as those of a layer, weight_hr (P, H), without which P is H;
    the results are every h, (T, N, P), and the last h and c, like h_0 and c_0.
    Dtypes: floating, all the same.
    Args:
        bias_ih, bias_hh, h_0, c_0: 0 if None.
        weight_hr: projects h onto fewer units.
        lengths, reverse: see `rnn`.
    Source: Hochreiter & Schmidhuber, Neural Computation 9, 1997; with the forget gate of Gers et
    al., Neural Computation 12, 2000; projection: Sak et al., arXiv:1402.1128.
    """
    tensors = _checked("lstm", 4, x, weight_ih, weight_hh, bias_ih, bias_hh, h_0, c_0, weight_hr)
    return apply(LSTM(lengths_of("lstm", lengths, x), reverse), *tensors)


@in_half
def gru(
    x: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None = None,
    bias_hh: Tensor | None = None,
    h_0: Tensor | None = None,
    *,
    lengths: Lengths = None,
    reverse: bool = False,
) -> tuple[Tensor, Tensor]:
    """One direction of a layer of gated recurrent units over time.

    r, u = σ(x·W_ihᵀ + b_ih + h·W_hhᵀ + b_hh) and n = tanh(x·W_ihᵀ + b_ih + r·(h·W_hhᵀ + b_hh)),
    each with its part of the weights in this order; h = (1 − u)·n + u·h.
    Shapes: x (T, N, I), weight_ih (3H, I), weight_hh (3H, H), biases (3H,), h_0 (N, H), or
    (1, N, H) as that of a layer; the results are every h, (T, N, H), and the last one, like h_0.
    Dtypes: floating, all the same.
    Args:
        bias_ih, bias_hh, h_0: 0 if None.
        lengths, reverse: see `rnn`.
    Source: Cho et al., arXiv:1406.1078, with r outside the product, as in PyTorch and cuDNN.
    """
    tensors = _checked("gru", 3, x, weight_ih, weight_hh, bias_ih, bias_hh, h_0)
    return apply(GRU(lengths_of("gru", lengths, x), reverse), *tensors)


# --- checks


_fitting: set[tuple[Any, ...]] = set()  # shapes that were found to fit: single steps live on that


def _checked(
    operation: str,
    gates: int,
    x: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    *others: Tensor | None,
) -> tuple[Tensor | None, ...]:
    """All tensors; their devices, dtypes and shapes fit. Those behind weight_hh may be None."""
    given = weight_ih, weight_hh, *others
    try:
        array, be = x.array, x.backend
        dtype = array.dtype
        shapes: tuple[Any, ...] = operation, array.shape
        for tensor in given:
            if tensor is None:
                shapes = *shapes, None
            elif tensor.array.dtype is dtype and tensor.backend is be:
                shapes = *shapes, tensor.array.shape
        # One that is missing has another dtype or device.
        if len(shapes) == 2 + len(given) and shapes in _fitting and dtypes.floating(dtype):
            return x, *given
    except AttributeError:
        shapes = ()
    named = dict(zip(_NAMES, given, strict=False))
    is_tensor(operation, "weight_ih", weight_ih)
    is_tensor(operation, "weight_hh", weight_hh)
    same_dtype(operation, x=x, **named)
    one_device(operation, x, *given)
    _check_shapes(operation, gates, x, named)
    if len(_fitting) > 1000:
        _fitting.clear()
    _fitting.add(shapes)
    return x, *given


_NAMES = "weight_ih", "weight_hh", "bias_ih", "bias_hh", "h_0", "c_0", "weight_hr"


def _check_shapes(operation: str, gates: int, x: Tensor, given: dict[str, Tensor | None]) -> None:
    if x.ndim != 3 or not x.shape[0]:
        shape_error(operation, f"x must have shape (T, N, I) with T > 0, got {x.shape}", x=x)
    weight_hh, weight_hr = given["weight_hh"], given.get("weight_hr")
    assert weight_hh is not None
    if weight_hh.ndim != 2 or weight_hh.shape[0] % gates:
        many = "" if gates == 1 else str(gates)
        rule = f"weight_hh must have shape ({many}H, {'P' if gates == 4 else 'H'})"
        shape_error(operation, f"{rule}, got {weight_hh.shape}", x=x)
    batch, units = x.shape[1], weight_hh.shape[0] // gates
    width = weight_hr.shape[0] if weight_hr is not None and weight_hr.ndim else units
    rows = gates * units
    in_layer = (1,) * any([h is not None and h.ndim == 3 for h in list(given.values())[4:6]])
    states = (*in_layer, batch, width), (*in_layer, batch, units)
    shapes = (rows, x.shape[2]), (rows, width), (rows,), (rows,), *states
    for (name, tensor), shape in zip(given.items(), (*shapes, (width, units)), strict=False):
        if tensor is not None and tensor.shape != shape:
            rule = f"{name} must have shape {shape}, got {tensor.shape}"
            shape_error(operation, rule, x=x, weight_hh=weight_hh)
