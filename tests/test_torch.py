"""Side by side with PyTorch: every row of every case table, through its function of the same name.

Results, their dtypes, and the gradient of every input are compared, in float32 and float64. All
must agree but for the rows that say why not (`unlike_torch`), whose functions say so in their text.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests import checks
from tests.cases import public, rows_of
from tests.cases.case import Case, Edge
from tests.tolerance import EPS, assert_close, of_results

torch = pytest.importorskip("torch", reason="PyTorch is not installed: NOT compared with it")


def recurrent(kind: str) -> Callable[..., Any]:
    """PyTorch's layer as one direction of it: the second of two, for the reverse."""

    def call(
        x: Any, w: Any, u: Any, b: Any = None, d: Any = None, h_0: Any = None, c_0: Any = None,
        p: Any = None, *, nonlinearity: str = "tanh", lengths: Any = None, reverse: bool = False,
    ) -> Any:  # fmt: skip
        layer = getattr(torch, f"{kind}_{nonlinearity}" if kind == "rnn" else kind)
        b, d = (torch.zeros(len(u), dtype=x.dtype) if v is None else v for v in (b, d))
        weights = [w, u, b, d] + ([] if p is None else [p])
        units = len(u) // {"rnn": 1, "gru": 3, "lstm": 4}[kind]
        states = [(h_0, u.shape[1]), (c_0, units)][: 1 + (kind == "lstm")]
        hx = [x.new_zeros(x.shape[1], n) if s is None else s for s, n in states]
        in_layer = hx[0].ndim == 3
        hx = [torch.cat([s if in_layer else s[None]] * (1 + reverse)) for s in hx]
        first = hx[0] if kind != "lstm" else hx
        how = weights * (1 + reverse), True, 1, 0.0, False, reverse
        if lengths is None:
            y, *last = layer(x, first, *how, False)
        else:
            ends = torch.as_tensor(lengths)
            packed = torch.nn.utils.rnn.pack_padded_sequence(x, ends, enforce_sorted=False)
            order, back = packed.sorted_indices, packed.unsorted_indices
            sorted_hx = [s[:, order] for s in hx]
            first = sorted_hx[0] if kind != "lstm" else sorted_hx
            data, *last = layer(packed.data, packed.batch_sizes, first, *how)
            y = torch.nn.utils.rnn.pad_packed_sequence(
                packed._replace(data=data), False, 0.0, len(x)
            )
            y, last = y[0], [s[:, back] for s in last]
        return y[..., -u.shape[1] :], *[s[-1:] if in_layer else s[-1] for s in last]

    return call


# Functions that are written otherwise in PyTorch.
WRITTEN: dict[str, Callable[..., Any]] = {
    "getitem": lambda x, key: x[key],
    **{kind: recurrent(kind) for kind in ("rnn", "lstm", "gru")},
    # Its own gradient is divided by 6 in float32, whatever the dtype.
    "hardsigmoid": lambda x: torch.nn.functional.relu6(x + 3) / 6,
}


def counterparts(name: str) -> list[Callable[..., Any]]:
    """PyTorch's functions of a name, of which the first is taken that accepts a call."""
    if name in WRITTEN:
        return [WRITTEN[name]]
    homes = (torch.nn.functional, torch, torch.Tensor, torch.special, torch.linalg)
    return [getattr(home, name) for home in homes if hasattr(home, name)]


def call_theirs(functions: list[Callable[..., Any]], case: Case, tensors: list[Any]) -> Any:
    if "dtype" in case.kwargs:
        kwargs = {**case.kwargs, "dtype": getattr(torch, case.kwargs["dtype"])}
        case = replace(case, kwargs=kwargs)
    refusal: TypeError | None = None
    for function in functions:
        try:
            return case.call(function, tensors)
        except TypeError as error:  # e.g. torch.permute takes a tuple, Tensor.permute numbers too
            refusal = refusal or error
    assert refusal is not None
    raise refusal


def run_theirs(functions: list[Callable[..., Any]], case: Case, dtype: str) -> tuple[Any, Any]:
    """Results and gradients as arrays, with the weights that `checks.run` draws."""
    tensors = [torch.from_numpy(np.array(x)) for x in case.arrays(dtype)]
    for i in case.differentiable:
        tensors[i].requires_grad_()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = call_theirs(functions, case, tensors)
        several = isinstance(results, (tuple, list))
        results = [torch.as_tensor(y) for y in (results if several else [results])]
        recorded = [y for y in results if y.requires_grad]
        if recorded:
            weights = [torch.from_numpy(checks.drawn_weights(_Shaped(y))) for y in recorded]
            torch.autograd.backward(recorded, weights)
    gradients = [None if t.grad is None else t.grad.numpy() for t in tensors]
    return [y.detach().resolve_conj().numpy() for y in results], gradients


class _Shaped:
    """What `drawn_weights` asks of a tensor."""

    def __init__(self, y: Any):
        self.shape, self.dtype = tuple(y.shape), str(y.dtype).removeprefix("torch.")


def compare(function: Any, case: Case, dtype: str) -> None:
    """One row in both frameworks: each may be as far off as tests/tolerance.py allows."""
    ours = checks.run(function, case, dtype)
    results, gradients = run_theirs(counterparts(function.__name__), case, dtype)
    assert len(ours.results) == len(results)
    real = any(x.dtype.kind == "f" for x in ours.arrays)
    bounds = of_results(case, dtype if real else "float32")
    for y, expected, tolerance in zip(ours.results, results, bounds, strict=True):
        assert y.dtype == expected.dtype, f"the result is {y.dtype}, PyTorch's {expected.dtype}"
        assert_close(y.array, expected, 2 * tolerance, "the result beside PyTorch's")
    if isinstance(case, Edge):
        allowed = {
            i: 8 * EPS[dtype] * np.maximum(np.abs(np.nan_to_num(g, posinf=0.0, neginf=0.0)), 1.0)
            for i, g in enumerate(gradients)
            if g is not None
        }
    else:
        allowed = {i: 2 * t for i, _, t in checks.bounded_gradients(function, case, dtype)}
    for i in case.differentiable:
        g, expected = ours.gradients[i], gradients[i]
        if expected is not None and g is not None:
            assert_close(g, expected, allowed[i], f"the gradient of array {i} beside PyTorch's")
        else:
            assert not np.any(expected if g is None else g), f"array {i} has a gradient in one only"


COMPARED = {name: f for name, f in public().items() if counterparts(name)}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("function", COMPARED.values(), ids=COMPARED)
def test_function(function, dtype) -> None:
    rows = [row for row in rows_of(function) if isinstance(row, Case) and not row.unlike_torch]
    assert rows
    for row in rows:
        try:
            compare(function, row, dtype)
        except Exception as failure:
            raise AssertionError(f"{function.__name__}({row}): {failure}") from failure
