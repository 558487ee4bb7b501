"""L-BFGS: Newton's method on a curvature remembered from the last steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpunet.autograd.memory import written
from gpunet.autograd.mode import enable_grad, watched
from gpunet.autograd.tensor import Tensor
from gpunet.errors import ArgumentError, ShapeError
from gpunet.optim.line_search import Point, strong_wolfe
from gpunet.optim.optimizer import Optimizer, Params

_VECTORS = ("d", "prev_flat_grad")
_HISTORIES = ("old_dirs", "old_stps")
_NUMBERS = ("n_iter", "func_evals", "t")
_SMALLEST_CURVATURE = 1e-10  # of y·s, below which a step says nothing of the curvature


class LBFGS(Optimizer):
    """x ← x − t·H·g, with H the inverse curvature that past steps s and gradient changes y show.

    For problems without noise: the whole data set in every evaluation. All parameters form one
    vector x, in one group, of one dtype. Each `step` makes up to `max_iter` iterations. It waits
    for the device at each of them, since the numbers of an iteration decide on the next.

    Args:
        lr: the length t of a step, or the first to try of a line search; the very first step is
            shorter, lr / Σ|g|, if that is less. At least 0.
        max_iter, max_eval: iterations and evaluations of the closure in a step at the most
            (max_eval is max_iter·5/4 by default).
        tolerance_grad: a step ends where no gradient is larger.
        tolerance_change: a step ends where neither a parameter nor the loss changes more.
        history_size: pairs (s, y) that are remembered.
        line_search_fn: `"strong_wolfe"`, or None for steps of length lr.

    Source: Nocedal & Wright, Numerical Optimization (2006), algorithms 7.4 and 7.5.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1.0,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ):
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        if self.param_groups:
            raise ArgumentError("LBFGS", "params must form one group, got another")
        super().add_param_group(param_group)
        dtypes = sorted({str(x.dtype) for x in self._parameters()})
        if len(dtypes) > 1:
            raise ArgumentError("LBFGS", f"params must be of one dtype, got {dtypes}")

    def check_options(self, group: dict[str, Any]) -> None:
        super().check_options(group)
        for option in ("max_iter", "max_eval", "history_size"):
            if group[option] < 1:
                raise ArgumentError("LBFGS", f"{option} must be at least 1, got {group[option]}")
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            raise ArgumentError(
                "LBFGS",
                f"line_search_fn must be 'strong_wolfe' or None, got {group['line_search_fn']!r}",
            )

    @watched("optimizer")
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Makes up to `max_iter` iterations.

        Args:
            closure: clears the gradients, computes loss and gradients, and returns the loss.

        Returns:
            The loss before the first iteration.
        """
        if closure is None:
            raise ArgumentError("LBFGS", "step must get a closure that computes the loss, got none")
        group, memory = self.param_groups[0], self._memory()
        first_loss = self._evaluate(closure)
        f, g, evaluations = float(first_loss), self._gradient_vector(), 1
        memory["func_evals"] += 1
        for iteration in range(1, group["max_iter"] + 1):
            if _largest(g) <= group["tolerance_grad"]:
                break
            d = self._direction(g)
            slope = float(d @ g)
            if not slope < -group["tolerance_change"]:  # not downhill any more; also NaN
                break
            memory["prev_flat_grad"], before = g, f
            t = group["lr"]
            if memory["n_iter"] == 1:
                t *= min(1.0, 1.0 / float(abs(g).sum()))
            last = iteration == group["max_iter"]
            f, g, t, used = self._move(closure, Point(0.0, f, g, slope), t, d, evaluations, last)
            memory["t"] = t
            evaluations += used
            memory["func_evals"] += used
            if evaluations >= group["max_eval"] or abs(f - before) < group["tolerance_change"]:
                break
            if _largest(d) * t <= group["tolerance_change"]:
                break
        return first_loss

    def _move(
        self,
        closure: Callable[[], Any],
        start: Point,
        t: float,
        d: Any,
        evaluations: int,
        last: bool,
    ) -> tuple[float, Any, float, int]:
        """Goes along `d`: loss and gradient there, the length gone, and evaluations it took."""
        group, x, used = self.param_groups[0], self._position(), 0

        def evaluate(t: float) -> Point:
            nonlocal used
            used += 1
            self._go_to(x + t * d)
            f, g = float(self._evaluate(closure)), self._gradient_vector()
            return Point(t, f, g, float(g @ d))

        if group["line_search_fn"] is not None:
            narrowest = group["tolerance_change"] / _largest(d)
            left = max(group["max_eval"] - evaluations, 1)
            point = strong_wolfe(evaluate, start, t, narrowest, left)
            self._go_to(x + point.t * d)
        elif last:  # the next step will evaluate here
            self._go_to(x + t * d)
            point = Point(t, float("inf"), start.g, start.slope)
        else:
            point = evaluate(t)
        return point.f, point.g, point.t, used

    def _direction(self, g: Any) -> Any:
        """−H·g, after the last step has been added to what is known of the curvature."""
        memory = self._memory()
        memory["n_iter"] += 1
        if memory["n_iter"] == 1:
            memory["d"] = -g
            return memory["d"]
        ys, ss, inverses = memory["old_dirs"], memory["old_stps"], memory["ro"]
        y, s = g - memory["prev_flat_grad"], memory["d"] * memory["t"]
        if (curvature := y @ s) > _SMALLEST_CURVATURE:
            if len(ys) == self.param_groups[0]["history_size"]:
                del ys[0], ss[0], inverses[0]
            ys.append(y)
            ss.append(s)
            inverses.append(1 / curvature)
        # Algorithm 7.4; it starts from the curvature of the last pair, in every direction.
        pairs, weights = list(zip(ys, ss, inverses, strict=True)), []
        q = -g
        for y, s, inverse in reversed(pairs):
            weights.append((s @ q) * inverse)
            q -= weights[-1] * y
        if pairs:
            q /= inverses[-1] * (ys[-1] @ ys[-1])
        for y, s, inverse in pairs:
            q += (weights.pop() - (y @ q) * inverse) * s
        memory["d"] = q
        return q

    # --- all parameters as one vector

    def _evaluate(self, closure: Callable[[], Any]) -> Any:
        with enable_grad():
            return closure()

    def _position(self) -> Any:
        parameters = self._parameters()
        return parameters[0].backend.xp.concatenate([x.array.reshape(-1) for x in parameters])

    def _gradient_vector(self) -> Any:
        parameters = self._parameters()
        xp = parameters[0].backend.xp
        return xp.concatenate(
            [
                xp.zeros(x.numel(), x.dtype)
                if x.grad is None
                else self._gradients([x])[0].reshape(-1)
                for x in parameters
            ]
        )

    def _go_to(self, position: Any) -> None:
        start = 0
        for x in self._parameters():
            x.array[...] = position[start : start + x.numel()].reshape(x.shape)
            start += x.numel()
        written(x.array for x in self._parameters())

    # --- state: of the first parameter, as in PyTorch

    def state_nbytes(self, group: dict[str, Any], x: Tensor) -> int:
        return (len(_VECTORS) + len(_HISTORIES) * group["history_size"]) * x.array.nbytes

    def _memory(self) -> dict[str, Any]:
        memory = self.state[self._parameters()[0]]
        if not memory:
            memory.update({"n_iter": 0, "func_evals": 0, "t": 0.0})
            memory.update({"old_dirs": [], "old_stps": [], "ro": []})
        return memory

    def _pack(self, x: Tensor) -> dict[str, Any]:
        be, memory = x.backend, self.state[x]
        packed = {name: be.full((1,), float(memory[name]), "float64") for name in _NUMBERS}
        packed.update({name: memory[name] for name in _VECTORS if name in memory})
        if memory["old_dirs"]:
            packed.update({name: be.xp.stack(memory[name]) for name in _HISTORIES})
        return {name: be.to_host(value) for name, value in packed.items()}

    def _unpack(self, x: Tensor, saved: dict[str, Any]) -> dict[str, Any]:
        if not saved:
            return {}
        be = x.backend
        memory: dict[str, Any] = {
            name: be.copy(be.asarray(saved[name], x.dtype)) for name in _VECTORS if name in saved
        }
        for name in _HISTORIES:
            memory[name] = [be.copy(be.asarray(v, x.dtype)) for v in saved.get(name, ())]
        memory["ro"] = [
            1 / (y @ s) for y, s in zip(memory["old_dirs"], memory["old_stps"], strict=True)
        ]
        n_iter, func_evals, t = (saved[name].item() for name in _NUMBERS)
        return {**memory, "n_iter": int(n_iter), "func_evals": int(func_evals), "t": t}

    def _check_state(self, index: int, x: Tensor, saved: dict[str, Any]) -> None:
        names = {*_VECTORS, *_HISTORIES, *_NUMBERS}
        if index or not saved.keys() <= names or not saved.keys() >= set(_NUMBERS):
            raise ArgumentError(
                "load_state_dict",
                f"state must be LBFGS's {sorted(names)} of parameter 0, "
                f"got {sorted(saved)} of parameter {index}",
            )
        size = sum(p.numel() for p in self._parameters())
        for name in saved.keys() - set(_NUMBERS):
            if saved[name].shape[-1] != size:
                raise ShapeError(
                    "load_state_dict",
                    f"{name} must have {size} columns, got shape {saved[name].shape}",
                )


def _largest(vector: Any) -> float:
    return float(abs(vector).max()) if vector.size else 0.0
