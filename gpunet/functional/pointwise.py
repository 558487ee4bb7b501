"""Bases of the elementwise operations; their gradients are written with the array module.

They call no kernels themselves: the backend's array module has quick functions for large arrays.
"""

from __future__ import annotations

from typing import Any, ClassVar

from gpunet.autograd.broadcast import unbroadcast
from gpunet.autograd.op import Op
from gpunet.backend import Array, Backend


class Unary(Op):
    """y = f(x), one function of the array module.

    Attributes:
        f: name of the function.
        keeps: `"x"` or `"y"`, whichever `through` reads.
    """

    f: ClassVar[str]
    keeps: ClassVar[str] = "x"

    def forward(self, be: Backend, x: Array) -> Array:
        y = getattr(be.xp, self.f)(x)
        self.saved = y if self.keeps == "y" else x
        return y

    def backward(self, be: Backend, g: Array) -> Array:
        return self.through(be.xp, g, self.saved)

    def through(self, xp: Any, g: Array, kept: Array, /) -> Array:
        """The gradient of x, from that of y and what was kept."""
        raise NotImplementedError


class Flat(Op):
    """y = f(x) made of steps: its gradient is 0."""

    def __init__(self, f: str):
        self.f = f

    def forward(self, be: Backend, x: Array) -> Array:
        return getattr(be.xp, self.f)(x)

    def backward(self, be: Backend, g: Array) -> Array:
        return be.full(g.shape, 0, g.dtype)


class Broadcast(Op):
    """Base of operations on operands that broadcast, numbers among them; remembers their shapes.

    Attributes:
        before: the shapes of the operands, None if there are two, alike.
    """

    before: tuple[Any, ...] | None = None

    def shapes(self, x: Any, y: Any) -> None:
        """Remembers those of two operands."""
        if self.needs:  # that is, if the operation is recorded
            a, b = getattr(x, "shape", ()), getattr(y, "shape", ())
            if a != b:
                self.before = a, b

    def all_shapes(self, *operands: Any) -> None:
        """Remembers those of any number of operands."""
        self.before = tuple([getattr(x, "shape", ()) for x in operands])

    def arrays(self, be: Backend, *operands: Any) -> list[Array]:
        """The operands as arrays, the numbers in the dtype of the others; and their shapes."""
        self.all_shapes(*operands)
        dtype = next(x.dtype for x in operands if hasattr(x, "dtype"))
        return [be.asarray(x, dtype) for x in operands]

    def reduced(self, be: Backend, *gradients: Array | None) -> tuple[Array | None, ...]:
        """Gradients in the shape of the result, summed to those of the operands that need one."""
        if self.before is None:  # nothing was broadcast
            if False not in self.needs:
                return gradients
            pairs = zip(gradients, self.needs, strict=True)
            return tuple([g if need else None for g, need in pairs])
        return tuple(
            [
                unbroadcast(be, g, shape) if need else None
                for g, shape, need in zip(gradients, self.before, self.needs, strict=True)
            ]
        )


class Compare(Op):
    """Booleans or integers from one function of the array module; no gradient."""

    def __init__(self, f: str):
        self.f = f

    def forward(self, be: Backend, *operands: Any) -> Array:
        return getattr(be.xp, self.f)(*operands)
