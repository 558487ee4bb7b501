"""Work that starts every CUDA kernel: to time each, to compare its results, to run it sanitized.

`python -m bench.kernels` does all of it once at a small size, which is what NVIDIA's
compute-sanitizer can watch in minutes. Names of functions are PyTorch's, so most work is written
once for both.
"""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import gpunet
from bench.flops import ATTENTION_FLOPS, CONV_FLOPS, order_flops
from bench.inputs import (
    SMALL,
    Arrays,
    alignments,
    convolved,
    drawn,
    few_looked_up,
    gradients,
    heads,
    layer,
    matrix,
    one_step,
    operands,
    pictures,
    scores,
    sequences,
    table,
    two_sequences,
    volume,
    wide_sequences,
    with_many_statistics,
    with_statistics,
    with_vectors,
)
from gpunet import backend, optim
from gpunet.autograd import apply
from gpunet.backend import Backend
from gpunet.backend.cuda import source
from gpunet.functional import activation

DTYPES = ("float32", "float64", "float16")
LARGE = 1 << 26  # elements of the largest array, where speed is measured

Step = Callable[[], Any]  # does the work once; returns its results, a list


@dataclass(frozen=True)
class Work:
    """What starts some kernels.

    Attributes:
        inputs: arrays for a number of elements and a random generator (see `bench/inputs.py`).
        prepare: makes the step from a framework and its tensors.
        flops: operations of a kernel for a number of elements, where arithmetic is its bound.
        rival: whether PyTorch has it too.
        state: for optimizers, arrays of state: their kernels' arguments do not show what they move.
    """

    name: str
    inputs: Callable[[int, Any], Arrays]
    prepare: Callable[[Framework, Arrays], Step]
    flops: dict[str, Callable[[int], float]] = field(default_factory=dict)
    state: int | None = None
    rival: bool = True


class Framework:
    """gpunet: functions, optimizers, tensors. `Torch` has the same under the same names."""

    name = "gpunet"
    optim: Any = optim

    def __getattr__(self, function: str) -> Any:
        return getattr(gpunet.functional, function)

    def biased(self, function: str, x: Any, bias: Any, **arguments: Any) -> Any:
        """function(x + bias), fused as it is behind a matrix product."""
        return apply(_FUSED[function](), x, bias)

    def tensor(self, values: Any, dtype: str | None, device: str) -> Any:
        """A tensor on the device."""
        return gpunet.tensor(values, dtype, device)


_FUSED = {"relu": activation.ReLU, "gelu": activation.GELUTanh}
_HOW = True, 1, 0.0, True, False, False  # recurrent layers: biases, layers, dropout, training, ...


class Torch(Framework):
    """PyTorch, with its fused optimizers."""

    name = "torch"

    def __init__(self) -> None:
        import torch

        self.torch, self.optim = torch, self

    def __getattr__(self, name: str) -> Any:
        if name[0].isupper():
            rule = getattr(self.torch.optim, name)
            fast = {"fused": True} if name in ("Adam", "SGD") else {"foreach": True}
            return lambda params, **options: rule(params, **fast, **options)
        return getattr(self.torch.nn.functional, name, None) or getattr(self.torch, name)

    def biased(self, function: str, x: Any, bias: Any, **arguments: Any) -> Any:
        return getattr(self, function)(x + bias, **arguments)

    def lstm(self, x: Any, *parameters: Any) -> Any:
        """What `torch.nn.LSTM` calls, from a state of zeros."""
        zeros = self._zeros(x, parameters[1])
        return self.torch._VF.lstm(x, [zeros, zeros], [*parameters], *_HOW)

    def gru(self, x: Any, *parameters: Any) -> Any:
        """What `torch.nn.GRU` calls, from a state of zeros."""
        return self.torch._VF.gru(x, self._zeros(x, parameters[1]), [*parameters], *_HOW)

    def _zeros(self, x: Any, w_hh: Any) -> Any:
        size = 1, x.shape[1], w_hh.shape[1]
        return self.torch.zeros(size, dtype=x.dtype, device=x.device)

    def tensor(self, values: Any, dtype: str | None, device: str) -> Any:
        kind = getattr(self.torch, dtype) if dtype else None
        return self.torch.tensor(values, dtype=kind, device=device)


# --- steps


def function(call: Callable[..., Any]) -> Callable[[Framework, Arrays], Step]:
    """A step that calls a function of the framework and its tensors, forward and backward."""

    def prepare(framework: Framework, tensors: Arrays) -> Step:
        leaves = [x for x in tensors if x.requires_grad]
        given: list[Any] = []

        def step() -> Any:
            for x in leaves:
                x.grad = None
            y = call(framework, *tensors)
            if not given:  # the gradient of y: what y first was, squared
                given.append(y.detach() * y.detach())
            y.backward(given[0])
            return [y, *(x.grad for x in leaves)]

        return step

    return prepare


def plain(name: str, label: str = "", inputs: Any = matrix, **arguments: Any) -> Work:
    """A function of x, or of all its inputs."""
    call = function(lambda framework, *given: getattr(framework, name)(*given, **arguments))
    return Work(label or name, inputs, call)


def biased(name: str, **arguments: Any) -> Work:
    """A function of x + bias."""
    call = function(lambda framework, x, b: framework.biased(name, x, b, **arguments))
    return Work(f"bias + {name}", with_vectors(1), call)


def running_norm(framework: Framework, tensors: Arrays) -> Step:
    """Batch normalisation that moves its statistics."""
    x, *kept = tensors
    kept = [each.detach() for each in kept]
    return function(lambda f, x: f.batch_norm(x, *kept, training=True))(framework, [x])


def update(rule: str, state: int, **options: Any) -> Work:
    """A step of an optimizer."""

    def prepare(framework: Framework, tensors: Arrays) -> Step:
        p, g = tensors
        p.grad = g.detach()
        optimizer = getattr(framework.optim, rule)([p], **options)

        def step() -> Any:
            optimizer.step()
            return [p]

        return step

    return Work(f"optim.{rule}", gradients, prepare, state=state)


def whole_grid(layer: str, gates: int) -> Work:
    """A recurrent layer that goes through all steps in one launch of a whole grid."""
    inputs = wide_sequences(gates)

    def flops(n: int) -> float:
        """Of the recurrent products of one pass."""
        x, w, *_ = drawn(inputs, n)
        return 2.0 * x.size * w.shape[0]

    call = function(lambda framework, *given: getattr(framework, layer)(*given)[0])
    names = f"{layer}_fwd_persistent", f"{layer}_bwd_persistent"
    return Work(layer, inputs, call, flops=dict.fromkeys(names, flops))


ELEMENTWISE = (
    *("relu", "leaky_relu", "elu", "sigmoid", "tanh", "gelu", "silu", "softplus", "logsigmoid"),
    *("softsign", "tanhshrink", "mish", "hardtanh", "hardsigmoid", "hardswish"),
    *("softshrink", "hardshrink", "erf", "erfc"),
)
UNARY = "neg", "abs", "square", "sqrt", "reciprocal", "exp", "log"
BINARY = "add", "sub", "mul", "div", "maximum", "minimum"
# A layer with kernels of its own, the LSTM say, is one line more here: the test of this file names
# kernels that no work starts.
WORKS: tuple[Work, ...] = (
    *(plain(name) for name in ELEMENTWISE),
    *(plain(name, inputs=operands(1)) for name in UNARY),
    *(plain(name, inputs=operands(2)) for name in BINARY),
    plain("gelu", "gelu (tanh)", approximate="tanh"),
    plain("threshold", threshold=0.1, value=20.0),
    biased("relu"),
    biased("gelu", approximate="tanh"),
    plain("softmax", dim=-1),
    plain("log_softmax", dim=-1),
    Work(
        "attention",
        heads,
        function(lambda f, *qkv: f.scaled_dot_product_attention(*qkv, is_causal=True)),
        flops=ATTENTION_FLOPS,
    ),
    Work(
        "attention, dropped",
        heads,
        function(lambda f, *qkv: f.scaled_dot_product_attention(*qkv, None, 0.5, True)),
    ),
    Work("cross_entropy", scores, function(lambda f, x, t: f.cross_entropy(x, t))),
    Work(
        "ctc_loss",
        alignments,
        function(lambda f, x, t: f.ctc_loss(x, t, x.shape[:1] * len(t), t.shape[1:] * len(t))),
    ),
    Work(
        "layer_norm",
        with_vectors(2),
        function(lambda f, x, w, b: f.layer_norm(x, x.shape[-1:], w, b)),
    ),
    Work("batch_norm", with_statistics, running_norm),
    Work("batch_norm, short", with_many_statistics, running_norm),
    plain("dropout", p=0.5),
    plain("rrelu", training=True),
    Work("embedding", table, function(lambda f, w, index: f.embedding(index, w))),
    Work(
        "embedding, few",
        few_looked_up,
        function(lambda f, w, index: f.embedding(index, w)),
        flops={"embedding_bwd_order": order_flops},
    ),
    Work("linear", layer, function(lambda f, x, w, b: f.linear(x, w, b))),
    Work(
        "conv2d 3×3",
        convolved,
        function(lambda f, x, w: f.conv2d(x, w, padding=1)),
        flops=CONV_FLOPS,
    ),
    Work("unfold", volume, function(lambda f, x: f.unfold(x, 3, padding=1))),
    whole_grid("lstm", 4),
    whole_grid("gru", 3),
    Work("max_pool2d", pictures, function(lambda f, x: f.max_pool2d(x, 2))),
    Work("avg_pool2d", pictures, function(lambda f, x: f.avg_pool2d(x, 2))),
    Work("max_pool2d, overlapping", pictures, function(lambda f, x: f.max_pool2d(x, 3, 2, 1))),
    Work("avg_pool2d, overlapping", pictures, function(lambda f, x: f.avg_pool2d(x, 3, 2, 1))),
    update("SGD", 1, lr=0.1, momentum=0.9),
    update("Adam", 2),
    update("Adagrad", 1),
    update("Adadelta", 2),
    update("RMSprop", 1),
    update("Adamax", 2),
    update("NAdam", 2),
    update("RAdam", 2),
)
# PyTorch's functions of these names are other ones.
WORKS += (
    Work("step", matrix, function(lambda f, x: f.step(x)), rival=False),
    Work("rnn", sequences(1), function(lambda f, *given: f.rnn(*given)[0]), rival=False),
    Work("gru, one step", one_step, function(lambda f, *given: f.gru(*given)[0]), rival=False),
    Work(
        "lstm, projected",
        sequences(4, projected=True),
        function(lambda f, *given: f.lstm(*given[:5], None, None, given[5])[0]),
        rival=False,
    ),
    Work(
        "lstm, a block a sequence",
        two_sequences,
        function(lambda f, *given: f.lstm(*given)[0]),
        rival=False,
    ),
)


# --- what a step starts


@dataclass
class Launch:
    """One launch, between two events: what it was given, in bytes and in elements of a dtype."""

    kernel: str
    dtype: str
    nbytes: int
    start: Any
    stop: Any

    @property
    def ms(self) -> float:
        return self.stop.milliseconds_since(self.start)


@contextlib.contextmanager
def launches(be: Backend) -> Iterator[list[Launch]]:
    """Inside, every launch on the device is noted."""
    noted: list[tuple[Any, ...]] = []
    found: list[Launch] = []
    launch = be.gpu.launch

    def noting(kernel: Any, grid: Any, block: int, values: list[Any], *how: Any) -> None:
        start = be.gpu.event()
        launch(kernel, grid, block, values, *how)
        nbytes = sum(x.nbytes for x in values if type(x) is be.gpu.array)
        noted.append((kernel, nbytes, start, be.gpu.event()))

    be.gpu.launch = noting
    try:
        yield found
    finally:
        be.gpu.launch = launch
        names = {
            id(kernel._function): (name, dtype.name)
            for family in source.kernels()
            for (name, dtype), kernel in getattr(be, family)._kernels.items()
        }
        found += [Launch(*names[id(kernel)], *rest) for kernel, *rest in noted]


def prepared(
    work: Work, framework: Framework, n: int, dtype: str, device: str, computed: str = ""
) -> Step:
    """The step of a work; the same numbers for the same work, size and dtype.

    `computed` is a dtype to compute in, if not that of the numbers.
    """
    gpunet.manual_seed(0)
    tensors = []
    for array in drawn(work.inputs, n):
        if array.floating:
            values = framework.tensor(array.values.astype(dtype), computed or dtype, device)
            tensors.append(array.made_of(values).requires_grad_())
        else:
            tensors.append(array.made_of(framework.tensor(array.values, None, device)))
    return work.prepare(framework, tensors)


def error(work: Work, n: int, dtype: str, device: str) -> float:
    """The largest error of a result over its largest value: float64 on the CPU tells the truth."""
    results = prepared(work, Framework(), n, dtype, device)()
    exact = prepared(work, Framework(), n, dtype, "cpu", "float64")()
    return max(_off(y, truth) for y, truth in zip(results, exact, strict=True))


def _off(y: Any, truth: Any) -> float:
    y, truth = y.detach().numpy().astype("float64"), truth.detach().numpy()
    return float(np.abs(y - truth).max() / (np.abs(truth).max() or 1.0))


@dataclass
class Figures:
    """How fast a kernel was where it moved most: ms, and bytes and operations of the launch."""

    ms: float
    nbytes: int
    flops: float

    @property
    def gb_per_s(self) -> float:
        return self.nbytes / self.ms / 1e6

    def floor_ms(self, copy: float, product: float) -> float:
        """The least time at a copy's GB/s and a matrix product's TFLOP/s."""
        return max(self.nbytes / copy / 1e6, self.flops / product / 1e9)


def measure(be: Backend, work: Work, n: int, dtype: str, repeats: int) -> dict[str, Figures]:
    """Figures of each kernel that a work starts, by name: of its largest launch, the median."""
    step = prepared(work, Framework(), n, dtype, be.device)
    step()  # compiles
    with launches(be) as found:
        for _ in range(repeats):
            step()
    be.synchronize()
    figures = {}
    for kernel in dict.fromkeys(launch.kernel for launch in found):
        mine = [launch for launch in found if launch.kernel == kernel]
        most = max(launch.nbytes for launch in mine)
        ms = statistics.median(launch.ms for launch in mine if launch.nbytes == most)
        if work.state is not None:
            size = drawn(work.inputs, n)[0].size
            most = size * np.dtype(dtype).itemsize * (3 + 2 * work.state)  # see kernels/optim.cu
        flops = work.flops[kernel](n) if kernel in work.flops else 0.0
        figures[kernel] = Figures(ms, most, flops)
    return figures


def fill_products(be: Backend) -> None:
    """From now on a product is filled with zeros before cuBLAS writes it.

    compute-sanitizer's initcheck does not see what cuBLAS stores, and reports each kernel that
    reads a product. It sees the zeros. What our kernels leave unwritten it reports as before.
    """
    gemm = be.gpu.gemm

    def filled(transpose: Any, sizes: Any, a: Any, b: Any, c: Any, *how: Any) -> None:
        c[0].fill(0)
        gemm(transpose, sizes, a, b, c, *how)

    be.gpu.gemm = filled


def main(device: str = "cuda:0", n: int = SMALL) -> None:
    """All of it once."""
    be = backend.get(device)
    fill_products(be)
    for dtype in DTYPES:
        for work in WORKS:
            prepared(work, Framework(), n, dtype, device)()
    be.synchronize()


if __name__ == "__main__":
    main()
