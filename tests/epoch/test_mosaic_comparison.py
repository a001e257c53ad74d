"""A mosaic across right ascension 0h against a catalogue whose fluxes are too low, and one with sources too many."""

import numpy as np
import pytest
import test_pipeline_catalogue as drawn
from astropy.io import fits

from contimg.epoch.mosaic import MosaicOptions, make_mosaic
from contimg.sky.catalogue import SIMULATED, CatalogueSources, Provenance, write_catalogue

LATTICE = [
    ((359.75 + 0.07 * column + 0.01 * (row % 3)) % 360, 32.78 + 0.07 * row, 0.05 + 0.01 * ((7 * row + column) % 20))
    for row in range(7)
    for column in range(8)
]


def write_list(path, scale, extra=0):
    """The lattice with fluxes over a scale, and sources between its own that the image does not show."""
    between = [((ra_deg + 0.035) % 360, dec_deg + 0.035, flux_jy) for ra_deg, dec_deg, flux_jy in LATTICE[:extra]]
    ra_deg, dec_deg, flux_jy = np.array([*LATTICE, *between]).T
    names = [f"s{number}" for number in range(len(ra_deg))]
    provenance = Provenance(
        name=path.stem, kind=SIMULATED, frequency_hz=1.405e9, beam_deg=0.004, flux_limit_jy=0.005
    )  # fmt: skip
    sources = CatalogueSources.of(1.405e9, names, ra_deg, dec_deg, flux_jy / scale)
    return write_catalogue(path, sources, provenance).path


@pytest.mark.long
def test_mosaic_has_flux_ratio_and_completeness(tmp_path, monkeypatch):
    monkeypatch.setattr(drawn, "SOURCES", LATTICE)
    paths = [tmp_path / f"{name}.fits" for name in ("first", "second")]
    for seed, path in enumerate(paths):
        drawn.write_image(path, 0.05 if seed else 359.95, seed, pb_width_deg=1.2)
        fits.setval(path, "CDELT3", value=1e6)
    options = MosaicOptions()
    scaled = write_list(tmp_path / "scaled.catalogue", 1.05)
    mosaic = make_mosaic(paths, tmp_path / "mosaic.fits", options, reference_catalogue=scaled)
    assert mosaic.catalogue_flux_ratio == pytest.approx(1.05, abs=0.01)
    assert mosaic.completeness == 1.0
    fuller = write_list(tmp_path / "fuller.catalogue", 1.0, extra=28)
    mosaic = make_mosaic(paths, tmp_path / "mosaic.fits", options, reference_catalogue=fuller)
    assert mosaic.completeness == pytest.approx(2 / 3, abs=0.1)
    assert any("catalogued sources" in reason for reason in mosaic.verdict_reasons)
    assert make_mosaic(paths, tmp_path / "mosaic.fits", options).completeness is None
