"""Faults that a kernel finds and Python reports: labels and positions outside their range.

A kernel cannot raise, and to ask after each launch would make Python wait for the device at every
step. So each device has one word in its memory, where kernels leave the lowest bad row by an atomic
minimum. It is looked at where Python waits for the device anyway: when a value is read from it
(`to_host`, `item`) and in `synchronize`, and only if a kernel that may have written there has run
since. A step that reads nothing pays nothing, and can be captured and replayed.
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
        self._word: Array | None = None
        self._last: tuple[str, str, Array, str] | None = None  # of the last launch, see `watch`
        self._launches = 0

    def watch(self, operation: str, rule: str, values: Array, context: str = "") -> Array:
        """The word, (1,) uint64, for a kernel that holds `values` to a rule.

        Operation, rule and context are what the error will say.
        """
        if self._word is None:
            self._word = self._device.xp.full((1,), _NONE, "uint64")
        self._last, self._launches = (operation, rule, values, context), self._launches + 1
        return self._word

    def check(self) -> None:
        """Raises what was found since the last check; waits for the device if there may be some.

        Raises:
            ArgumentError: a value outside its range.
        """
        if self._last is None:
            return
        row = int(self._device.to_host(self._word)[0])
        (operation, rule, values, context), self._last = self._last, None
        launches, self._launches = self._launches, 0
        if row == _NONE:
            return
        assert self._word is not None
        self._word.fill(_NONE)
        got, where = "another", f"in one of the last {launches} calls"
        if launches == 1:
            got, where = self._device.to_host(values).reshape(-1)[row], ""
        problem = f"{rule}, got {got} at index {row} {where}".rstrip()
        raise ArgumentError(operation, problem, context)
