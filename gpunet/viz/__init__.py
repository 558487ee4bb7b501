"""The pictures that a training run writes, as PNG files; matplotlib is loaded with the first."""

from gpunet.viz.confusion import confusion_matrix
from gpunet.viz.curves import learning_curve
from gpunet.viz.predictions import choose, prediction_page

__all__ = ["choose", "confusion_matrix", "learning_curve", "prediction_page"]
