"""Tiles on a declination strip and their images, in a store or on disk, for tests of epochs."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from store_play import Telescope
from store_steps import IMAGE, MS, commit, register_file

from contimg.epoch.products import Mosaic, MosaicMember
from contimg.formats.uvh5.grouping import subband_file_name
from contimg.instrument.coordinates import TELESCOPE, meridian_icrs
from contimg.instrument.time import unix_to_jd, unix_to_mjd
from contimg.store import Stage, Store
from contimg.tile.products import ConvertedMS, TileImage

MOSAIC = Mosaic(
    member_count=2, rms_jy=0.0002, expected_rms_jy=0.00019, peak_jy=1.0,
    fits_path=Path("/products/mosaics/a.fits"), weight_fits_path=Path("/products/mosaics/a.weight.fits"),
    rms_fits_path=Path("/products/mosaics/a.rms.fits"), png_path=Path("/products/mosaics/a.png"),
    thumbnail_path=Path("/products/mosaics/a.thumb.png"), qa_png_path=None, ra_deg=24.4, dec_deg=16.3,
    width_pixels=900, height_pixels=300, cell_arcsec=6.0, area_deg2=20.0, mjd_start=61093.9, mjd_end=61093.95,
    freq_hz=1.405e9, bandwidth_hz=1.87e8, beam_major_arcsec=21.0, beam_minor_arcsec=15.0, beam_angle_deg=10.0,
    pb_cutoff=0.1, weight_cutoff=1e5, peak_weight=2.5e7, verdict="good", bytes=1000, seconds={"add": 1.0},
    members=(
        MosaicMember(
            fits_path=Path("/products/images/a.fits"), name="a.fits", ra_deg=24.4, dec_deg=16.3, mjd=61093.9,
            freq_hz=1.405e9, rms_jy=0.0003, weight=0.5, background_jy=0.0, east_arcsec=0.1, north_arcsec=-0.1,
        ),
    ),
)  # fmt: skip


def direction_at(time_s: float, declination_deg: float) -> tuple[float, float]:
    """ICRS direction (degrees) of the meridian at an apparent declination."""
    times_jd = np.array([unix_to_jd(time_s)])
    ra_deg, dec_deg = np.rad2deg(meridian_icrs(TELESCOPE, times_jd, float(np.deg2rad(declination_deg)))[0])
    return float(ra_deg), float(dec_deg)


def products_at(group: str, middle_s: float, declination_deg: float, **fields) -> tuple[ConvertedMS, TileImage]:
    """The Measurement Set and the image of a tile that is centred on the meridian."""
    (ra_deg, dec_deg), mjd = direction_at(middle_s, declination_deg), unix_to_mjd(middle_s)
    ms = replace(
        MS, path=Path(f"/products/{group}.ms"), ra_deg=ra_deg, dec_deg=dec_deg, mjd_start=mjd - 0.0018,
        mjd_end=mjd + 0.0018,
    )  # fmt: skip
    values = {"fits_path": Path(f"/products/images/{group}.fits"), "verdict": "good", **fields}
    return ms, replace(IMAGE, ra_deg=ra_deg, dec_deg=dec_deg, mjd=mjd, **values)


def convert_tile(telescope: Telescope, number: int, declination_deg: float = 16.3) -> tuple[str, TileImage]:
    """Let the files of a tile arrive and convert it; returns its group and the image that it will have."""
    group, store = telescope.whole_group(number), telescope.store
    middle_s = store.files.group(group).reference_s + 154.5
    ms, image = products_at(group, middle_s, declination_deg)
    commit(store, group, Stage.CONVERT, ms)
    commit(store, group, Stage.CALIBRATE)
    return group, image


def image_tile(telescope: Telescope, number: int, declination_deg: float = 16.3, **fields) -> str:
    """Let the files of a tile arrive, and commit all its stages."""
    group, image = convert_tile(telescope, number, declination_deg)
    commit(telescope.store, group, Stage.IMAGE, replace(image, **fields))
    return group


def commit_images(
    store: Store, incoming: Path, paths: Sequence[Path], start_s: float, declination_deg: float, **fields
) -> None:
    """Let the files of consecutive tiles arrive, the first at a time, and commit their stages with these images."""
    for number, path in enumerate(paths):
        tile_start_s = start_s + 309 * number
        for subband in range(16):
            group = register_file(store, incoming / subband_file_name(tile_start_s, subband), 5, 1.0).file.group
        ms, image = products_at(group, tile_start_s + 154.5, declination_deg, **fields)
        commit(store, group, Stage.CONVERT, ms)
        commit(store, group, Stage.CALIBRATE)
        commit(store, group, Stage.IMAGE, replace(image, fits_path=path))


def epochs_by_key(store: Store) -> dict[str, str]:
    """State of every epoch, by key."""
    return {epoch.id: str(epoch.state) for epoch in store.epochs.list_epochs(1000).epochs}
