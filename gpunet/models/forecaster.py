"""A forecast with its uncertainty: a GRU reads what was, and corrects the naive forecast."""

from __future__ import annotations

from gpunet import functional as F
from gpunet import nn
from gpunet.autograd.tensor import Tensor
from gpunet.errors import ArgumentError
from gpunet.functional.check import shape_error
from gpunet.nn import init

LEAST = 1e-3  # of deviations, and of the scale, where nothing changes


class Forecaster(nn.Module):
    """The mean and the variance of each of the next values of a series.

    The naive forecast says the last season again, y_h = x[L − season + h mod season]; with a season
    of 1, the last value. With s, the mean of |x_t − x_{t−season}| in the window, which is how far
    that is off, and m, the mean of x, the GRU reads (x_t − m) / s and (x_t − x_{t−season}) / s.
    Dense layers turn its last state into numbers a and b for each step: the mean is y_h + s·a, the
    deviation s·softplus(b). The last layer begins with zeros, and training with the naive forecast.
    A series in other units has the same forecast, in those.

    Shapes: input (N, L, 1), L more than season; output (N, horizon, 2).

    Args:
        horizon: steps to forecast.
        season: steps after which the series is much as it was.
        hidden: units of the GRU and of the dense layer after it.
        dropout: share of what these layers read that is dropped in training.

    Raises:
        ArgumentError: a size below 1, or dropout outside [0, 1].

    Source: Nix & Weigend, ICNN 1994 (mean and variance by one network); Hyndman & Koehler, Int. J.
    of Forecasting 22, 2006 (the scale).
    """

    def __init__(self, horizon: int = 1, season: int = 1, hidden: int = 32, dropout: float = 0.0):
        sizes = horizon, season, hidden
        if min(sizes) < 1:
            raise ArgumentError("Forecaster", f"sizes must be at least 1, got {sizes}")
        self.horizon, self.season = horizon, season
        self.gru = nn.GRU(2, hidden, batch_first=True)
        self.dense = nn.Linear(hidden, hidden)
        self.dropout = nn.Dropout(dropout)
        self.answer = nn.Linear(hidden, 2 * horizon)
        for parameter in self.answer.parameters():
            init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        season = self.season
        if x.ndim != 3 or x.shape[2] != 1 or x.shape[1] <= season:
            rule = f"x must have shape (N, L, 1) with L more than the season, {season}"
            shape_error("Forecaster", f"{rule}, got {x.shape}")
        change = x[:, season:] - x[:, :-season]
        scale = change.abs().mean(1, keepdim=True).clamp(min=LEAST)
        level = (x - x.mean(1, keepdim=True))[:, season:]
        _, state = self.gru(self.dropout(F.cat([level, change], 2) / scale))
        y = self.answer(self.dropout(F.relu(self.dense(state[0]))))
        a, b = y.reshape(-1, self.horizon, 2).unbind(2)
        repeats = -(-self.horizon // season)
        naive = F.cat([x[:, -season:, 0]] * repeats, 1)[:, : self.horizon]
        mean = naive + scale[:, 0] * a
        deviation = scale[:, 0] * (F.softplus(b) + LEAST)
        return F.stack([mean, deviation * deviation], 2)
