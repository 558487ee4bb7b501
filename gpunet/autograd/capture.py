"""`capture`: a step that is recorded once, and then launched as a whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar

from gpunet.autograd.tensor import Tensor
from gpunet.backend import random
from gpunet.errors import ArgumentError

WARM_UP = 2  # calls, after which kernels are compiled, and optimizers have made their state

P = ParamSpec("P")
T = TypeVar("T")


def capture(step: Callable[P, T]) -> Captured[P, T]:
    """`step`, which computes on a GPU, as a function that does the same without Python.

    The first two calls run `step` itself. The third records what it launches as a CUDA graph, and
    from then on a call copies its arguments to where those of the third lay and launches the graph:
    the GPU need not wait for Python, which for small networks takes several times as long as it.
    Arguments of other shapes or dtypes, and all on a CPU, go through `step` itself.

    `step` takes one tensor or more, all on one device, and returns tensors; the next call
    overwrites them. It must not read values (`item`, `print`, a condition), nor depend on what
    changes outside of its arguments, but for: parameters and optimizer state, changed in place; the
    learning rates of optimizers; the random numbers of dropout, which are those of `step` itself.
    What else it takes from Python stays as it was when it was recorded.

    Source: CUDA C++ Programming Guide, CUDA Graphs; as `torch.cuda.make_graphed_callables`.

    >>> import gpunet
    >>> double = gpunet.capture(lambda x: x + x)
    >>> double(gpunet.tensor([1.0, 2.0]))
    tensor([2., 4.], dtype=float32)
    """
    return Captured(step)


class Captured(Generic[P, T]):
    """See `capture`."""

    def __init__(self, step: Callable[P, T]):
        self.step = step
        self._calls = 0
        self._replay: Callable[[], None] | None = None
        self._inputs: list[Tensor] = []
        self._result: Any = None
        self._seed = -1

    def __call__(self, *inputs: P.args, **none: P.kwargs) -> T:
        """The step; `inputs` are tensors.

        Raises:
            ArgumentError: there is none, or something else.
            DeviceError: the step does what cannot be recorded.
        """
        if none or not inputs or not all(isinstance(x, Tensor) for x in inputs):
            got = [type(x).__name__ for x in (*inputs, *none.values())]
            raise ArgumentError("capture", f"a step must be called with tensors alone, got {got}")
        be = inputs[0].backend  # type: ignore[attr-defined]
        self._calls += 1
        if be.device == "cpu" or self._calls <= WARM_UP:
            return self.step(*inputs, **none)
        if self._replay is None or self._seed != random.seed_value:
            self._record(be, inputs)
        assert self._replay is not None
        if list(map(_kind, inputs)) != list(map(_kind, self._inputs)):
            return self.step(*inputs, **none)
        for own, given in zip(self._inputs, inputs, strict=True):
            own.array[...] = given.array  # type: ignore[attr-defined]
        self._replay()
        return self._result

    def _record(self, be: Any, inputs: Any) -> None:
        self._inputs = [Tensor(be.copy(x.array), be, x.requires_grad) for x in inputs]
        self._seed = random.seed_value

        def work() -> None:
            self._result = self.step(*self._inputs)  # type: ignore[arg-type, call-arg]

        self._replay = be.record(work)


def _kind(x: Any) -> tuple[Any, ...]:
    return x.backend, x.array.shape, x.array.dtype
