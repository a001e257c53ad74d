"""Options of the calibrate stage."""

import logging
from functools import cache
from typing import Literal

from contimg.common.options import Options, option
from contimg.formats.caltables.caltable_set import BANDPASS_HOURS, GAINS_HOURS, STRIP_DEG
from contimg.instrument.calibrators import UNMODELLED_JY

log = logging.getLogger(__name__)


class CalibrateOptions(Options, env_prefix="CONTIMG_CALIBRATE_"):
    """Options of the calibrate stage."""

    flag: bool = option(True, "Search for interference with AOFlagger")
    solve: bool = option(True, "Solve when a catalogued calibrator is in the primary beam")
    solver: Literal["stefcal", "casa"] = option(
        "stefcal", "Program that solves: contimg's own StEFCal, or CASA", variable="CONTIMG_SOLVER"
    )
    min_attenuation: float = option(0.7, "Minimum primary beam response to a calibrator", minimum=0.05, maximum=1.0)
    min_channel_snr: float = option(
        10.0, "Minimum expected signal to noise of a calibrator per channel and antenna", minimum=0.0
    )
    min_apparent_jy: float = option(
        0.0,
        "Minimum flux of a calibrator after the primary beam, besides its signal to noise; 0: none",
        unit="Jy",
        minimum=0.0,
    )
    catalogue: str = option(
        "",
        "File of the reference catalogue, for the gains from the sky and the sources near a calibrator; empty: that "
        "of CONTIMG_REFERENCE_CATALOGUE",
    )
    bandpass_hours_before: float = option(
        BANDPASS_HOURS, "Validity of a bandpass before its solutions", unit="h", minimum=0.0, former="hours_before"
    )
    bandpass_hours_after: float = option(
        BANDPASS_HOURS, "Validity of a bandpass after its solutions", unit="h", minimum=0.0, former="hours_after"
    )
    gains_hours: float = option(
        GAINS_HOURS,
        "Validity of gains either side of their solutions; older ones are applied as of the same day",
        unit="h",
        minimum=0.0,
    )
    borrow_days: float = option(
        3.0,
        "Age up to which a set is borrowed from another day where none is valid; the image is suspect; 0: none is",
        unit="d",
        minimum=0.0,
    )
    strip_deg: float = option(
        STRIP_DEG, "Maximum difference in declination to a caltable set", unit="deg", minimum=0.01
    )
    sky_gains: bool = option(
        True, "Solve a tile's gains on the sources of the reference catalogue, where one is installed"
    )
    sky_gains_min_jy: float = option(
        0.05, "Minimum apparent flux of the brightest source for the gains from the sky", unit="Jy", minimum=0.0
    )
    presolve_s: float = option(60.0, "Interval of the first, phase-only solutions", unit="s", minimum=1.0)
    bandpass_snr: float = option(5.0, "Minimum signal to noise of a bandpass solution", minimum=0.0)
    gain_snr: float = option(3.0, "Minimum signal to noise of a gain solution", minimum=0.0)
    gain_mode: Literal["complex", "phase"] = option(
        "complex", "What the gains on top of the bandpass are: amplitude and phase, or phase alone"
    )
    gain_interval_s: float = option(
        0.0, "Interval of the gains on top of the bandpass, at least that of the first phases; 0: the whole tile",
        unit="s", minimum=0.0,
    )  # fmt: skip
    gain_parts: int = option(1, "Parts of the band that have gains of their own; with StEFCal alone", minimum=1)
    fill_gaps: int = option(3, "Maximum gap of a bandpass that is interpolated", unit="channels", minimum=0)
    casa_timeout_s: float = option(900.0, "Time limit of the CASA process", unit="s", minimum=10.0)
    casa_memory_gb: float = option(8.0, "Maximum address space of the CASA process", unit="GB", minimum=2.0)

    def min_calibrator_jy(self, of_snr_jy: float, *, has_neighbours: bool) -> float:
        """Return the apparent flux that a calibrator needs, Jy; the rule of the stage and of the order of dispatch.

        Parameters
        ----------
        of_snr_jy : the flux that gives `min_channel_snr`; `min_apparent_jy` raises it, with a warning.
        has_neighbours : a reference catalogue has sources around the calibrator; otherwise `UNMODELLED_JY` is needed.
        """
        if self.min_apparent_jy > of_snr_jy:
            _warn_of_flux_limit(self.min_apparent_jy)
        return max(self.min_apparent_jy, of_snr_jy, 0.0 if has_neighbours else UNMODELLED_JY)


@cache
def _warn_of_flux_limit(limit_jy: float) -> None:
    """Log once for a process that calibrators are selected by their flux."""
    log.warning(
        "CONTIMG_CALIBRATE_MIN_APPARENT_JY=%g: fainter calibrators are not used although they give a signal to noise "
        "of CONTIMG_CALIBRATE_MIN_CHANNEL_SNR; unset it", limit_jy,
    )  # fmt: skip
