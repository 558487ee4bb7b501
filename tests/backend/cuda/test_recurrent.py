"""The ways an LSTM or GRU goes through its steps: which is taken, and that all of them agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench.kernels import launches
from gpunet import backend
from gpunet.backend.cuda import recurrent
from gpunet.backend.cuda.device import Limits
from gpunet.backend.cuda.recurrent import WORK, WholeGrid, whole_grid
from tests.kernels import needs
from tests.kernels.host.gpu import HostGPU, pretended

H100 = Limits(132, 2048, 227 << 10)
T4 = Limits(40, 1024, 64 << 10)
SMALL = Limits(6, 512, 4 << 10)


def test_the_grid_of_the_layer_that_it_is_made_for() -> None:
    # Each block keeps 16 of 512 units, 128 kB of the weights, for 16 of 64 sequences.
    assert whole_grid(H100, 64, 512, 4, 4) == WholeGrid(16, 16, (32, 4), 128 << 10)
    # Of a GRU with 32 sequences 32 units, 192 kB of the weights, for 4 of them.
    assert whole_grid(H100, 32, 512, 3, 4) == WholeGrid(32, 4, (16, 8), 192 << 10)


@pytest.mark.parametrize("limits", [H100, T4, SMALL], ids=["H100", "T4", "small"])
@pytest.mark.parametrize("batch", [1, 5, 64, 1000])
@pytest.mark.parametrize("units", [1, 7, 64, 512, 2048])
@pytest.mark.parametrize("gates", [3, 4])
@pytest.mark.parametrize("itemsize", [2, 4, 8])
def test_grids_cover_everything_and_run_at_once(
    limits: Limits, batch: int, units: int, gates: int, itemsize: int
) -> None:
    found = whole_grid(limits, batch, units, gates, itemsize)
    all_weights = gates * units * units * itemsize
    if found is None:
        # Too much for all blocks together, or would be too slow; roundings to 4 count too.
        padded = all_weights * (units + 4 * limits.processors) / units
        work = gates * units * (units + 4 * limits.processors) * (batch + 4) / limits.processors
        assert padded > limits.shared * limits.processors / 2 or work > WORK / 2
        return
    across, down = found.grid
    assert found.width % 4 == found.height % 4 == 0
    assert (across - 1) * found.width < units <= across * found.width
    assert (down - 1) * found.height < batch <= down * found.height
    assert across * down <= limits.processors
    assert found.shared == gates * units * found.width * itemsize <= limits.shared


FITS = Limits(4, 512, 48 << 10)  # fewer blocks than sequences
SCARCE = Limits(4, 512, 100)
WAYS = {
    "lstm_{}_sequence": Limits(6, 512, 48 << 10),
    "lstm_{}_persistent": FITS,
    "lstm_{}": SCARCE,
    "gru_{}_persistent": FITS,
    "gru_{}": SCARCE,
}


def arrays(be: Any, gates: int, steps: int, lengths: bool) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    batch, units = 5, 6
    shapes = dict(z=(steps, batch, gates * units), w=(gates * units, units), bias=(4 * units,))
    shapes |= dict(h_0=(batch, units), c_0=(batch, units), gy=(steps, batch, units))
    shapes |= dict(gh=(batch, units), gc=(batch, units))
    made = {name: rng.normal(0, 0.5, shape).astype("float32") for name, shape in shapes.items()}
    found: dict[str, Any] = {name: be.asarray(x) for name, x in made.items()}
    found["lengths"] = be.asarray(np.array([4, 2, 1, 3, 4])) if lengths else None
    return found


def lstm(be: Any, x: dict[str, Any], reverse: bool) -> tuple[Any, ...]:
    """What an LSTM gives forward and backward."""
    state, rest = (x["h_0"], x["c_0"], x["lengths"], reverse), (x["w"], None)
    y, h, c, gates, cells = be.recurrent.lstm_fwd(x["z"], x["bias"], *rest, *state, True)
    incoming = x["gy"], x["gh"], x["gc"], cells, x["c_0"]
    gz, gh, gc, _ = be.recurrent.lstm_bwd(gates, *incoming, *rest, x["lengths"], reverse)
    return y, h, c, gz, gh, gc


def gru(be: Any, x: dict[str, Any], reverse: bool) -> tuple[Any, ...]:
    rest = x["h_0"], x["lengths"], reverse
    y, h, gates, q = be.recurrent.gru_fwd(x["z"], x["bias"], x["w"], *rest)
    incoming = gates, x["gy"], x["gh"], q, y, x["h_0"]
    return y, h, *be.recurrent.gru_bwd(*incoming, x["w"], x["lengths"], reverse)


def through(be: Any, name: str, steps: int, lengths: bool, reverse: bool) -> list[Any]:
    layer, gates = (lstm, 4) if name.startswith("lstm") else (gru, 3)
    return [be.to_host(x) for x in layer(be, arrays(be, gates, steps, lengths), reverse)]


def agree(name: str, limits: Limits, *how: Any) -> None:
    """A layer goes through the kernels of this name, and gives what it gives on the CPU."""
    gpu = HostGPU()
    gpu.limits = limits
    with pretended(gpu):
        be = backend.get("cuda:0")
        with launches(be) as found:
            results = through(be, name, *how)
    names = {name.format("fwd"), name.format("bwd")}
    assert names == {launch.kernel for launch in found}
    for here, there in zip(results, through(backend.cpu, name, *how), strict=True):
        np.testing.assert_allclose(here, there, rtol=1e-5, atol=1e-6)


@needs.compiler
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("lengths", [False, True], ids=["all", "ends"])
@pytest.mark.parametrize(("name", "limits"), WAYS.items(), ids=WAYS)
def test_all_ways_agree_with_the_cpu(
    name: str, limits: Limits, lengths: bool, reverse: bool
) -> None:
    agree(name, limits, 4, lengths, reverse)


@needs.compiler
@pytest.mark.parametrize("name", ["lstm_{}", "gru_{}"])
def test_a_single_step_is_no_whole_grid(name: str) -> None:
    agree(name, FITS, 1, False, False)


@needs.compiler
def test_many_weights_are_not_read_by_one_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recurrent, "READ", 4 * 6 * 6 * 4 - 1)  # a byte less than there is
    agree("lstm_{}_persistent", WAYS["lstm_{}_sequence"], 4, False, False)
