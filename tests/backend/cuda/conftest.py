"""A pretended GPU, on which kernels run thread by thread."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gpunet import backend
from gpunet.backend.cuda import CUDABackend
from tests.kernels.host.gpu import HostGPU, pretended


@pytest.fixture
def be() -> Iterator[CUDABackend]:
    """The backend of a pretended cuda:0, beside which there is a cuda:1."""
    with pretended(HostGPU(0), HostGPU(1)):
        found = backend.get("cuda:0")
        assert isinstance(found, CUDABackend)
        yield found
