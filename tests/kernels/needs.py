"""What a machine must have for the kernel tests; tests/conftest.py says what was missing."""

from __future__ import annotations

import pytest

from tests.kernels import nvrtc
from tests.kernels.host import build

compiler = pytest.mark.skipif(
    build.compiler() is None,
    reason="kernels were NOT EXECUTED: no C++ compiler (install g++, or name one in $CXX)",
)
sanitizers = pytest.mark.skipif(
    not build.has_sanitizers(),
    reason="kernels were NOT SANITIZED: no g++ with its sanitizers on Linux",
)
nvrtc_wheels = pytest.mark.skipif(
    nvrtc.compiler() is None,
    reason="kernels were NOT COMPILED for GPUs: pip install nvidia-cuda-nvrtc nvidia-cuda-runtime",
)
