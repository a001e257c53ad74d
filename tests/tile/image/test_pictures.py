"""Pictures and plots: what is named, and numbers read back from what is plotted."""

from dataclasses import replace

import matplotlib.image
import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st
from point_source_ms import OPTIONS, SOURCES, Source, direction_cosines, make_ms

from contimg.formats.ms.info import read_ms_info
from contimg.instrument.dsa110 import primary_beam
from contimg.tile.image import image
from contimg.tile.image.gridding.gridder import Gridder
from contimg.tile.image.gridding.visibilities import read_visibilities, select_rows
from contimg.tile.image.plots.drawing import downsample
from contimg.tile.image.plots.labels import HEIGHT, LETTER, RING, Label, label_sources, place_labels
from contimg.tile.image.sources.matches import FoundSource
from contimg.tile.image.sources.spectrum import measure_spectrum

SIZE = 1000


def found_source(name, ra, dec, peak):
    return FoundSource(name, ra, dec, 0.1, 0.1, peak, 0.01, peak, 0.01, 40.0, 30.0, 0.0, 0.003, 0.9)


def test_labels_of_catalogued_and_found_sources(tile):
    wcs = WCS(fits.getheader(tile.products.fits)).celestial
    known, elsewhere = SOURCES[0].direction(), (24.6, 33.7)
    tile_image = replace(
        tile,
        found_sources=(
            found_source("same", *known, 2.0),
            found_source("new", *elsewhere, 0.5),
            found_source("weak", 24, 33, 1e-6),
        ),
    )
    named = label_sources(tile_image, wcs)
    assert [label.name for label in named] == ["a", "b", "c", "d", "new"]
    assert [label.catalogued for label in named] == [True] * 4 + [False]
    assert wcs.all_pix2world(named[-1].x, named[-1].y, 0) == pytest.approx(elsewhere)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(-50, 1050), st.floats(-50, 1050)), max_size=30))
def test_labels_do_not_overlap(places):
    labels = [Label(f"J{number:06d}+332211", 0.1, x, y, False) for number, (x, y) in enumerate(places)]
    spans = []
    for placed in place_labels(labels, SIZE):
        x, y = placed.x, placed.y + placed.lift
        gap, length = RING * SIZE, LETTER * SIZE * len(placed.text)
        spans.append((x + gap, x + gap + length, y) if placed.right else (x - gap - length, x - gap, y))
    for number, (left, right, y) in enumerate(spans):
        assert left >= -RING * SIZE
        assert right <= SIZE + RING * SIZE
        assert 0 <= y <= SIZE
        for other_left, other_right, other_y in spans[:number]:
            assert left >= other_right or other_left >= right or abs(y - other_y) >= HEIGHT * SIZE * (1 - 1e-9)


def test_label_moves_to_free_side():
    lone, at_the_edge = Label("a", 1.0, 500, 500, True), Label("a", 1.0, 990, 500, True)
    assert [(placed.right, placed.lift) for placed in place_labels([lone], SIZE)] == [(True, 0.0)]
    assert [placed.right for placed in place_labels([at_the_edge], SIZE)] == [False]
    hemmed_in = [lone, Label("b", 0.5, 540, 500, True), Label("c", 0.4, 460, 500, True)]
    assert next(place_labels(hemmed_in, SIZE)).lift != 0


@pytest.mark.parametrize("pixels", [7, 13, 100, 255])
def test_downsample_keeps_maxima(pixels):
    picture = np.random.default_rng(1).normal(size=(256, 256)).astype(np.float32)
    shown, factor = downsample(picture, pixels)
    assert shown.shape[0] <= pixels
    for row, column in np.ndindex(3, 3):
        part = picture[row * factor : (row + 1) * factor, column * factor : (column + 1) * factor]
        assert shown[row, column] == part.max()


def test_zoom_is_centred_on_brightest_source(tile):
    picture = matplotlib.image.imread(tile.products.zoom)
    assert picture.shape[:2] == (600, 600)
    middle = picture[225:435, 183:393, :3].sum(axis=2)  # half of the axes' 420 pixels: without the words in the corner
    y, x = np.nonzero(middle > 0.9 * middle.max())
    assert (np.median(x), np.median(y)) == pytest.approx((105, 105), abs=8)


@pytest.fixture(scope="module")
def plotted(tile_ms, tmp_path_factory):
    return image(tile_ms, tmp_path_factory.mktemp("plots"), OPTIONS.replace(size=512, iterations=100, plots=True))


def test_plots_are_written_on_request(tile, plotted):
    assert matplotlib.image.imread(plotted.products.uv).shape[:2] == (760, 760)
    assert matplotlib.image.imread(plotted.products.spectrum).shape[:2] == (560, 900)
    assert not tile.products.uv.exists()
    assert not tile.products.spectrum.exists()


def test_spectrum_recovers_flux_and_index(tmp_path):
    source = Source(0.5, -0.4, 2.0)
    path = make_ms(tmp_path / "one.ms", (source,), antennas=20, times=3, channels=48, sefd_jy=650.0, spacing=8.0)
    ms = read_ms_info(path)
    data = read_visibilities(ms, select_rows(ms), "DATA", 1)
    pixel_rad = np.deg2rad(6 / 3600)
    east, north, _ = direction_cosines(*source.direction()) / pixel_rad
    gridder = Gridder(data, data.weights, 1024, pixel_rad, 1)
    spectrum = measure_spectrum(ms, gridder, 512 - east, 512 + north)
    assert spectrum.freqs_hz.size == 24
    assert np.all(np.abs(spectrum.apparent_jy / spectrum.pb / 2.0 - 1) < np.maximum(6 * spectrum.error_jy / 2, 0.01))
    # The dishes see less of it at higher frequencies: without the primary beam it would look steep.
    assert spectrum.pb[-1] < spectrum.pb[0] < 1
    flux, index, error = spectrum.fit_power_law()
    assert flux == pytest.approx(2.0, rel=0.01)
    assert abs(index) < max(4 * error, 0.05)
    expected_pb = primary_beam(np.deg2rad(np.hypot(0.5, 0.4)), spectrum.freqs_hz)
    assert spectrum.pb == pytest.approx(expected_pb, rel=0.03)
