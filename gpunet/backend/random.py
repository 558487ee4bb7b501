"""Randomness that is the same on every device.

Two streams follow from one seed:

- *host draws* (initial weights): NumPy's Philox generator on the host, copied to the device;
- *counters* (dropout): each call takes the next counter, and the kernels compute the mask from
  (seed, counter, element) with Philox 4x32-10, so the same seed gives the same mask on CPU and GPU,
  and the backward pass computes it again instead of storing it.

Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gpunet.errors import ArgumentError

_PLACE = ("buffer_pos", "has_uint32", "uinteger")  # where NumPy stands within a block of words


class RandomState:
    """The process-wide source of randomness; see the module's text."""

    def __init__(self, seed: int = 0):
        self.seed(seed)

    def seed(self, seed: int) -> None:
        """Starts both streams anew from `seed` (an integer in [0, 2**63))."""
        if not 0 <= seed < 1 << 63:
            raise ArgumentError("seed", f"must be in [0, 2**63), got {seed}")
        self.seed_value = int(seed)
        self.counter = 0
        self.host = np.random.Generator(np.random.Philox(self.seed_value))

    def next_counter(self) -> tuple[int, int]:
        """(seed, counter) of one dropout call; no two calls get the same."""
        self.counter += 1
        return self.seed_value, self.counter

    def state_dict(self) -> dict[str, Any]:
        """All of it as JSON-compatible values, for checkpoints."""
        philox = self.host.bit_generator.state
        words = {**philox["state"], "buffer": philox["buffer"]}
        host: dict[str, Any] = {
            name: [int(word) for word in array] for name, array in words.items()
        }
        host.update({name: int(philox[name]) for name in _PLACE})
        return {"seed": self.seed_value, "counter": self.counter, "host": host}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues exactly where `state_dict` was taken."""
        self.seed_value, self.counter = state["seed"], state["counter"]
        host = state["host"]
        self.host.bit_generator.state = {
            "bit_generator": "Philox",
            "state": {name: np.array(host[name], np.uint64) for name in ("counter", "key")},
            "buffer": np.array(host["buffer"], np.uint64),
            **{name: host[name] for name in _PLACE},
        }


random = RandomState()
