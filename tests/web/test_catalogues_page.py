"""Reference catalogues in page, API, attention and doctor: what they cover of the survey's strip."""

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from judges import require
from page_scans import scan_columns, scan_page
from survey import Survey
from test_browser import assert_nothing_sticks_out, chromium

from contimg.settings import AlertLimits, DispatchSettings, Settings, load
from contimg.sky.catalogue import SURVEY, CatalogueSources, Provenance, write_catalogue
from contimg.sky.catalogue.catalogue import catalogue_path
from contimg.sky.coverage import find_covered, measure_density, measure_strip_coverage
from contimg.store.activity.remedies import ALERTS
from workers.doctor import storage
from workers.housekeeping.alerts import AlertEvaluator
from workers.housekeeping.catalogue import check_tiles

if TYPE_CHECKING:
    from playwright import sync_api

require("axe", allow_module_level=True)
axe_playwright = importlib.import_module("axe_playwright_python.sync_playwright")
__all__ = ["chromium"]
ATTRIBUTES = {"kind": SURVEY, "frequency_hz": 1.4e9, "beam_deg": 0.0125, "flux_limit_jy": 0.01}


def install(settings: Settings, name: str, low_deg: float, high_deg: float, count: int = 40_000) -> Path:
    """Install a catalogue of sources all around between two declinations."""
    rng = np.random.default_rng(5)
    sines = rng.uniform(*np.sin(np.deg2rad([low_deg, high_deg])), count)
    sources = CatalogueSources.of(
        1.4e9, [f"S{number}" for number in range(count)], rng.uniform(0, 360, count), np.rad2deg(np.arcsin(sines)), 0.02
    )
    path = catalogue_path(settings.state_dir, name)
    return write_catalogue(path, sources, Provenance(name=name, source_table=f"/data/{name}.fits", **ATTRIBUTES)).path


@pytest.fixture(scope="module")
def settings(survey: Survey) -> Settings:
    panel: Settings = survey.client.application.extensions["contimg"].settings
    return panel


@pytest.fixture(scope="module")
def north(survey: Survey, settings: Settings) -> Path:
    """Catalogue of the north, where the survey observes, installed as the only one."""
    assert "No catalogue is installed" in survey.client.get("/catalogues").text
    assert survey.client.get("/api/catalogues").get_json()["catalogues"] == []
    return install(settings, "north", 0.0, 90.0)


def test_api_gives_provenance_and_coverage(survey: Survey, north: Path) -> None:
    answer = survey.client.get("/api/catalogues").get_json()
    (row,) = answer["catalogues"]
    assert (answer["reference"], answer["problem"]) == ("north", None)
    assert {name: row[name] for name in ("name", "kind", "n_sources", "is_reference", "strip_fraction")} == {
        "name": "north", "kind": "survey", "n_sources": 40_000, "is_reference": True, "strip_fraction": 1.0,
    }  # fmt: skip
    assert (row["source_table"], row["path"]) == ("/data/north.fits", str(north))


def test_page_draws_density_and_strip(survey: Survey, north: Path) -> None:
    html = survey.client.get("/catalogues").text
    levels = re.findall(r'<rect class="level-(\d)" x="[\d.]+%" y="([\d.]+)%"', html)
    assert {level for level, _ in levels} == {"1", "2", "3", "4"}
    assert all(float(y) < 50.1 for _, y in levels)  # none south of the equator
    assert "40\u202f000" in html
    assert 'class="strip"' in html


def test_coverage_of_directions_strips_and_cells(settings: Settings, tmp_path: Path) -> None:
    sources = CatalogueSources.of(1.4e9, ["a", "b"], [0.0, 359.0], [60.0, 89.5], 0.1)
    catalogue = write_catalogue(tmp_path / "two.catalogue", sources, Provenance(name="two", **ATTRIBUTES))
    assert find_covered(catalogue, [0.5, 359.5, 180.0, 100.0], [60.0, 60.0, 60.0, 89.9]).tolist() == [
        True, True, False, True,
    ]  # fmt: skip
    assert 0.0 < measure_strip_coverage(catalogue, 60.0) < 0.05
    density = measure_density(catalogue, 3.0)
    assert density.shape == (60, 120)
    assert density.max() == pytest.approx(12 * 32**2 / 41252.96, rel=1e-4)


def test_strip_outside_the_catalogue_warns_everywhere(survey: Survey, settings: Settings, north: Path) -> None:
    config = load(settings)
    assert storage.check_catalogue(settings, config).level == "ok"
    assert check_tiles(survey.store, north).covered == 12
    assert check_tiles(survey.store, None) is None
    evaluator = AlertEvaluator(
        survey.store, DispatchSettings(), AlertLimits(), find_catalogue=lambda: settings.reference_path
    )
    evaluator.evaluate()
    assert "catalogue" not in {alert.rule for alert in survey.store.alerts.active()}
    north.rename(north.with_suffix(".hidden"))
    south = install(settings, "south", -90.0, -30.0)
    try:
        evaluator.evaluate()
        finding = storage.check_catalogue(settings, config)
        assert (finding.level, "south" in finding.text, "12 of the last 12" in finding.text) == ("warning", True, True)
        (alert,) = (alert for alert in survey.store.alerts.active() if alert.rule == "catalogue")
        assert (alert.level, "outside catalogue south" in alert.text) == ("warning", True)
        assert ALERTS["catalogue"].text in survey.client.get("/").text
        assert "outside catalogue south" in survey.client.get("/api/catalogues").get_json()["problem"]
        assert "outside catalogue south" in survey.client.get("/catalogues").text
        south.write_bytes(b"not a catalogue")
        evaluator.evaluate()
        assert storage.check_catalogue(settings, config).level == "error"
        assert survey.client.get("/catalogues").status_code == 200
    finally:
        south.unlink()
        north.with_suffix(".hidden").rename(north)
    evaluator.evaluate()
    assert "catalogue" not in {alert.rule for alert in survey.store.alerts.active()}


@pytest.fixture(scope="module")
def page(chromium: "sync_api.Browser") -> Iterator["sync_api.Page"]:
    page = chromium.new_page()
    yield page
    page.close()


@pytest.mark.parametrize("width", [1440, 390])
def test_catalogue_page_fits_and_is_accessible(page: "sync_api.Page", survey: Survey, north: Path, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(f"{survey.url}/catalogues", wait_until="domcontentloaded")
    assert_nothing_sticks_out(page)
    violations: dict[str, str] = dict.fromkeys(scan_columns(page), "columns")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        results = axe_playwright.Axe().run(page)
        violations |= {f"{scheme} {row['id']}": row["help"] for row in results.response["violations"]}
    violations |= dict.fromkeys(scan_page(page) if width == 1440 else [], "units")
    assert violations == {}
