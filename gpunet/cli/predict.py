"""`gpunet predict`: the class of pictures of any size, with the probability of each."""

from __future__ import annotations

from typing import Any

from rich.markup import escape

from gpunet import data
from gpunet import functional as F
from gpunet.autograd import Tensor, no_grad
from gpunet.cli.console import console, probability_bars
from gpunet.cli.restore import restore


@no_grad()
def run(options: Any) -> int:
    model, config, be = restore(options.run, options.device)
    description = data.describe(config.data.set)
    for image in options.images:
        x = Tensor(be.asarray(data.read_image(image, description.shape, description.framing)), be)
        probabilities = be.to_host(F.softmax(model(x), 1).array)[0]
        answer = description.classes[int(probabilities.argmax())]
        console.print(f"{escape(image)}: [bold green]{escape(answer)}[/]", soft_wrap=True)
        for line in probability_bars(probabilities, description.classes):
            console.print("  " + line, markup=False)
    return 0
