"""The whole stream through real broker, producer, workers and panel: what is in the sky comes out of the images.

`contimg demo` is run as a newcomer runs it; what it made is then measured here by other means than its own.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from PIL import Image

from contimg.store import State, Store

pytestmark = pytest.mark.timeout(420)
ANTENNAS, CHANNELS, GROUPS = 24, 96, 2
BRIGHT_JY = 0.15  # apparent: the noise of so small an array leaves three percent to these


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    directory = tmp_path_factory.mktemp("demo") / "demo"
    done = subprocess.run(
        [sys.executable, "-m", "contimg", "demo", "--directory", str(directory), "--no-stay", "--pace-s", "1",
         "--groups", str(GROUPS), "--antennas", str(ANTENNAS), "--channels", str(CHANNELS)],
        capture_output=True, text=True, timeout=400, check=False, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return directory, done.stdout


@pytest.fixture(scope="module")
def store(demo):
    opened = Store.open(demo[0] / "state" / "contimg.sqlite3")
    yield opened
    opened.close()


def peak_near(path, ra_deg, dec_deg, radius_pixels=4):
    """Peak and its place by a parabola through the brightest pixel's neighbours in x and in y."""
    with fits.open(path) as opened:
        image, wcs = opened[0].data.squeeze(), WCS(opened[0].header).celestial
    x, y = (round(float(value)) for value in wcs.all_world2pix(ra_deg, dec_deg, 0))
    cut = image[y - radius_pixels : y + radius_pixels + 1, x - radius_pixels : x + radius_pixels + 1]
    dy, dx = np.unravel_index(np.argmax(cut), cut.shape)
    y, x = y - radius_pixels + dy, x - radius_pixels + dx
    middle = float(image[y, x])
    peak, place = middle, []
    for before, after in ((image[y, x - 1], image[y, x + 1]), (image[y - 1, x], image[y + 1, x])):
        # The logarithm of a Gaussian is a parabola.
        low, mid, high = np.log([max(float(before), 1e-6), middle, max(float(after), 1e-6)])
        shift = 0.5 * (low - high) / (low - 2 * mid + high)
        place.append(shift)
        peak *= np.exp(-0.25 * (low - high) * shift)
    return peak, wcs.pixel_to_world(x + place[0], y + place[1])


def bright_sources(directory, image):
    truth = json.loads((directory / "incoming" / "truth" / f"{image.group}.json").read_text())
    centre = SkyCoord(image.ra_deg, image.dec_deg, unit="deg")
    for source in truth["sources"]:
        place = SkyCoord(source["ra_deg"], source["dec_deg"], unit="deg")
        if not source["of_counts"] and source["apparent_flux_jy"] > BRIGHT_JY and place.separation(centre).deg < 1.3:
            yield source, place


def test_sources_match_truth(demo, store):
    images = store.products.images(limit=10)
    assert len(images) == GROUPS
    measured = 0
    for image in images:
        for source, place in bright_sources(demo[0], image):
            peak, position = peak_near(image.fits_path, source["ra_deg"], source["dec_deg"])
            assert peak == pytest.approx(source["apparent_flux_jy"], rel=0.03), (image.group, source["name"])
            assert position.separation(place).arcsec < 0.2 * image.beam_minor_arcsec, (image.group, source["name"])
            measured += 1
    assert measured >= 4  # 3C48 and the brighter targets


def test_target_is_calibrated_with_transit(demo, store):
    transit, target = store.files.groups(limit=10)[::-1]
    (calibration,) = store.registry.sets()
    assert (calibration.calibrator, calibration.group) == ("3C48", transit.id)
    image = store.products.image_of(target.id)
    header = fits.getheader(image.fits_path)
    assert header["CALSET"] == image.calibration_set == calibration.name
    assert header["GROUP"] == target.id
    assert {"CONTIMG", "DUCC0", "RADLER", "BMAJ", "BMIN", "BPA", "CALMJD"} <= set(header)


def test_products_are_complete(demo, store):
    directory, words = demo
    for group in store.files.groups(limit=10):
        assert group.state is State.COMPLETED
        assert [run.outcome for run in store.jobs.runs(group.id)] == ["committed"] * 3
        ms, image = store.products.measurement_set(group.id), store.products.image_of(group.id)
        for path in (ms.path, image.fits_path, image.png_path):
            assert path.exists()
            assert str(path) in words
        with Image.open(image.png_path) as picture:
            assert min(picture.size) >= 500
    assert "http://127.0.0.1:" in words
    names = [path.name for path in (directory / "products").iterdir()]
    products = {f"{group.id}.ms" for group in store.files.groups(limit=10)} | {"calibration", "images", "mosaics"}
    assert products <= set(names) <= products | {"hips"}, "the HiPS follows where the service runs long enough"
    unfinished = [path for path in directory.rglob("*.writing-*")]
    assert all(directory / "products" / "hips" in path.parents for path in unfinished), "the next update deletes these"


def test_demo_ends_with_a_mosaic_and_leaves_no_epoch_that_collects(demo, store):
    (mosaic,) = store.mosaics.list_mosaics().mosaics
    assert mosaic.member_count == GROUPS
    assert str(mosaic.fits_path) in demo[1]
    assert mosaic.fits_path.is_file()
    assert mosaic.catalogue_matches
    assert {epoch.state for epoch in store.epochs.list_epochs().epochs} <= {State.COMPLETED, State.DISCARDED}


def test_no_process_is_left_running(demo):
    state = str(demo[0] / "state")
    left = [
        process
        for process in psutil.process_iter()
        if process.pid != os.getpid() and _environment(process).get("PIPELINE_STATE_DIR") == state
    ]
    assert left == []


def _environment(process):
    try:
        return process.environ()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return {}


def test_foreign_directory_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    done = subprocess.run(
        [sys.executable, "-m", "contimg", "demo", "--directory", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert str(tmp_path) in done.stderr
    assert Path(tmp_path / "thesis.tex").exists()
