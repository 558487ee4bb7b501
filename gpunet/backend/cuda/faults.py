"""Faults that a kernel finds and Python reports: labels and positions outside their range.

A kernel cannot raise, and to ask after each launch would make Python wait for the device at every
step. So there is one word for each device, where kernels leave the lowest bad row by an atomic
minimum. It lies in the host's memory, which kernels reach, if slowly, and bad rows are rare: to
look at it costs nothing. That is done where Python waits for the device anyway: when a value is
read from it (`to_host`, `item`) and in `synchronize`. A step can be captured and replayed.
"""

from __future__ import annotations

from gpunet.backend.base import Array
from gpunet.backend.cuda.device import Device
from gpunet.errors import ArgumentError

_NONE = 2**64 - 1


class Faults:
    """The word of one device, and what is known of the launches since it was last looked at."""

    def __init__(self, device: Device):
        self._device = device
        self._word: Array | None = None  # as the device sees it
        self._on_host: Array | None = None  # as NumPy does
        self._rule: tuple[str, str, str] | None = None  # of the last launch, see `watch`
        self._values: Array | None = None
        self._launches = 0

    def watch(self, operation: str, rule: str, values: Array, context: str = "") -> Array:
        """The word, (1,) uint64, for a kernel that holds `values` to a rule.

        Operation, rule and context are what the error will say.
        """
        if self._word is None:
            self._word, self._on_host = self._device.shared_word(_NONE)
        self._rule, self._values = (operation, rule, context), values
        self._launches += 1
        return self._word

    def check(self) -> None:
        """Raises what was found since the last check; the device must have ended its work.

        Raises:
            ArgumentError: a value outside its range.
        """
        values, self._values = self._values, None
        launches, self._launches = self._launches, 0
        if self._on_host is None or self._rule is None or self._on_host[0] == _NONE:
            return
        row = int(self._on_host[0])
        self._on_host[0] = _NONE
        operation, rule, context = self._rule
        got, where = "another", f"in one of the last {launches} calls"
        if launches == 1:
            got, where = self._device.to_host(values).reshape(-1)[row], ""
        elif not launches:
            where = "in a step that was captured"
        problem = f"{rule}, got {got} at index {row} {where}".rstrip()
        raise ArgumentError(operation, problem, context)
