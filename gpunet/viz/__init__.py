"""The pictures of gpunet, as PNG files; matplotlib is loaded with the first.

`style.use("dark")` draws all that follow light on dark.
"""

from gpunet.viz import style
from gpunet.viz.attention import Looked, attention_page
from gpunet.viz.boundary import decision_boundary
from gpunet.viz.confusion import confusion_matrix
from gpunet.viz.curves import compare_curves, learning_curve, overfitting_point
from gpunet.viz.flow import gradient_flow
from gpunet.viz.forecasts import choose_stretches, forecasts
from gpunet.viz.functions import function_curves
from gpunet.viz.graph import graph
from gpunet.viz.lines import lines
from gpunet.viz.maps import feature_maps, filters
from gpunet.viz.overlays import choose_overlays, overlay_page
from gpunet.viz.predictions import choose, prediction_page
from gpunet.viz.projection import pca, projection, tsne
from gpunet.viz.rates import learning_rates
from gpunet.viz.sentences import Sentence, sentence_page
from gpunet.viz.spread import activation_spread
from gpunet.viz.surface import loss_surface

__all__ = [
    "Looked",
    "Sentence",
    "activation_spread",
    "attention_page",
    "choose",
    "choose_overlays",
    "choose_stretches",
    "compare_curves",
    "confusion_matrix",
    "decision_boundary",
    "feature_maps",
    "filters",
    "forecasts",
    "function_curves",
    "gradient_flow",
    "graph",
    "learning_curve",
    "learning_rates",
    "lines",
    "loss_surface",
    "overfitting_point",
    "overlay_page",
    "pca",
    "prediction_page",
    "projection",
    "sentence_page",
    "style",
    "tsne",
]
