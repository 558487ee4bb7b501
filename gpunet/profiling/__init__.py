"""Where the time and the memory of a program go: by layer and operation, forward and backward."""

from gpunet.profiling.recorder import Profile, profile
from gpunet.profiling.rows import Row

__all__ = ["Profile", "Row", "profile"]
