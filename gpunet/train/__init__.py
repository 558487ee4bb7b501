"""Training: configurations, the trainer, run folders, checkpoints, metrics."""

from gpunet.train.callbacks import Callback
from gpunet.train.metrics import Evaluation, evaluate
from gpunet.train.run import Run
from gpunet.train.trainer import Trainer

__all__ = ["Callback", "Evaluation", "Run", "Trainer", "evaluate"]
