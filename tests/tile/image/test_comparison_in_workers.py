"""The image stage of the stream with and without an installed catalogue: row, header, API and page."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from flask.testing import FlaskClient
from point_source_ms import Source, make_ms
from store_steps import commit, register_file

from contimg.quality.image import QualityThresholds, check_image
from contimg.settings import Settings, load, save
from contimg.sky.catalogue import PIPELINE, CatalogueSources, Provenance, write_catalogue
from contimg.sky.catalogue.catalogue import catalogue_path
from contimg.store import Stage, Store
from contimg.tile.products import CalibratedMS, ConvertedMS
from web import create_app
from workers.execution.attempt import execute_stage
from workers.execution.stages import StageContext

GROUP = "2026-02-22T23:23:00"
SCALE = 1.05  # of the image against the catalogue
SIDE = np.linspace(-0.2, 0.2, 4)
SOURCES = tuple(
    Source(east + 0.02 * np.sin(9 * north), north, 0.3 + 0.1 * number)
    for number, (east, north) in enumerate((east, north) for east in SIDE for north in SIDE)
)


@dataclass
class Deployment:
    """A tile that waits for its image, and the panel of its store."""

    settings: Settings
    context: StageContext
    client: FlaskClient


@pytest.fixture
def deployment(tmp_path, monkeypatch):
    for name, value in {"SIZE": "320", "PIXEL_ARCSEC": "6", "PADDING": "1.0"}.items():
        monkeypatch.setenv(f"CONTIMG_IMAGE_{name}", value)
    monkeypatch.setenv("PIPELINE_STATE_DIR", str(tmp_path / "state"))
    settings = Settings(state_dir=tmp_path / "state")
    save(settings, {"output_dir": str(tmp_path / "products"), "input_dir": str(tmp_path / "incoming")})
    config = load(settings)
    config.output_dir.mkdir()
    store = Store.of(config)
    for subband in range(16):
        register_file(store, config.input_dir / f"{GROUP}_sb{subband:02d}.hdf5", 1, 1.0)
    path = config.output_dir / f"{GROUP}.ms"
    ms = ConvertedMS(path, 61093.5, 61093.504, 24.3, 33.2, 24, 16, 16, (), 0.0, 1)
    commit(store, GROUP, Stage.CONVERT, ms)
    commit(store, GROUP, Stage.CALIBRATE, CalibratedMS("set", "solved", 0.0))
    make_ms(path, SOURCES, antennas=24, times=2, spacing=9.0, channels=16, sefd_jy=650.0, corrected={"set": "set"})
    yield Deployment(settings, StageContext(config, store), create_app(settings, store, fresh_s=0.0).test_client())
    store.close()


def install_catalogue(state_dir: Path) -> None:
    """Install the sky of the tile, with fluxes that are too low, as the pipeline's own."""
    ra_deg, dec_deg = np.array([source.direction() for source in SOURCES]).T
    flux_jy = np.array([source.flux_jy for source in SOURCES]) / SCALE
    provenance = Provenance(
        name="own", kind=PIPELINE, frequency_hz=1.4e9, beam_deg=0.004, flux_limit_jy=0.01, spectral_index=0.0
    )
    names = [f"s{number}" for number in range(len(SOURCES))]
    path = catalogue_path(state_dir, "own")
    write_catalogue(path, CatalogueSources.of(1.4e9, names, ra_deg, dec_deg, flux_jy), provenance)


def test_installed_catalogue_is_compared_with(deployment: Deployment) -> None:
    install_catalogue(deployment.settings.state_dir)
    assert execute_stage(deployment.context, Stage.IMAGE, GROUP) is not None
    image = deployment.context.store.products.image_of(GROUP)
    assert (image.catalogue_name, image.catalogue_kind) == ("own", "pipeline")
    assert image.catalogue_flux_ratio == pytest.approx(SCALE, abs=0.02)
    header = fits.getheader(image.fits_path)
    assert (header["CATNAME"], header["CATKIND"], header["CATMATCH"]) == ("own", "pipeline", image.catalogue_matches)
    assert header["CATFLUX"] == pytest.approx(image.catalogue_flux_ratio)
    record = deployment.client.get(f"/api/images/{image.id}").get_json()
    assert record["catalogue_flux_ratio"] == pytest.approx(image.catalogue_flux_ratio)
    assert len(record["catalogue_flux_by_radius"]) == len(image.catalogue_flux_by_radius) > 0
    assert deployment.client.get(record["comparison_url"]).mimetype == "image/png"
    page = deployment.client.get(f"/images/{image.id}").text
    assert "own images" in page  # not an independent comparison


def test_without_a_catalogue_the_image_is_not_compared(deployment: Deployment) -> None:
    assert execute_stage(deployment.context, Stage.IMAGE, GROUP) is not None
    image = deployment.context.store.products.image_of(GROUP)
    assert (image.catalogue_name, image.catalogue_completeness, image.comparison_path) == (None, None, None)
    (row,) = (row for row in check_image(image, QualityThresholds()) if row.name == "reference catalogue")
    assert (row.text, row.value) == ("not compared", None)
    header = fits.getheader(image.fits_path)
    assert ("CATNAME" in header, header["CATNAME"]) == (True, None)  # an undefined keyword
    assert deployment.client.get(f"/api/images/{image.id}").get_json()["comparison_url"] is None
    assert "Not compared" in deployment.client.get(f"/images/{image.id}").text
