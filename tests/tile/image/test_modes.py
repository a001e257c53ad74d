"""Predicted visibilities of a drifting, smeared sky against direct sums over integrations and instants."""

from dataclasses import replace

import numpy as np
import pytest
from point_source_ms import SIDEREAL, Source, antenna_positions, direction_cosines, make_ms, uvw_of

from contimg.formats.ms.info import read_ms_info
from contimg.instrument.dsa110 import C_M_S
from contimg.quality.image import QualityThresholds
from contimg.tile.image.gridding.gridder import Gridder
from contimg.tile.image.gridding.modes import Field, find_modes
from contimg.tile.image.gridding.primary_beam import average_primary_beam
from contimg.tile.image.gridding.visibilities import read_visibilities, select_rows
from contimg.tile.image.options import ImageOptions
from contimg.tile.image.run import make_image

PIXEL_RAD = np.deg2rad(30 / 3600)
SIZE = 640  # 5.3 degrees


@pytest.fixture(scope="module")
def drifting_ms(tmp_path_factory):
    """One source on the middle of a pixel, 1.7 degrees from the centre, in a beam that drifts by 1.2 degrees."""
    path = tmp_path_factory.mktemp("modes") / "drift.ms"
    return read_ms_info(make_ms(path, (SOURCE,), antennas=16, times=8, integration_s=1, spacing=42, channels=16))


def source_at(x, y):
    """The source whose direction cosines are those of a pixel to the east and to the north."""
    l, m = x * PIXEL_RAD, y * PIXEL_RAD  # noqa: E741
    distance = np.rad2deg(np.arcsin(np.hypot(l, m)))
    return Source(distance * l / np.hypot(l, m), distance * m / np.hypot(l, m), 3.0)


EAST, NORTH = 170, 110
SOURCE = source_at(EAST, NORTH)


def test_modes_predict_a_source_in_the_drifting_beam(drifting_ms):
    ms = drifting_ms
    data = read_visibilities(ms, select_rows(ms), "DATA", 1)
    gridder = Gridder(data, data.weights, SIZE, PIXEL_RAD, 1)
    model = np.zeros((SIZE, SIZE), np.float32)
    y, x = SIZE // 2 + NORTH, SIZE // 2 - EAST
    model[y, x] = SOURCE.flux_jy * average_primary_beam(ms, gridder)[y, x]
    modes = find_modes(ms, data, data.weights, Field(SIZE, PIXEL_RAD), spectral_index=0.0)
    error = np.abs(replace(gridder, modes=modes).predict(model) - data.stokes_i).mean() / model.max()
    constant = np.abs(gridder.predict(model) - data.stokes_i).mean() / model.max()
    assert constant > 0.2
    assert error < 0.02


def test_modes_follow_the_spectral_index(tmp_path):
    ms = read_ms_info(make_ms(tmp_path / "flat.ms", (Source(0, 0, 1),), antennas=8, times=2, channels=16))
    data = read_visibilities(ms, select_rows(ms), "DATA", 1)
    model = np.zeros((SIZE, SIZE), np.float32)
    model[SIZE // 2, SIZE // 2] = 1
    modes = find_modes(ms, data, data.weights, Field(SIZE, PIXEL_RAD), spectral_index=-2.0)
    predicted = Gridder(data, data.weights, SIZE, PIXEL_RAD, 1, modes=modes).predict(model).real.mean(axis=0)
    assert predicted[0] / predicted[-1] == pytest.approx((data.freqs_hz[0] / data.freqs_hz[-1]) ** -2.0, rel=0.01)


def test_modes_smear_what_an_integration_averages(drifting_ms):
    ms = replace(drifting_ms, integration_s=40.0, dish_diameter_m=np.nan)  # no beam: smearing alone
    xyz = antenna_positions(16)
    first, second = np.triu_indices(16, 1)
    baselines_m = xyz[first] - xyz[second]
    instants_s = (np.arange(64) - 31.5) / 64 * ms.integration_s
    freqs_hz = ms.freqs_hz[:4]
    cosines = direction_cosines(*SOURCE.direction())
    exact = np.mean(
        [
            np.exp(2j * np.pi * (uvw_of(baselines_m, SIDEREAL * s) @ cosines)[:, None] * freqs_hz / C_M_S)
            for s in instants_s
        ],
        axis=0,
    )
    middle = read_visibilities(ms, select_rows(ms), "DATA", 1)
    weights = np.ones(exact.shape, np.float32)
    data = replace(
        middle, uvw_m=uvw_of(baselines_m, 0.0), freqs_hz=freqs_hz, stokes_i=exact.astype(np.complex64), weights=weights,
        row_weights=weights[:, 0], times=np.zeros(first.size, int),
    )  # fmt: skip
    model = np.zeros((SIZE, SIZE), np.float32)
    model[SIZE // 2 + NORTH, SIZE // 2 - EAST] = 1
    gridder = Gridder(data, weights, SIZE, PIXEL_RAD, 1)
    short = np.abs(exact).min(axis=1) > 0.8  # beyond, the next order counts
    assert np.count_nonzero(~short) > 5
    sharp = np.abs(gridder.predict(model) - exact)[short].max()
    modes = find_modes(ms, data, weights, Field(SIZE, PIXEL_RAD), 0.0)
    assert len(modes) == 3
    assert sharp > 0.15
    assert np.abs(replace(gridder, modes=modes).predict(model) - exact)[short].max() < 0.02


@pytest.mark.long
def test_source_in_the_flank_of_the_beam_leaves_no_pattern(tmp_path):
    """A 3 Jy source outside the image, where the beam changes by a large part, is cleaned into the noise."""
    path = make_ms(
        tmp_path / "strong.ms", (Source(1.45, 0.7, 3.0), Source(-0.2, 0.1, 0.1)), antennas=32, times=8, integration_s=1,
        spacing=39, channels=32, sefd_jy=650.0,
    )  # fmt: skip
    options = ImageOptions(size=1000, pixel_arcsec=6.0, padding=2.0, spectral_index=0.0, smearing_percent=0.1)
    result = make_image(path, tmp_path, options, QualityThresholds())
    assert result.clean_stopped_by == "noise"
    assert result.expected_rms_jy is not None
    assert result.rms_jy < 1.25 * thermal_rms_jy(result)


def thermal_rms_jy(result):
    """The thermal noise for the 650 Jy of the Measurement Set; the stage assumes the telescope's 6500."""
    return result.expected_rms_jy / 10
