"""Parallel hands: their ratio, one hand alone, and subbands without data, on simulated tiles."""

import numpy as np
import pytest
from astropy.io import fits
from casacore.tables import table
from hypothesis import given
from hypothesis import strategies as st
from point_source_ms import Source, make_ms

from contimg.tile.image import ImageOptions, image
from contimg.tile.image.gridding.hands import fit_hand_ratio
from contimg.tile.image.gridding.noise import measure_edge_noise_ratio

SMALL = ImageOptions(size=256)


@given(ratio=st.floats(0.3, 3.0), gain=st.floats(0.5, 2.0), seed=st.integers(0, 99))
def test_ratio_of_simulated_visibilities(ratio, gain, seed):
    rng = np.random.default_rng(seed)
    shape = (400, 8)
    model, noise1, noise2 = (rng.normal(size=(3, *shape, 2)) @ [1, 1j]).astype(np.complex64)
    xx, yy = ratio * gain * model + 0.05 * noise1, gain * model + 0.05 * noise2
    weights = rng.uniform(0.5, 2, shape).astype(np.float32)
    fit = fit_hand_ratio((xx + yy) / 2, (xx - yy) / 2, model, weights)
    assert fit.ratio == pytest.approx(ratio, abs=5 * fit.error)
    assert 0 < fit.error < 0.03


def test_ratio_error_is_the_scatter_of_repeated_fits():
    rng = np.random.default_rng(1)
    model, weights = np.ones((100, 4), np.complex64), np.ones((100, 4), np.float32)
    fits_ = []
    for _ in range(300):
        noise = 0.4 * (rng.normal(size=(2, 100, 4, 2)) @ [1, 1j])
        xx, yy = model + noise
        fits_.append(fit_hand_ratio((xx + yy) / 2, (xx - yy) / 2, model, weights))
    assert np.std([fit.ratio for fit in fits_]) == pytest.approx(np.mean([fit.error for fit in fits_]), rel=0.15)


def test_no_ratio_without_model_or_signal():
    zero, weights = np.zeros((5, 2), np.complex64), np.ones((5, 2), np.float32)
    noise = np.random.default_rng(2).normal(size=(5, 2)).astype(np.complex64)
    assert fit_hand_ratio(noise, noise, zero, weights).ratio is None
    assert fit_hand_ratio(noise, 10 * noise, noise, weights).ratio is None


@pytest.fixture(scope="module")
def noisy_ms(tmp_path_factory):
    """One source and noise, said to be calibrated with a good set."""
    path = tmp_path_factory.mktemp("hands") / "tile.ms"
    record = {"set": "s", "grade": "good", "hand_ratio": 1.25}
    return make_ms(path, (Source(0.1, 0, 1.0),), antennas=16, times=3, channels=16, sefd_jy=650.0, corrected=record)


def change(ms, column, of):
    """Write a column as a function makes it, and return its earlier value."""
    with table(str(ms), ack=False, readonly=False) as main:
        before = main.getcol(column)
        main.putcol(column, of(before.copy()))
    return before


@pytest.mark.parametrize("hand", [0, 1])
def test_imbalance_of_20_percent_is_not_good(noisy_ms, tmp_path, hand):
    scale = np.ones(2, np.float32)
    scale[hand] = 0.8
    before = change(noisy_ms, "CORRECTED_DATA", lambda data: data * scale)
    try:
        tile_image = image(noisy_ms, tmp_path, SMALL)
    finally:
        change(noisy_ms, "CORRECTED_DATA", lambda _: before)
    assert tile_image.hand_ratio == pytest.approx(scale[0] / scale[1], abs=4 * tile_image.hand_ratio_error)
    assert tile_image.verdict == "suspect"
    assert any("XX" in reason for reason in tile_image.verdict_reasons)
    header = fits.getheader(tile_image.fits_path)
    assert header["HANDRAT"] == pytest.approx(tile_image.hand_ratio)
    assert (header["HANDS"], header["GAINRAT"], header["CALGRADE"]) == ("XX, YY", 1.25, "good")


@pytest.mark.parametrize(("column", "name"), [("FLAG", "XX"), ("WEIGHT", "YY")])
def test_hand_that_is_left_alone_is_imaged(noisy_ms, tmp_path, column, name):
    lost = 1 - ("XX", "YY").index(name)
    both = image(noisy_ms, tmp_path / "both", SMALL)

    def lose(values):
        values[..., lost] = column == "FLAG"
        return values

    before = change(noisy_ms, column, lose)
    try:
        tile_image = image(noisy_ms, tmp_path / "one", SMALL)
    finally:
        change(noisy_ms, column, lambda _: before)
    assert both.hands == "XX, YY"
    assert not any("XX" in reason for reason in both.verdict_reasons)
    assert (tile_image.hands, tile_image.hand_ratio) == (name, None)
    assert tile_image.peak_jy == pytest.approx(both.peak_jy, rel=0.02)
    assert tile_image.expected_rms_jy == pytest.approx(np.sqrt(2) * both.expected_rms_jy, rel=1e-4)
    assert tile_image.verdict == "suspect"
    assert any(name in reason for reason in tile_image.verdict_reasons)
    assert fits.getheader(tile_image.fits_path)["HANDS"] == name


def test_missing_subbands_are_named(noisy_ms, tmp_path):
    def lose(flags):
        flags[:, :6] = True  # the channels ascend: subbands 15 to 10
        return flags

    before = change(noisy_ms, "FLAG", lose)
    try:
        tile_image = image(noisy_ms, tmp_path, SMALL.replace(channel_average=1))
    finally:
        change(noisy_ms, "FLAG", lambda _: before)
    assert tile_image.missing_subbands == (10, 11, 12, 13, 14, 15)
    assert tile_image.verdict == "suspect"
    assert any("10 to 15" in reason for reason in tile_image.verdict_reasons)
    assert fits.getheader(tile_image.fits_path)["MISSSUBB"] == "10 11 12 13 14 15"


def test_noise_of_earlier_images_is_compared(noisy_ms, tmp_path):
    tile_image = image(noisy_ms, tmp_path, SMALL, history_rms_jy=1e-4)
    assert tile_image.verdict != "good"
    assert fits.getheader(tile_image.fits_path)["RMSHIST"] == tile_image.history_rms_jy == 1e-4


def test_flagged_rows_count_as_flagged(noisy_ms, tmp_path):
    def lose(flags):
        flags[::2] = True
        return flags

    before = change(noisy_ms, "FLAG_ROW", lose)
    try:
        assert image(noisy_ms, tmp_path, SMALL).unflagged_fraction == pytest.approx(0.5, abs=0.02)
    finally:
        change(noisy_ms, "FLAG_ROW", lambda _: before)


def test_source_outside_raises_noise_at_edge(tmp_path):
    ratios = []
    for name, sources in (("inside", ()), ("outside", (Source(0.3, 0.0, 3.0),))):
        path = make_ms(
            tmp_path / f"{name}.ms", (Source(0.05, 0, 1.0), *sources), antennas=24, times=4, channels=24, sefd_jy=650.0,
            airy=False,
        )  # fmt: skip
        ratios.append(image(path, tmp_path, ImageOptions(size=256)).edge_noise_ratio)
    assert ratios[0] < 1.4
    assert ratios[1] > 1.5


def test_edge_noise_of_pure_noise():
    residual = np.random.default_rng(3).normal(size=(512, 512)).astype(np.float32)
    assert measure_edge_noise_ratio(residual) == pytest.approx(1.0, abs=0.06)
    residual[-40:, 256:384] *= 4
    assert measure_edge_noise_ratio(residual) > 1.5
    assert measure_edge_noise_ratio(np.zeros((64, 64), np.float32)) is None
