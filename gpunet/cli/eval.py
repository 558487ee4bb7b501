"""`gpunet eval`: accuracy of a trained network on the test set, class by class."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from gpunet import data
from gpunet.cli.console import console
from gpunet.cli.restore import restore
from gpunet.train.metrics import evaluate


def run(options: Any) -> int:
    model, config, be = restore(options.run, options.device)
    test = data.load(config.data.set, "test")
    result = evaluate(model, test, be)
    table = Table("class", box=None, header_style="dim")
    for column in ("examples", "recall", "precision"):
        table.add_column(column, justify="right")
    for k, name in enumerate(test.classes):
        of_class, said = test.targets == k, result.predictions == k
        right = int((of_class & said).sum())
        recall = f"{right / of_class.sum():.2%}" if of_class.any() else "none"
        precision = f"{right / said.sum():.2%}" if said.any() else "never said"
        table.add_row(name, f"{of_class.sum():,}", recall, precision)
    console.print(table)
    wrong = round(len(test) * (1 - result.accuracy))
    console.print(
        f"{config.data.set} test set: accuracy [bold green]{result.accuracy:.2%}[/] "
        f"({wrong:,} of {len(test):,} wrong), loss {result.loss:.4f}"
    )
    return 0
