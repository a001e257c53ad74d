"""Merging: every source once, identified on the sphere, in any order of right ascension."""

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord

from contimg.common.errors import BadInput
from contimg.sky.catalogue import MERGED, SURVEY, CatalogueSources, Provenance, write_catalogue
from contimg.sky.catalogue.merge import merge_catalogues

FREQUENCY_HZ = {"nvss": 1.4e9, "racs": 887.5e6, "vlass": 3e9}
BEAM_ARCSEC = {"nvss": 45.0, "racs": 25.0, "vlass": 2.5}
ERROR_ARCSEC = {"nvss": 1.5, "racs": 0.7, "vlass": 0.2}


def write(tmp_path, name, positions, fluxes_jy, **columns):
    names = [f"{name[0].upper()}{number}" for number in range(len(positions))]
    sources = CatalogueSources.of(
        FREQUENCY_HZ[name], names, positions.ra.deg, positions.dec.deg, fluxes_jy,
        position_error_deg=ERROR_ARCSEC[name] / 3600, flux_error_jy=0.03 * np.asarray(fluxes_jy), **columns,
    )  # fmt: skip
    provenance = Provenance(
        name=name, kind=SURVEY, frequency_hz=FREQUENCY_HZ[name], beam_deg=BEAM_ARCSEC[name] / 3600, flux_limit_jy=0.01
    )
    return write_catalogue(tmp_path / f"{name}.catalogue", sources, provenance)


@pytest.mark.parametrize(("ra_deg", "dec_deg"), [(150.0, 20.0), (0.0, 37.0), (30.0, 90.0), (0.0, -89.9)])
def test_sources_are_identified_across_catalogues(tmp_path, ra_deg, dec_deg):
    """200 sources of one field: 150 in both surveys, 25 in each alone; the pixels' borders run through the field."""
    rng = np.random.default_rng(7)
    centre = SkyCoord(ra_deg, dec_deg, unit="deg")
    grid = centre.directional_offset_by(np.arange(200) * 27.0 * units.deg, 0.4 * np.sqrt(np.arange(200)) * units.deg)
    fluxes_jy, index = rng.uniform(0.05, 1.0, 200), rng.uniform(-1.2, -0.2, 200)

    def observed(name, chosen):
        shifted = grid[chosen].directional_offset_by(
            rng.uniform(0, 360, len(chosen)) * units.deg, ERROR_ARCSEC[name] * units.arcsec
        )
        return write(tmp_path, name, shifted, fluxes_jy[chosen] * (FREQUENCY_HZ[name] / 1.4e9) ** index[chosen])

    nvss, racs = observed("nvss", np.arange(175)), observed("racs", np.arange(25, 200))
    merged = merge_catalogues(tmp_path / "all.catalogue", "all", [nvss, racs])
    assert (merged.kind, merged.n_sources, merged.frequency_hz) == (MERGED, 200, 1.4e9)
    rows = merged.cone(ra_deg, dec_deg, 8.0)
    assert len(rows) == 200
    nearest, separation, _ = SkyCoord(rows.ra_deg, rows.dec_deg, unit="deg").match_to_catalog_sky(grid)
    assert sorted(nearest) == list(range(200))
    for row, number, offset in zip(range(200), nearest, separation.arcsec, strict=True):
        pairs = {
            (entry.catalogue, entry.catalogue_id): entry for entry in merged.identifications(str(rows.source_id[row]))
        }
        expected = {("nvss", f"N{number}")} if number < 175 else set()
        assert set(pairs) == expected | ({("racs", f"R{number - 25}")} if number >= 25 else set())
        in_racs = number >= 25
        assert offset == pytest.approx(ERROR_ARCSEC["racs" if in_racs else "nvss"], abs=0.01)  # the better position
        if 25 <= number < 175:
            assert rows.spectral_index[row] == pytest.approx(index[number], abs=1e-6)
            assert not rows.is_index_assumed[row]
            assert rows.flux_jy[row] == pytest.approx(fluxes_jy[number])
        else:
            assert rows.is_index_assumed[row]
    only_racs = nearest >= 175
    expected_jy = fluxes_jy[nearest[only_racs]] * (887.5 / 1400) ** index[nearest[only_racs]] * (1400 / 887.5) ** -0.7
    np.testing.assert_allclose(rows.flux_jy[only_racs], expected_jy)


def test_a_source_of_two_components_is_confused(tmp_path):
    centre = SkyCoord(359.999, 40.0, unit="deg")
    wide = write(tmp_path, "nvss", centre.directional_offset_by([0, 90] * units.deg, [0, 1] * units.deg), [1.0, 1.0])
    parts = centre.directional_offset_by([90, 270, 90] * units.deg, [8 / 3600, 8 / 3600, 1.0] * units.deg)
    fine = write(tmp_path, "vlass", parts, [0.3, 0.28, 0.6])
    merged = merge_catalogues(tmp_path / "both.catalogue", "both", [wide, fine])
    assert merged.n_sources == 2
    rows = merged.cone(359.999, 40.0, 2.0)
    by_name = dict(zip(rows.source_id, rows.is_confused, strict=True))
    assert by_name == {"nvss N0": True, "nvss N1": False}
    assert {entry.catalogue_id for entry in merged.identifications("nvss N0")} == {"N0", "V0", "V1"}
    assert "nvss" in merged.inputs[0]
    assert merged.beam_deg == 45 / 3600


def test_merging_needs_two_names(tmp_path):
    catalogue = write(tmp_path, "nvss", SkyCoord([1.0], [2.0], unit="deg"), [1.0])
    for catalogues in ([catalogue], [catalogue, catalogue]):
        with pytest.raises(BadInput):
            merge_catalogues(tmp_path / "both.catalogue", "both", catalogues)
