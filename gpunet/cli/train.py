"""`gpunet train`: from a configuration to a folder with a trained network and its pictures."""

from __future__ import annotations

import shlex
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gpunet
from gpunet import backend
from gpunet.cli.console import TrainingBars, console
from gpunet.errors import ArgumentError, MissingPackageError
from gpunet.train.build import build_data, build_model, build_trainer, step_size
from gpunet.train.config import Config, load
from gpunet.train.diagnostics import Recorder, advice, read_records
from gpunet.train.run import Run
from gpunet.train.tensorboard import TensorBoard
from gpunet.train.trainer import Trainer

_LITERAL: Any = {"markup": False, "soft_wrap": True}  # how paths are printed


def run(options: Any) -> int:
    started = time.perf_counter()
    if options.resume:
        if options.config or options.out or options.overrides:
            raise ArgumentError(
                "train", "--resume must stand alone: the run has its own configuration"
            )
        folder = Run.open(Path(options.resume))
        config = folder.config
    elif options.config:
        overrides = options.overrides + ([f"device={options.device}"] if options.device else [])
        config = load(Path(options.config), overrides)
    else:
        raise ArgumentError(
            "train", "needs a configuration, or --resume RUN", "for example configs/digits.toml"
        )

    gpunet.manual_seed(config.seed)
    model = build_model(config)
    be, reason = backend.resolve(options.device or config.device, lambda: step_size(config, model))
    model.to(be.device)
    parameters = sum(p.numel() for p in model.parameters())
    train, name, held_out = build_data(config.data, config.seed)
    trainer = build_trainer(config, model, train, (name, held_out))
    if not options.resume:
        folder = Run.create(free_folder(options.out, config.name), config, 4 * parameters)
    trainer.callbacks = [TrainingBars(), folder]
    if config.diagnostics.wanted:
        trainer.callbacks.append(Recorder(config.diagnostics, folder.folder))
    if config.watch.tensorboard:
        trainer.callbacks.append(TensorBoard(config.watch, folder.folder))
    if options.resume and folder.begun:
        folder.restore(trainer)

    console.print(
        f"[bold]{config.name}[/]  {len(train):,} training and {len(held_out):,} {name} examples, "
        f"{parameters:,} parameters"
    )
    ready = f"{reason}; ready after {time.perf_counter() - started:.1f} s"
    console.print(ready, style="dim", **_LITERAL)
    precision = config.precision.dtype
    if precision != "float32" and be.device == "cpu":
        console.print(f"{precision} is slower than float32 on a CPU: it pays on a GPU", style="dim")
    return _train(trainer, folder, config, started)


def _train(trainer: Trainer, folder: Run, config: Config, started: float) -> int:
    with _stop_on_signals(trainer) as heard:
        finished = trainer.fit()
    if not finished:
        console.print(
            f"stopped in epoch {trainer.loader.epoch + 1}, "
            f"batch {trainer.loader.position}; go on with"
        )
        # Unbroken however narrow the terminal, and quoted: it is there to be copied.
        console.print(f"  gpunet train --resume {shlex.quote(str(folder.folder))}", **_LITERAL)
        return 128 + heard[0]
    if trainer.evaluation is None:
        already = f"{folder.folder} is already trained to epoch {config.train.epochs}"
        console.print(already, **_LITERAL)
        return 0
    task, name = trainer.task, f"{trainer.held_out_name} {trainer.task.figure}"
    figure = task.show(task.figure, trainer.evaluation.figures[task.figure])
    console.print(f"\n{name} [bold green]{figure}[/] in {time.perf_counter() - started:.1f} s")
    console.print(
        f"written to {folder.folder}/: config.toml, metrics.jsonl, checkpoint.safetensors",
        **_LITERAL,
    )
    _tell_findings(folder.folder)
    try:
        names = _pictures(trainer, folder.folder)
        console.print(f"pictures, open them: {', '.join(names)}")
    except MissingPackageError as error:
        console.print(f"no pictures: {error}", **_LITERAL)
    return 0


def free_folder(out: str | None, name: str) -> Path:
    """The folder asked for, or the first free one of runs/NAME, runs/NAME-2, ..."""
    if out:
        return Path(out)
    folder, number = Path("runs") / name, 2
    while folder.exists():
        folder, number = Path("runs") / f"{name}-{number}", number + 1
    return folder


@contextmanager
def _stop_on_signals(trainer: Trainer) -> Iterator[list[int]]:
    """The first Ctrl-C or SIGTERM ends training after the batch under way, the second at once.

    Yields:
        The signals that were heard.
    """
    heard: list[int] = []

    def ask(number: int, _: object) -> None:
        heard.append(number)
        if trainer.stop:
            raise KeyboardInterrupt
        trainer.stop = True

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield heard
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _pictures(trainer: Trainer, folder: Path) -> list[str]:
    """Draws what was learned; returns the files' names."""
    assert trainer.evaluation is not None
    written = trainer.task.pictures(
        trainer.averaging.best_of(trainer.model),
        trainer.evaluation,
        trainer.held_out,
        trainer.progress.history,
        folder,
        trainer.loader.seed,
    )
    records = read_records(folder)
    if norms := [record["gradient_norms"] for record in records if "gradient_norms" in record]:
        from gpunet import viz

        steps = [record["step"] for record in records]
        written.append(viz.gradient_flow(norms, steps, folder / "gradient_flow.png"))
    return [path.name for path in written]


def _tell_findings(folder: Path) -> None:
    """What was not as usual."""
    records = read_records(folder)
    if not records:
        return
    findings = advice(records)
    console.print(f"diagnostics of {len(records):,} steps: {len(findings) or 'nothing'} unusual")
    for line in findings:
        console.print(f"  {line}", **_LITERAL)
