"""The command line: `gpunet COMMAND`. One function a command, each in the module of its name."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gpunet import __version__
from gpunet.errors import GpunetError

EXAMPLES = """examples:
  gpunet train configs/digits.toml                 train, and write runs/digits/
  gpunet train configs/digits.toml --set train.epochs=3 --set optimizer.lr=1e-3
  gpunet train --resume runs/digits                go on where a run was stopped
  gpunet eval runs/digits                          the figures of the test set, in detail
  gpunet compare runs/digits runs/digits-2         their curves in one picture
  gpunet predict runs/digits seven.png             what is on this picture?
  gpunet predict runs/sentiment "a film without a single idea"
  gpunet folds configs/sentiment.toml              the mean over ten test sets
  gpunet generate runs/shakespeare_lstm --prompt ROMEO: --temperature 0.8
  gpunet chat runs/shakespeare_lstm                say something, and be answered
  gpunet summary configs/digits.toml               layers, shapes, parameters, multiply-adds
  gpunet report runs/digits                        all of it on one page
  gpunet find-lr configs/digits.toml               which learning rate?
  gpunet profile configs/digits.toml               where time and memory go
  gpunet verify-resume configs/digits.toml         does a stop change a bit?
  gpunet demo                                      the lectures: what there is to be seen
  gpunet demo gates --lang ru                      one of them, here in Russian
  gpunet bench --quick                             how fast, beside PyTorch, JAX and NumPy?
  gpunet info                                      versions, devices, and why no GPU
  gpunet warmup                                    compile the CUDA kernels ahead of training
  gpunet ops                                       every operation and its kernels
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gpunet",
        description="Train neural networks, on a GPU or without one, and see how it is done.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"gpunet {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name: str, help: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".")

    def add_device(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--device", help="auto, cpu, cuda or cuda:N; overrides the configuration")

    def add_settings(sub: argparse.ArgumentParser) -> None:
        sub.add_argument(
            "--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides",
            help="change one value of the configuration; may be repeated",
        )  # fmt: skip

    def add_drawing(
        sub: argparse.ArgumentParser, what: str, length: int, temperature: float
    ) -> None:
        sub.add_argument(
            "--length", type=int, metavar="N", default=length, help=f"{what}; default {length}"
        )
        sub.add_argument(
            "--temperature", type=float, metavar="T", default=temperature,
            help="below 1 the likely ones are drawn more often, at 0 always; "
            f"default {temperature:g}",
        )  # fmt: skip
        sub.add_argument(
            "--top-k", type=int, metavar="K", help="draw from the K likeliest characters only"
        )
        sub.add_argument(
            "--seed", type=int, metavar="S", default=1, help="another one, another text; default 1"
        )
        add_device(sub)

    train = command("train", "train a network as a configuration describes")
    train.add_argument("config", nargs="?", help="a .toml file, e.g. configs/digits.toml")
    train.add_argument(
        "--out", metavar="RUN", help="folder to write; default runs/NAME, numbered if taken"
    )
    train.add_argument(
        "--resume",
        metavar="RUN",
        help="go on with a run that was stopped, bit for bit, or from one of its checkpoints",
    )
    add_settings(train)
    add_device(train)

    folds = command("folds", "train once for each fold of a data set, and tell the mean")
    folds.add_argument("config", help="a .toml file, e.g. configs/sentiment.toml")
    folds.add_argument("--out", metavar="FOLDER", help="for the runs; default runs/NAME-folds")
    add_settings(folds)
    add_device(folds)

    evaluate = command("eval", "measure a trained network on the test set")
    evaluate.add_argument(
        "run", help="folder of a run, e.g. runs/digits, or one of its checkpoints"
    )
    add_device(evaluate)

    predict = command("predict", "show what a trained network makes of something new")
    predict.add_argument("run", help="folder of a run, e.g. runs/digits, or one of its checkpoints")
    predict.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="pictures of any size, recordings, tables or texts",
    )
    add_device(predict)

    generate = command("generate", "go on with a text, as a trained language model would")
    generate.add_argument(
        "run", help="folder of a run, e.g. runs/shakespeare_lstm, or one of its checkpoints"
    )
    generate.add_argument(
        "--prompt", metavar="TEXT", default="\n", help="what it begins with; default a new line"
    )
    chat = command("chat", "talk with a trained language model: a line, and its answer")
    chat.add_argument(
        "run", help="folder of a run, e.g. runs/shakespeare_lstm, or one of its checkpoints"
    )
    add_drawing(generate, "characters to add", 500, 1.0)
    add_drawing(chat, "characters of an answer, at the most", 300, 0.7)

    compare = command("compare", "draw the curves of several runs in one picture")
    compare.add_argument("runs", nargs="+", metavar="RUN", help="folders of runs")
    compare.add_argument("--out", metavar="FILE", default="comparison.png", help="the PNG to write")

    summary = command("summary", "show layers, output shapes, parameters and multiply-adds")
    summary.add_argument("config", help="a .toml file")
    summary.add_argument(
        "--memory", action="store_true", help="what a training step holds of memory, by layer"
    )
    add_settings(summary)

    report = command("report", "put all of a run, finished or failed, on one page of HTML")
    report.add_argument("run", help="folder of a run, e.g. runs/digits")

    rates = command("find-lr", "sweep over learning rates, draw the loss, suggest one")
    rates.add_argument("config", help="a .toml file")
    rates.add_argument("--lowest", type=float, default=1e-6, help="the first rate; default 1e-6")
    rates.add_argument("--highest", type=float, default=10.0, help="the last rate; default 10")
    rates.add_argument("--steps", type=int, default=150, help="at the most; default 150")
    rates.add_argument(
        "--out", metavar="PNG", default="learning_rates.png",
        help="the picture to write; default learning_rates.png",
    )  # fmt: skip
    add_settings(rates)
    add_device(rates)

    profile = command("profile", "show where the time and the memory of training go")
    profile.add_argument("config", help="a .toml file")
    profile.add_argument("--steps", type=int, default=20, help="to look at; default 20")
    profile.add_argument(
        "--out", metavar="JSON", default="trace.json",
        help="the trace to write, for https://ui.perfetto.dev; default trace.json",
    )  # fmt: skip
    add_settings(profile)
    add_device(profile)

    verify = command("verify-resume", "prove that stopping and resuming changes no bit of a run")
    verify.add_argument("config", help="a .toml file")
    verify.add_argument("--steps", type=int, default=30, help="how far to train, twice; default 30")
    add_settings(verify)
    add_device(verify)

    demo = command("demo", "run the programs of the lectures; without a name, list them")
    demo.add_argument("name", nargs="?", help="one of the list")
    demo.add_argument("--all", action="store_true", help="every one in a row")
    demo.add_argument(
        "--lang", choices=("en", "ru"), default="en", help="English (en) or Russian (ru)"
    )
    demo.add_argument(
        "--out", metavar="FOLDER", default="demos", help="figures go to FOLDER/NAME; default demos"
    )
    demo.add_argument(
        "--input", action="append", default=[], metavar="FILE",
        help="a file of your own, for those that take one; may be repeated",
    )  # fmt: skip
    demo.add_argument("--source", action="store_true", help="print the program instead")

    bench = command("bench", "measure speed beside PyTorch, JAX and NumPy, in a checkout")
    bench.add_argument(
        "names", nargs="*", metavar="NAME",
        help="workloads and operations, by what their names begin with, e.g. W1 conv-; all if none",
    )  # fmt: skip
    bench.add_argument("--device", help="cpu (the default), auto, cuda or cuda:N")
    bench.add_argument(
        "--against", metavar="PACKAGES", default="torch,jax,numpy",
        help="rivals, of those that are installed; default torch,jax,numpy",
    )  # fmt: skip
    bench.add_argument(
        "--rivals-python", metavar="PATH", default=sys.executable,
        help="an interpreter that has PyTorch or JAX, if this one has not",
    )  # fmt: skip
    bench.add_argument("--json", type=Path, metavar="FILE", help="keep the figures")
    bench.add_argument(
        "--compare", type=Path, metavar="OLD", help="figures kept earlier: faster or slower?"
    )
    bench.add_argument(
        "--quick", action="store_true", help="a few, one short round each: a look, not a result"
    )

    command("info", "show versions, devices, the kernel cache, and why there is no GPU")
    command("warmup", "compile every CUDA kernel for this machine's GPU")
    command("ops", "list every operation, its kernels, dtypes and source")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status: 0, 1 after an error, 130 after Ctrl-C."""
    options: Any = _parser().parse_args(arguments)
    module = importlib.import_module(f"gpunet.cli.{options.command.replace('-', '_')}")
    try:
        return module.run(options)
    except GpunetError as error:
        from gpunet.cli.console import errors

        errors.print(f"[bold red]error[/] {_escaped(error)}", soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


def _escaped(error: GpunetError) -> str:
    from rich.markup import escape

    return escape(str(error))
