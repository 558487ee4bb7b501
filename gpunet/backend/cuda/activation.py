"""Activation functions: every one is derived from its kernel in kernels/activation.cu.

CPU twins: gpunet/backend/cpu/activation.py.
"""

from __future__ import annotations

from gpunet.backend.cuda.pointwise import Pointwise


class Activation(Pointwise):
    """`NAME_fwd(x, *parameters, bias, out)` and `NAME_bwd(gy, kept, *parameters, bias)`."""
