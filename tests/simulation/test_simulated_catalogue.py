"""The simulated sky as a reference catalogue: each source once, with flux, spectral index, size and marks."""

import json
from pathlib import Path

import numpy as np
import pytest

from contimg.common.errors import Misconfigured
from contimg.instrument.dsa110 import BAND
from contimg.simulation import CALIBRATOR, SimulateOptions, plan_tiles, simulate
from contimg.simulation.catalogue import write_sky_catalogue
from contimg.sky.catalogue import SIMULATED, open_catalogue

COUNTS = SimulateOptions(groups=2, sky="counts", faintest_mjy=10.0, gap=2)


def test_catalogue_holds_each_source_of_the_tiles_once(tmp_path: Path) -> None:
    plans = plan_tiles(COUNTS)
    catalogue = write_sky_catalogue(tmp_path / "simulated.catalogue", plans, COUNTS)
    sources = {source.name: source for plan in plans for source in plan.sources}
    assert (catalogue.n_sources, catalogue.kind, catalogue.flux_limit_jy) == (len(sources), SIMULATED, 0.01)
    (rows,) = catalogue.batches(100_000)
    assert set(rows.source_id) == set(sources)
    expected = [float(sources[name].flux_jy(1.3e9)) for name in rows.source_id]
    is_power_law = np.array([len(sources[name].spectrum) == 2 for name in rows.source_id])
    assert rows.flux_at(1.3e9)[is_power_law] == pytest.approx(np.array(expected)[is_power_law], rel=1e-9)
    resolved = {name for name, source in sources.items() if source.shape[0] > 0}
    assert set(rows.source_id[rows.is_resolved]) == resolved
    assert resolved
    halves = [name for name in sources if name.endswith("a")]
    assert halves
    assert rows.is_confused[np.isin(rows.source_id, halves)].mean() > 0.5


def test_calibrator_is_in_the_catalogue_with_its_flux(tmp_path: Path) -> None:
    options = SimulateOptions(groups=1)
    catalogue = write_sky_catalogue(tmp_path / "simulated.catalogue", plan_tiles(options), options)
    cone = catalogue.cone(CALIBRATOR.ra_deg, CALIBRATOR.dec_deg, 0.01)
    assert list(cone.source_id) == ["3C48"]
    assert cone.flux_jy[0] == pytest.approx(float(CALIBRATOR.flux_jy(BAND.centre_hz)))
    assert cone.spectral_index[0] == pytest.approx(-0.85, abs=0.05)


def test_run_writes_its_sky_beside_the_truth(tmp_path: Path) -> None:
    options = SimulateOptions(groups=1, antennas=3, channels=16, integrations=2)
    (tile,) = simulate(options, tmp_path)
    catalogue = open_catalogue(tmp_path / "truth" / "sky.catalogue")
    assert catalogue.n_sources == len(json.loads(tile.truth.read_text())["sources"])
    (tmp_path / "file").touch()
    with pytest.raises(Misconfigured, match="file"):
        next(simulate(options, tmp_path / "file"))
