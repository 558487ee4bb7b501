"""What a run can learn, a file a task; a configuration names it: `task = "classification"`.

A further task is a subclass of `Task` in a module of its own and a line here.
"""

from gpunet.train.tasks.classification import Classification
from gpunet.train.tasks.forecasting import Forecasting
from gpunet.train.tasks.language_model import LanguageModel
from gpunet.train.tasks.segmentation import Segmentation
from gpunet.train.tasks.task import Carried, Evaluation, Prediction, Table, Task
from gpunet.train.tasks.text_classification import TextClassification
from gpunet.train.tasks.translation import Translation

TASKS: dict[str, type[Task]] = {
    "classification": Classification,
    "forecasting": Forecasting,
    "language_model": LanguageModel,
    "segmentation": Segmentation,
    "text_classification": TextClassification,
    "translation": Translation,
}

__all__ = [
    "TASKS",
    "Carried",
    "Classification",
    "Evaluation",
    "Forecasting",
    "LanguageModel",
    "Prediction",
    "Segmentation",
    "Table",
    "Task",
    "TextClassification",
    "Translation",
]
