"""Little data or none: a clear error that leaves no product, or an image whose verdict says what it is worth."""

import numpy as np
import pytest
from casacore.tables import table
from point_source_ms import Source, make_ms

from contimg.common.errors import BadInput
from contimg.tile.image import ImageOptions, image

SMALL = ImageOptions(size=256)
ONE = (Source(0.0, 0.0, 1.0),)


def change(ms, **columns):
    """Give columns the value that a function makes of them."""
    with table(str(ms), ack=False, readonly=False) as main:
        for name, of in columns.items():
            main.putcol(name, of(main.getcol(name)))


def refused(ms, tmp_path, named=None, options=SMALL):
    with pytest.raises(BadInput, match=named) as caught:
        image(ms, tmp_path / "images", options)
    assert str(ms) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "images").glob("*"))


@pytest.mark.parametrize(
    "column",
    [
        {"FLAG": np.ones_like},
        {"FLAG_ROW": np.ones_like},
        {"WEIGHT": np.zeros_like},
        {"DATA": lambda data: data * np.nan},
    ],
    ids=["all flagged", "all rows flagged", "no weight", "not a number"],
)
def test_nothing_to_image_is_bad_input(small_ms, tmp_path, column):
    change(small_ms, **column)
    refused(small_ms, tmp_path)


def test_autocorrelations_alone_are_nothing_to_image(small_ms, tmp_path):
    change(small_ms, ANTENNA2=lambda _: np.zeros(_.size, _.dtype), ANTENNA1=lambda _: np.zeros(_.size, _.dtype))
    refused(small_ms, tmp_path)


def test_no_rows(small_ms, tmp_path):
    with table(str(small_ms), ack=False, readonly=False) as main:
        main.removerows(range(main.nrows()))
    refused(small_ms, tmp_path)


def test_no_baseline_within_cut_is_bad_input(small_ms, tmp_path):
    refused(small_ms, tmp_path, "min_uv_klambda", SMALL.replace(min_uv_klambda=50.0))


def test_empty_directory_is_bad_input(tmp_path):
    (tmp_path / "none.ms").mkdir()
    refused(tmp_path / "none.ms", tmp_path)


@pytest.mark.parametrize(
    ("times", "channels"), [(1, 16), (3, 1), (1, 1)], ids=["one integration", "one channel", "one of both"]
)
def test_flux_of_one_integration_or_channel(tmp_path, times, channels):
    path = make_ms(tmp_path / "thin.ms", ONE, antennas=24, times=times, channels=channels, airy=False)
    tile_image = image(path, tmp_path / "images", SMALL)
    assert tile_image.peak_jy == pytest.approx(1.0, rel=0.01)
    assert np.isfinite([tile_image.rms_jy, tile_image.freq_hz, tile_image.bandwidth_hz, tile_image.exposure_s]).all()
    assert tile_image.bandwidth_hz == pytest.approx(187.5e6, rel=0.01)


def few_rows(tmp_path, kept):
    """A Measurement Set of the longest baselines alone, as if it were calibrated."""
    path = make_ms(tmp_path / "few.ms", ONE, antennas=12, times=1, channels=4, sefd_jy=6500.0, corrected={"set": "s"})
    with table(str(path), ack=False, readonly=False) as main:
        lengths = np.hypot(*main.getcol("UVW")[:, :2].T)
        main.removerows(np.argsort(lengths)[:-kept])
    return path


def test_one_row_is_bad_input(tmp_path):
    refused(few_rows(tmp_path, 1), tmp_path)


def test_few_rows_are_not_graded_good(tmp_path):
    tile_image = image(few_rows(tmp_path, 3), tmp_path / "images", SMALL)
    assert tile_image.verdict != "good"
    beam_ratio = f"{tile_image.beam_major_arcsec / tile_image.beam_minor_arcsec:.1f}"
    assert any(beam_ratio in reason for reason in tile_image.verdict_reasons)


def test_all_but_one_percent_flagged_is_bad(tmp_path):
    path = make_ms(tmp_path / "left.ms", ONE, antennas=24, times=2, channels=32, sefd_jy=650.0)
    rng = np.random.default_rng(3)

    def flags(old):
        return np.repeat(rng.random(old.shape[:2])[..., None] > 0.01, 2, axis=2)

    change(path, FLAG=flags)
    tile_image = image(path, tmp_path / "images", SMALL)
    assert tile_image.verdict == "bad"
    assert any(f"{tile_image.unflagged_fraction:.1%}" in reason for reason in tile_image.verdict_reasons)
