"""The errors gpunet raises: one sentence form, and the path of the layer where it happened.

Every message reads `operation: argument must rule, got value; context`, for example

    layer_norm: weight must have shape (C,) = (512,), got (256,); x is (8, 128, 512) float32 on cpu

Each class also derives from the built-in that users would catch, so `except ValueError` keeps
working.
"""

from __future__ import annotations

from typing import Any


class GpunetError(Exception):
    """Base of every error gpunet raises on purpose.

    Args:
        operation: the function or command, e.g. `"linear"`.
        problem: the argument, the rule with its value, and what came.
        context: what else the reader needs (shapes of the other arguments, the next step); may be
            empty.

    `Module.__call__` adds the path of the layer while the error passes through (`layer_path`).
    """

    def __init__(self, operation: str, problem: str, context: str = ""):
        self.operation, self.problem, self.context = operation, problem, context
        self.layer_path: list[str] = []
        self.layer: Any = None  # innermost layer not yet named by its parent
        super().__init__(operation, problem, context)

    def __str__(self) -> str:
        text = f"{self.operation}: {self.problem}"
        if self.context:
            text += f"; {self.context}"
        if self.layer_path:
            text += f" (in layer {'.'.join(self.layer_path)})"
        return text


class ShapeError(GpunetError, ValueError):
    """A shape, axis or size does not fit the rule of the operation."""


class DTypeError(GpunetError, TypeError):
    """An array has a dtype that the operation does not take."""


class ArgumentError(GpunetError, ValueError):
    """A value outside its allowed range or set."""


class GradError(GpunetError, RuntimeError):
    """The backward pass cannot be done as asked."""


class DeviceError(GpunetError, RuntimeError):
    """A device is missing, unusable, or differs between the arguments."""


class DeviceMemoryError(GpunetError, MemoryError):
    """A device has not enough memory; the message says what was asked and what holds the rest."""


class DataError(GpunetError, ValueError):
    """A file or data set is damaged, empty, of another kind, or holds impossible values."""


class ConfigError(GpunetError, ValueError):
    """A configuration file has an unknown key or a value of the wrong kind."""


class CheckpointError(GpunetError, ValueError):
    """A checkpoint is truncated, of another model, or not one."""


class MissingPackageError(GpunetError, ImportError):
    """A package of an extra is not installed; the message has the line that installs it."""


class NonFiniteError(GpunetError, ArithmeticError):
    """NaN or Inf turned up where training cannot go on."""


class RunError(GpunetError, OSError):
    """The folder of a run cannot be made, written or read."""
