"""The pictures that a training run writes, as PNG files; matplotlib is loaded with the first."""

from gpunet.viz.confusion import confusion_matrix
from gpunet.viz.curves import learning_curve
from gpunet.viz.predictions import choose, prediction_page
from gpunet.viz.rates import learning_rates

__all__ = ["choose", "confusion_matrix", "learning_curve", "learning_rates", "prediction_page"]
