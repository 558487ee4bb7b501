"""Functions of the user's that are called while the backward pass runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gpunet.backend import Array
from gpunet.errors import DTypeError, ShapeError

if TYPE_CHECKING:
    from gpunet.autograd.tensor import Tensor


class Handle:
    """What registering a hook returns; `remove()`, or leaving a `with` block, takes it away again.

    Args:
        owner: has the hooks as a tuple in its attribute `hooks` (or `attribute`).
    """

    def __init__(self, owner: Any, hook: Callable[..., Any], attribute: str = "hooks"):
        self._owner, self._hook, self._attribute = owner, hook, attribute
        setattr(owner, attribute, (*getattr(owner, attribute), hook))

    def remove(self) -> None:
        """Takes the hook away; nothing happens if it is gone already."""
        hooks = getattr(self._owner, self._attribute)
        setattr(self._owner, self._attribute, tuple(h for h in hooks if h is not self._hook))

    def __enter__(self) -> Handle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def on_gradient(hook: Callable[[Tensor], Any], like: Tensor) -> Callable[[Array], Array]:
    """The hook as a function of raw gradients: what it returns, if anything, replaces them.

    Raises:
        DTypeError: it returns no tensor or one of another dtype. ShapeError: of another shape.
    """
    kind, be = type(like.detach()), like.backend
    shape, dtype = like.shape, like.dtype

    def call(g: Array) -> Array:
        changed = hook(kind(g, be))
        if changed is None:
            return g
        if not isinstance(changed, kind) or changed.dtype != dtype:
            got = changed.dtype if isinstance(changed, kind) else type(changed).__name__
            raise DTypeError("hook", f"must return None or a gpunet.Tensor of {dtype}, got {got}")
        if changed.shape != shape:
            raise ShapeError("hook", f"must return shape {shape}, got {changed.shape}")
        return changed.array

    return call


def at_output(index: int, call: Callable[[Array], Array]) -> Callable[[list[Array | None]], None]:
    """A hook of one output of an operation, as the engine calls it."""

    def change(gys: list[Array | None]) -> None:
        g = gys[index]
        if g is not None:
            gys[index] = call(g)

    return change
