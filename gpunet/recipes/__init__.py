"""The lectures, alive: each module with `ROWS` is a demonstration, a program to be read and run.

>>> from gpunet import recipes
>>> recipes.find("gates").title
'Gates from one neuron, and XOR from two layers'
"""

from gpunet.recipes.catalogue import TOPICS, Demonstration, demonstrations, find, topic
from gpunet.recipes.show import Results, Show, translation

__all__ = [
    "TOPICS",
    "Demonstration",
    "Results",
    "Show",
    "demonstrations",
    "find",
    "topic",
    "translation",
]
