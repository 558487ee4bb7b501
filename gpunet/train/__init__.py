"""Training: configurations, tasks, the trainer, run folders, checkpoints."""

from gpunet.train.callbacks import Callback
from gpunet.train.run import Run
from gpunet.train.tasks import Evaluation, Task
from gpunet.train.trainer import Trainer

__all__ = ["Callback", "Evaluation", "Run", "Task", "Trainer"]
