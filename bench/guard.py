"""What the watch for NaN and Inf costs a training step: `python -m bench.guard [CONFIG]`.

Steps with and without it alternate, on the same batches; the goal is at most 2 %.
"""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import replace
from itertools import cycle, islice

from bench import limit_threads

GOAL = 2.0  # per cent
STEPS = 600


def main() -> None:
    limit_threads()
    import gpunet
    from gpunet.train.build import build_data, build_model, build_trainer
    from gpunet.train.config import load

    config = load(sys.argv[1] if len(sys.argv) > 1 else "configs/digits.toml", ["device=cpu"])
    gpunet.manual_seed(config.seed)
    train, name, held_out = build_data(config.data, config.seed)
    trainer = build_trainer(config, build_model(config), train, (name, held_out))
    trainer.schedule = None
    batches = list(islice(trainer.loader, 20))
    times: dict[bool, list[float]] = {True: [], False: []}
    for step, batch in enumerate(islice(cycle(batches), STEPS)):
        watched = step % 2 == 0
        trainer.gradients.config = replace(trainer.config, stop_at_nan=watched)
        start = time.perf_counter()
        trainer.train_on([batch])
        times[watched].append(1e3 * (time.perf_counter() - start))
    on, off = (statistics.median(times[watched][20:]) for watched in (True, False))
    cost = 100 * (on / off - 1)
    print(f"{config.name}: {off:.3f} ms a step, {on:.3f} ms watched: {cost:+.1f} % (goal {GOAL} %)")


if __name__ == "__main__":
    main()
