"""The ways an LSTM goes through its steps: which is taken, and that all of them agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench.kernels import launches
from gpunet import backend
from gpunet.backend.cuda.device import Limits
from gpunet.backend.cuda.recurrent import WORK, WholeGrid, whole_grid
from tests.kernels import needs
from tests.kernels.host.gpu import HostGPU, pretended

H100 = Limits(132, 2048, 227 << 10)
T4 = Limits(40, 1024, 64 << 10)
SMALL = Limits(6, 512, 4 << 10)


def test_the_grid_of_the_layer_that_it_is_made_for() -> None:
    # Each block keeps 16 of 512 units, 128 kB of the weights, for 16 of 64 sequences.
    assert whole_grid(H100, 64, 512, 4) == WholeGrid(16, 16, (32, 4), 128 << 10)


@pytest.mark.parametrize("limits", [H100, T4, SMALL], ids=["H100", "T4", "small"])
@pytest.mark.parametrize("batch", [1, 5, 64, 1000])
@pytest.mark.parametrize("units", [1, 7, 64, 512, 2048])
@pytest.mark.parametrize("itemsize", [2, 4, 8])
def test_grids_cover_everything_and_run_at_once(
    limits: Limits, batch: int, units: int, itemsize: int
) -> None:
    found = whole_grid(limits, batch, units, itemsize)
    all_weights = 4 * units * units * itemsize
    if found is None:
        # Too much for all blocks together, or would be too slow; roundings to 4 count too.
        padded = all_weights * (units + 4 * limits.processors) / units
        work = 4 * units * (units + 4 * limits.processors) * (batch + 4) / limits.processors
        assert padded > limits.shared * limits.processors / 2 or work > WORK / 2
        return
    across, down = found.grid
    assert found.width % 4 == found.height % 4 == 0
    assert (across - 1) * found.width < units <= across * found.width
    assert (down - 1) * found.height < batch <= down * found.height
    assert across * down <= limits.processors
    assert found.shared == 4 * units * found.width * itemsize <= limits.shared


WAYS = {
    "lstm_{}_sequence": Limits(6, 512, 48 << 10),
    "lstm_{}_persistent": Limits(4, 512, 48 << 10),  # fewer blocks than sequences
    "lstm_{}": Limits(4, 512, 100),
}


def arrays(be: Any, lengths: bool) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    steps, batch, units = 4, 5, 6
    shapes = dict(z=(steps, batch, 4 * units), bias=(4 * units,), w=(4 * units, units))
    shapes |= dict(h_0=(batch, units), c_0=(batch, units), gy=(steps, batch, units))
    shapes |= dict(gh=(batch, units), gc=(batch, units))
    made = {name: rng.normal(0, 0.5, shape).astype("float32") for name, shape in shapes.items()}
    found: dict[str, Any] = {name: be.asarray(x) for name, x in made.items()}
    found["lengths"] = be.asarray(np.array([4, 2, 1, 3, 4])) if lengths else None
    return found


def through(be: Any, lengths: bool, reverse: bool) -> list[Any]:
    """What an LSTM gives forward and backward."""
    x = arrays(be, lengths)
    state, rest = (x["h_0"], x["c_0"], x["lengths"], reverse), (x["w"], None)
    y, h, c, gates, cells = be.recurrent.lstm_fwd(x["z"], x["bias"], *rest, *state, True)
    incoming = x["gy"], x["gh"], x["gc"], cells, x["c_0"]
    gz, gh, gc, _ = be.recurrent.lstm_bwd(gates, *incoming, *rest, x["lengths"], reverse)
    return [be.to_host(array) for array in (y, h, c, gz, gh, gc)]


@needs.compiler
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("lengths", [False, True], ids=["all", "ends"])
@pytest.mark.parametrize(("name", "limits"), WAYS.items(), ids=WAYS)
def test_all_ways_agree_with_the_cpu(
    name: str, limits: Limits, lengths: bool, reverse: bool
) -> None:
    gpu = HostGPU()
    gpu.limits = limits
    with pretended(gpu):
        be = backend.get("cuda:0")
        with launches(be) as found:
            results = through(be, lengths, reverse)
    names = {name.format("fwd"), name.format("bwd")}
    assert names == {launch.kernel for launch in found}
    expected = through(backend.cpu, lengths, reverse)
    for here, there in zip(results, expected, strict=True):
        np.testing.assert_allclose(here, there, rtol=1e-5, atol=1e-6)
