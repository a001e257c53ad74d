"""Stages without computation, to measure the cost of the workers themselves: `celery … worker -I empty_stages`.

Importing this module replaces the function that runs a stage; messages, leases, rows and commits are unchanged.
"""

from typing import Any

from contimg.store import Lease, Stage
from contimg.tile.products import CalibratedMS, ConvertedMS, TileImage
from workers.execution import stages
from workers.execution.stages import StageContext

_MJD, _RA_DEG, _DEC_DEG = 61093.0, 24.4, 33.2


def run(context: StageContext, lease: Lease) -> list[Any]:
    """Return the smallest result that can be committed for the stage."""
    if lease.stage is Stage.CONVERT:
        return [_measurement_set(context, lease)]
    if lease.stage is Stage.CALIBRATE:
        return [CalibratedMS(None, "a stage without computation", 0.0)]
    return [_image(context, lease)]


def _measurement_set(context: StageContext, lease: Lease) -> ConvertedMS:
    return ConvertedMS(
        path=context.measurement_set_path(lease.group), mjd_start=_MJD, mjd_end=_MJD, ra_deg=_RA_DEG, dec_deg=_DEC_DEG,
        integrations=24, channels=768, antennas=96, missing_subbands=(), flagged_fraction=0.0, bytes=0,
    )  # fmt: skip


def _image(context: StageContext, lease: Lease) -> TileImage:
    return TileImage(
        fits_path=context.product_dir() / f"images/{lease.group}.fits", beam_fits_path=None, png_path=None,
        thumbnail_path=None,
        rms_jy=1.0, peak_jy=1.0, dynamic_range=1.0, beam_major_arcsec=1.0, beam_minor_arcsec=1.0, beam_angle_deg=0.0,
        ra_deg=_RA_DEG, dec_deg=_DEC_DEG, mjd=_MJD, freq_hz=1.4e9, pixels=1, cell_arcsec=1.0, calibration_set=None,
    )  # fmt: skip


stages.run = run
