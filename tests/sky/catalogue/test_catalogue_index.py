"""Cones against a search without an index, marks against separations, units against the source counts."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord

from contimg.common.errors import BadInput, Misconfigured
from contimg.sky.catalogue import (
    MERGED,
    SURVEY,
    CatalogueSources,
    Provenance,
    installed_catalogues,
    open_catalogue,
    reference_catalogue,
    write_catalogue,
)
from contimg.sky.catalogue.build import BuildOptions, build_catalogue
from contimg.sky.catalogue.catalogue import catalogue_path, connected
from contimg.sky.catalogue.check import check_catalogue
from contimg.sky.catalogue.counts import COUNTS_MJY, COUNTS_PER_DEG2
from contimg.sky.catalogue.pixels import NSIDE, cone_ranges

NVSS = Provenance(name="nvss", kind=SURVEY, frequency_hz=1.4e9, beam_deg=45 / 3600, flux_limit_jy=2.5e-3)


def counts_sky(n_sources, rng, ra_deg=(0.0, 360.0), min_dec_deg=-90.0, per_deg2=52.0):
    """Sources of the counts, uniform on the sphere, brighter than the flux with a density."""
    fluxes_jy = 1e-3 * np.exp(
        np.interp(-np.log(per_deg2 * rng.random(n_sources)), -np.log(COUNTS_PER_DEG2), np.log(COUNTS_MJY))
    )
    sin_dec = rng.uniform(np.sin(np.deg2rad(min_dec_deg)), 1.0, n_sources)
    names = [f"S{number}" for number in range(n_sources)]
    ra = rng.uniform(*ra_deg, n_sources) % 360
    return CatalogueSources.of(1.4e9, names, ra, np.rad2deg(np.arcsin(sin_dec)), fluxes_jy, flux_error_jy=5e-4)


@pytest.fixture(scope="module")
def sky(tmp_path_factory):
    sources = counts_sky(20_000, np.random.default_rng(18))
    path = tmp_path_factory.mktemp("catalogues") / "nvss.catalogue"
    halves = (sources[10_000:], sources[:10_000])  # batches in any order
    return sources, write_catalogue(path, halves, NVSS)


@pytest.mark.parametrize(
    ("ra_deg", "dec_deg", "radius_deg"),
    [
        (0.0, 0.0, 5.0), (359.9, 37.0, 8.0), (-0.1, 37.0, 8.0), (123.0, 90.0, 6.0), (10.0, 89.0, 4.0),
        (200.0, -89.5, 10.0), (45.0, 20.0, 0.0), (45.0, 20.0, 120.0), (45.0, 20.0, 180.0),
    ],
)  # fmt: skip
def test_cone_holds_the_sources_within_the_radius(sky, ra_deg, dec_deg, radius_deg):
    sources, catalogue = sky
    positions = SkyCoord(sources.ra_deg, sources.dec_deg, unit="deg")
    separation = positions.separation(SkyCoord(ra_deg, dec_deg, unit="deg")).to_value(units.deg)
    cone = catalogue.cone(ra_deg, dec_deg, radius_deg)
    assert set(cone.source_id) == set(sources.source_id[separation <= radius_deg])
    bright = catalogue.cone(ra_deg, dec_deg, radius_deg, min_flux_jy=0.02)
    assert set(bright.source_id) == set(cone.source_id[cone.flux_jy >= 0.02])


def test_a_cone_without_sources_has_columns(tmp_path, sky):
    sources, _ = sky
    catalogue = write_catalogue(tmp_path / "one.catalogue", sources[:1], NVSS)
    empty = catalogue.cone((sources.ra_deg[0] + 180) % 360, -sources.dec_deg[0], 1.0)
    assert len(empty) == 0
    assert empty.flux_at(1.4e9).shape == empty.is_isolated.shape == (0,)


@pytest.mark.parametrize("cone", [(0.0, 91.0, 1.0), (float("nan"), 0.0, 1.0), (0.0, 0.0, -1.0), (0.0, 0.0, 181.0)])
def test_cone_that_is_none_is_refused(sky, cone):
    with pytest.raises(BadInput):
        sky[1].cone(*cone)


def test_values_come_back(sky):
    sources, catalogue = sky
    batch = next(iter(catalogue.batches()))
    order = np.argsort([int(source_id[1:]) for source_id in batch.source_id])
    stored = batch[order]
    for name in ("ra_deg", "dec_deg", "flux_jy", "flux_error_jy"):
        np.testing.assert_array_equal(getattr(stored, name), getattr(sources, name))
    assert np.isnan(stored.position_error_deg).all()
    assert (stored.spectral_index == -0.7).all()
    assert stored.is_index_assumed.all()
    np.testing.assert_allclose(stored.flux_at(0.7e9), sources.flux_jy * 2**0.7)
    assert catalogue.density().sum() == catalogue.n_sources == 20_000


def test_version_follows_from_the_sources(tmp_path, sky):
    sources, catalogue = sky
    again = write_catalogue(tmp_path / "again.catalogue", sources, NVSS)
    fewer = write_catalogue(tmp_path / "fewer.catalogue", sources[1:], NVSS)
    assert again.version == catalogue.version != fewer.version


@pytest.mark.parametrize(("ra_deg", "dec_deg"), [(180.0, 30.0), (0.0, 0.0), (77.0, 89.999)])
def test_marks_follow_from_neighbours(tmp_path, ra_deg, dec_deg):
    """Pairs across right ascension 0 and around the pole as anywhere else."""
    centre = SkyCoord(ra_deg, dec_deg, unit="deg")
    offsets_arcsec, fluxes_jy = (-20.0, 0.0, 200.0, 600.0, 700.0), (0.2, 1.0, 0.005, 0.1, 0.05)
    places = [centre.directional_offset_by(90 * units.deg, offset * units.arcsec) for offset in offsets_arcsec]
    names = ["near", "bright", "faint", "single", "third"]
    sources = CatalogueSources.of(
        1.4e9, names, [place.ra.deg for place in places], [place.dec.deg for place in places], fluxes_jy
    )
    catalogue = write_catalogue(tmp_path / "pairs.catalogue", sources, NVSS)
    rows = catalogue.cone(ra_deg, dec_deg, 1.0)
    confused = dict(zip(rows.source_id, rows.is_confused, strict=True))
    isolated = dict(zip(rows.source_id, rows.is_isolated, strict=True))
    assert confused == {"near": True, "bright": True, "faint": False, "single": False, "third": False}
    # 200 arcsec are more than three beams of 45; 100 are less, and 0.05 Jy disturb 0.1 Jy.
    assert isolated == {"near": False, "bright": False, "faint": True, "single": False, "third": False}


def test_fluxes_in_the_wrong_unit_are_refused_with_the_ratio(tmp_path):
    sources = counts_sky(3000, np.random.default_rng(3), (355.0, 365.0), 84.0)
    rows = zip(sources.source_id, sources.ra_deg, sources.dec_deg, 1e3 * sources.flux_jy, strict=True)
    table, path = tmp_path / "site.csv", tmp_path / "site.catalogue"
    table.write_text("name,ra,dec,flux\n" + "".join(f"{n},{ra:.6f},{dec:.6f},{s:.4f}\n" for n, ra, dec, s in rows))
    area_per_deg2 = len(sources) / (10 * np.rad2deg(1 - np.sin(np.deg2rad(84.0))))
    assert area_per_deg2 > 500  # far denser than the counts, yet the unit shows
    options = {
        "columns": {"source_id": "name", "ra": "ra", "dec": "dec", "flux": "flux"}, "frequency_hz": 1.4e9,
        "beam_arcsec": 45.0,
    }  # fmt: skip
    with pytest.raises(BadInput, match=r"fluxes are \d{3,}") as refusal:
        build_catalogue(path, "site", table, BuildOptions(flux_unit="Jy", **options))
    ratio = float(str(refusal.value).split("fluxes are ")[1].split(" ")[0])
    assert ratio > 1000
    assert not path.exists()


def test_list_of_chosen_sources_need_not_fit_the_counts(tmp_path):
    sources = counts_sky(2000, np.random.default_rng(6))  # all over the sky: hardly one of a thousand
    table, path = tmp_path / "chosen.csv", tmp_path / "chosen.catalogue"
    rows = zip(sources.ra_deg, sources.dec_deg, sources.flux_jy, strict=True)
    table.write_text("ra,dec,flux\n" + "".join(f"{ra:.6f},{dec:.6f},{flux:.6f}\n" for ra, dec, flux in rows))
    options = BuildOptions(
        columns={"ra": "ra", "dec": "dec", "flux": "flux"}, frequency_hz=1.4e9, beam_arcsec=45.0, flux_unit="Jy"
    )
    with pytest.raises(BadInput, match="--incomplete"):
        build_catalogue(path, "chosen", table, options)
    chosen = build_catalogue(path, "chosen", table, replace(options, is_complete=False))
    assert chosen.count_ratio < 0.1
    assert check_catalogue(chosen).faults == ()


@pytest.mark.parametrize(("frequency_hz", "factor"), [(1.4e9, 1.0), (3e9, (3 / 1.4) ** -0.7), (887.5e6, 1.376)])
def test_counts_are_scaled_to_the_frequency(tmp_path, frequency_hz, factor):
    sources = counts_sky(5000, np.random.default_rng(4), (350.0, 370.0), 75.0, 52.0)
    area_deg2 = 20 * np.rad2deg(1 - np.sin(np.deg2rad(75.0)))
    sources = sources[: round(52 * area_deg2)]
    fluxes_jy = sources.flux_jy * factor
    scaled = CatalogueSources.of(frequency_hz, sources.source_id, sources.ra_deg, sources.dec_deg, fluxes_jy)
    kind = {"name": "a", "kind": SURVEY, "beam_deg": 0.01, "flux_limit_jy": 0.0, "frequency_hz": frequency_hz}
    good = write_catalogue(tmp_path / "good.catalogue", scaled, Provenance(**kind), is_checked=True)
    assert good.count_ratio == pytest.approx(1.0, abs=0.35)
    assert check_catalogue(good).faults == ()
    wrong = CatalogueSources.of(frequency_hz, sources.source_id, sources.ra_deg, sources.dec_deg, 1e3 * fluxes_jy)
    written = write_catalogue(tmp_path / "wrong.catalogue", wrong, Provenance(**kind))
    assert written.count_ratio == pytest.approx(1e3 * good.count_ratio)
    assert len(check_catalogue(written).faults) == 1


def test_reference_is_the_named_the_only_or_the_newest_merged(tmp_path, sky):
    sources, _ = sky
    assert reference_catalogue(tmp_path) is None
    written = {}
    for name, kind in (("nvss", SURVEY), ("racs", SURVEY), ("old", MERGED), ("new", MERGED)):
        provenance = Provenance(name=name, kind=kind, frequency_hz=1.4e9, beam_deg=0.01, flux_limit_jy=0.0)
        written[name] = write_catalogue(catalogue_path(tmp_path, name), sources[:10], provenance).path
        expected = {"nvss": "nvss", "racs": None, "old": "old", "new": "new"}[name]
        assert reference_catalogue(tmp_path) == (written[expected] if expected else None)
    assert set(installed_catalogues(tmp_path)) == set(written.values())
    assert reference_catalogue(tmp_path, "racs") == written["racs"]
    assert reference_catalogue(tmp_path / "other", str(written["racs"])) == written["racs"]
    with pytest.raises(Misconfigured, match="first"):
        reference_catalogue(tmp_path, "first")


def test_damaged_files_are_refused(tmp_path, sky):
    path = tmp_path / "a.catalogue"
    with pytest.raises(Misconfigured):
        open_catalogue(path)
    path.write_bytes(b"no database at all, and long enough to have a header of SQLite" * 10)
    with pytest.raises(Misconfigured):
        open_catalogue(path)
    path.write_bytes(sky[1].path.read_bytes()[: 100 * 4096])
    with pytest.raises(Misconfigured):
        check_catalogue(open_catalogue(path))


@pytest.mark.parametrize("values", [{"flux_jy": [np.nan]}, {"dec_deg": [95.0]}, {"ra_deg": [np.inf]}])
def test_a_source_without_position_or_flux_is_refused(tmp_path, values):
    columns = {"ra_deg": [1.0], "dec_deg": [2.0], "flux_jy": [0.1]} | values
    with pytest.raises(BadInput, match="source x"):
        write_catalogue(tmp_path / "a.catalogue", CatalogueSources.of(1.4e9, ["x"], **columns), NVSS)
    with pytest.raises(BadInput, match="no source"):
        write_catalogue(tmp_path / "a.catalogue", [], NVSS)


@pytest.mark.long
def test_two_million_sources_within_the_limits():
    """A minute for the build, 50 ms for a cone of 2 degrees, memory that hardly grows: the benchmark's limits."""
    script = Path(__file__).parents[3] / "benchmarks" / "bench_catalogue.py"
    measured = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert measured.returncode == 0, measured.stdout


def test_cone_reads_a_part_of_the_file(sky):
    """The index bounds the rows that a cone reads, whatever the size of the catalogue."""
    _, catalogue = sky
    for ra_deg, dec_deg in ((0.0, 20.0), (200.0, 89.0)):
        ranges = cone_ranges(ra_deg, dec_deg, 2.0)
        with connected(catalogue.path) as connection:
            plans = connection.execute(
                "EXPLAIN QUERY PLAN SELECT * FROM sources WHERE healpix >= ? AND healpix < ?", ranges[0].tolist()
            ).fetchall()
        assert "SEARCH sources USING PRIMARY KEY" in plans[0][3]
        area_deg2 = np.diff(ranges, axis=1).sum() * 4 * 180**2 / np.pi / (12 * NSIDE**2)
        assert area_deg2 < 2 * np.pi * 2.0**2
