"""Make a calibration set of the true gains of a simulation, so that applying can be measured without solving."""

from pathlib import Path

import numpy as np

from contimg.formats.caltables.caltable_set import CaltableSet
from contimg.formats.caltables.writing import write_caltable
from contimg.formats.ms.info import MSInfo
from contimg.quality.grades import GOOD
from contimg.tile.calibrate.selection import pointing_dec_deg

SNR = 100.0
DAY_S = 86400.0


def known_set(tile: MSInfo, truth: Path, directory: Path) -> CaltableSet:
    """Write a bandpass and gains in the form of CASA's tables from the true gains in `truth/<group>.npz`."""
    with np.load(truth) as true:
        order = np.argsort(true["freqs_hz"])
        slots, gains = true["stations"] - 1, true["gains"][:, order]
    bandpass = np.full((len(tile.antenna_names), *gains.shape[1:]), np.nan, dtype=np.complex64)
    bandpass[slots] = np.where(np.abs(gains) > 0, gains, np.nan)
    directory.mkdir(parents=True)
    for kind, values in (("bcal", bandpass), ("gcal", np.where(np.isfinite(bandpass[:, :1]), 1, np.nan))):
        snr = np.where(np.isfinite(values), SNR, np.nan)
        write_caltable(
            directory / f"known.{kind}", tile, np.array([tile.mid_mjd_s]), values[None], snr[None], int(slots[0])
        )
    mjd = tile.mid_mjd_s / DAY_S
    return CaltableSet(
        name="known", directory=directory, tables=("known.bcal", "known.gcal"), calibrator="truth", model_jy=1.0,
        flux_scale="the simulation's own", attenuation=1.0, mjd=mjd, valid_from_mjd=mjd - 1, valid_to_mjd=mjd + 1,
        gains_valid_from_mjd=mjd - 1, gains_valid_to_mjd=mjd + 1,
        reference_antenna=tile.antenna_names[int(slots[0])], antennas=tuple(tile.antenna_names[slot] for slot in slots),
        first_freq_hz=float(tile.freqs_hz[0]), channel_width_hz=tile.channel_width_hz, channels=len(tile.freqs_hz),
        flagged_fraction=0.0, quality={}, versions={}, dec_deg=pointing_dec_deg(tile), grade=GOOD,
    )  # fmt: skip
