"""Light curves of simulated variables, in tables and in drift scans."""

import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from contimg.common.errors import Misconfigured
from contimg.instrument.dsa110 import BAND
from contimg.simulation import SimulateOptions, plan_tiles, simulate
from contimg.simulation.sky import power_law
from contimg.simulation.variables import (
    MeasurementErrors,
    flare,
    measure_table,
    read_variables,
    scatter,
    scintillate,
    write_variables,
)
from contimg.sky.catalogue import open_catalogue

RNG = np.random.default_rng(21)
MJD = 61000 + np.arange(60.0)
SIZE = {"groups": 1, "antennas": 3, "channels": 16, "integrations": 2, "noise": False, "corrupt": False}


def test_scintillation_has_its_rms_and_correlation() -> None:
    factor = np.array([scintillate(MJD, 0.1, 5.0, RNG) for _ in range(400)]) - 1
    assert np.std(factor) == pytest.approx(0.1, rel=0.05)
    assert np.mean(factor[:, 5:] * factor[:, :-5]) / 0.01 == pytest.approx(np.exp(-1), abs=0.07)


def test_scattering_event_is_flat_with_brighter_edges() -> None:
    factor = scatter(MJD, 61030.0, 10.0, 0.4)
    assert factor[25:36] == pytest.approx(0.6)
    assert factor[23:25].max() > 1.05
    assert factor[:20] == pytest.approx(1.0)


def test_flare_rises_and_decays() -> None:
    factor = flare(MJD, 61010.0, 10.0, 0.5)
    assert factor[:11] == pytest.approx(1.0)
    assert factor[12] == pytest.approx(1.5)
    assert factor[22] == pytest.approx(1 + 0.5 / np.e)


def test_table_has_noise_outliers_and_gaps() -> None:
    steady, rms = np.full(4000, 0.02), np.full(4000, 1e-3)
    errors = MeasurementErrors(scale_rms=0.0, scatter_rms=0.0, soft_fraction=0.0, blended_fraction=0.0, outliers=0.01,
                               outlier_sigma=20.0)  # fmt: skip
    table = measure_table(steady, np.ones((4000, 10)), MJD[:10], rms, RNG, errors)
    pulls = (table.flux_jy - 0.02) / table.error_jy
    assert 1.4826 * np.nanmedian(np.abs(pulls)) == pytest.approx(1.0, abs=0.03)
    assert np.nanmean(np.abs(pulls) > 10) == pytest.approx(0.01, rel=0.2)
    assert np.isnan(table.flux_jy).mean() == pytest.approx(0.05, rel=0.1)
    bad = measure_table(steady, np.ones((4000, 10)), MJD[:10], rms, RNG, replace(errors, bad_epochs=(3,)))
    assert np.nanstd(bad.flux_jy[:, 3]) > 1.5 * np.nanstd(bad.flux_jy[:, 4])


def test_scan_has_the_flux_of_the_day(tmp_path: Path) -> None:
    """The files' visibilities and the truth follow the factor; the reference catalogue keeps the steady flux."""
    plan = plan_tiles(SimulateOptions(**SIZE))[0]
    source = power_law("flaring", plan.centre_ra_deg, plan.centre_dec_deg, 40.0, -0.7)
    table = tmp_path / "variables.csv"
    write_variables(table, {"flaring": [0.5, 2.0], "3C48": [1e-6, 1e-6]}, [61000.0, 61100.0], [source])
    options = SimulateOptions(**SIZE, date="2026-02-28", variable_sources=str(table))
    (tile,) = simulate(options, tmp_path / "scan")
    truth = {row["name"]: row for row in json.loads(tile.truth.read_text())["sources"]}
    expected = float(np.interp(tile.plan.mid_jd - 2400000.5, [61000, 61100], [0.5, 2.0]))
    assert truth["flaring"]["flux_factor"] == pytest.approx(expected)
    assert truth["flaring"]["flux_jy"] == pytest.approx(40.0 * expected)
    with h5py.File(tile.files[8]) as file:
        assert np.abs(file["Data/visdata"][:]).max() == pytest.approx(40.0 * expected, rel=0.05)
    sources = open_catalogue(tmp_path / "scan" / "truth" / "sky.catalogue").cone(source.ra_deg, source.dec_deg, 0.01)
    assert sources.flux_at(BAND.centre_hz)[list(sources.source_id).index("flaring")] == pytest.approx(40.0)
    assert read_variables(table).at([source], 60000.0)[0].flux_factor == pytest.approx(0.5)


def test_table_that_is_wrong_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "variables.csv"
    for text in ("name,mjd\n3C48,61000\n", "name,mjd,factor\n3C48,61000,-1\n", "name,mjd,factor\n3C48,now,1\n"):
        path.write_text(text)
        with pytest.raises(Misconfigured, match="row 2"):
            read_variables(path)
    path.write_text("name,mjd,factor\nnowhere,61000,2\n")
    with pytest.raises(Misconfigured, match="nowhere"):
        plan_tiles(SimulateOptions(**SIZE, variable_sources=str(path)))
    with pytest.raises(Misconfigured, match="missing"):
        read_variables(tmp_path / "missing.csv")
