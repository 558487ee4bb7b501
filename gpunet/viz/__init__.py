"""The pictures that a training run writes, as PNG files; matplotlib is loaded with the first."""

from gpunet.viz.attention import Looked, attention_page
from gpunet.viz.confusion import confusion_matrix
from gpunet.viz.curves import compare_curves, learning_curve
from gpunet.viz.flow import gradient_flow
from gpunet.viz.maps import feature_maps, filters
from gpunet.viz.overlays import choose_overlays, overlay_page
from gpunet.viz.predictions import choose, prediction_page
from gpunet.viz.rates import learning_rates

__all__ = [
    "Looked",
    "attention_page",
    "choose",
    "choose_overlays",
    "compare_curves",
    "confusion_matrix",
    "feature_maps",
    "filters",
    "gradient_flow",
    "learning_curve",
    "learning_rates",
    "overlay_page",
    "prediction_page",
]
