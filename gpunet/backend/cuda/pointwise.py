"""Makes the function of a pointwise kernel from the kernel's own signature.

    KERNEL(elu_bwd)(const T* gy, const T* kept, const T* bias, T* gx, long long n,
                    long long columns, acc_t alpha)

makes `elu_bwd(gy, kept, alpha, bias=None, out=None)`: its arrays come first and by position, all
but the bias; what it writes is the result; what follows n and columns are its parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpunet.backend.base import Array
from gpunet.backend.cuda.launch import Family, grid_stride


class Pointwise(Family):
    """A family whose functions are all derived, each on its first use."""

    def __getattr__(self, name: str) -> Callable[..., Array]:
        if name.startswith("_") or name not in self.signatures:
            raise AttributeError(f"kernels/{self.name}.cu has no kernel {name!r}")
        function = self._derive(name)
        setattr(self, name, function)
        return function

    def _derive(self, name: str) -> Callable[..., Array]:
        signature = self.signatures[name]
        names = [parameter.name for parameter in signature]
        count = names.index("bias") if "bias" in names else len(names)
        written = [parameter.name for parameter in signature if parameter.written]
        if names[count + 1 : count + 4] != [*written, "n", "columns"]:
            raise ValueError(f"{name} is no pointwise kernel: its parameters are {names}")

        def run(*arguments: Any, bias: Array | None = None, out: Array | None = None) -> Array:
            arrays, parameters = arguments[:count], arguments[count:]
            x = arrays[0]
            n, columns = x.size, 1 if bias is None else bias.size
            if out is None:
                out = self.like(x)
            launch = grid_stride(self.limits, n * x.dtype.itemsize // 16 + 1 if n else 0)
            kernel = self.kernel(name, x.dtype)
            kernel(*launch, *arrays, bias, out, n, columns, *parameters)
            return out

        run.__name__ = name
        return run
