"""What an operator may set about calibration."""

from dataclasses import dataclass

from contimg.options import option

ENVIRONMENT = "CONTIMG_CALIBRATE"
LIMITS_ENVIRONMENT = "CONTIMG_SOLUTIONS"


@dataclass(frozen=True)
class CalibrateOptions:
    """Options of the calibrate stage."""

    flag: bool = option(True, "search for interference with AOFlagger")
    solve: bool = option(True, "solve when a catalogued calibrator is in the beam")
    min_attenuation: float = option(
        0.7, "primary beam response at mid-tile that a calibrator needs", minimum=0.05, maximum=1.0
    )
    min_apparent_jy: float = option(3.0, "flux after the primary beam that a calibrator needs, Jy", minimum=0.0)
    hours_before: float = option(12.0, "a set is valid from so many hours before its solutions", minimum=0.0)
    hours_after: float = option(12.0, "a set is valid until so many hours after its solutions", minimum=0.0)
    strip_deg: float = option(
        0.5, "declination from a set's own beyond which it is of another strip and not applied, degrees", minimum=0.01
    )
    presolve_s: float = option(60.0, "interval of the first, phase-only solutions, seconds", minimum=1.0)
    bandpass_snr: float = option(5.0, "least signal to noise of a bandpass solution", minimum=0.0)
    gain_snr: float = option(3.0, "least signal to noise of a gain solution", minimum=0.0)
    fill_gaps: int = option(3, "channels across which a flagged bandpass is interpolated", minimum=0)
    casa_timeout_s: float = option(900.0, "stop the CASA process after so many seconds", minimum=10.0)
    casa_memory_gb: float = option(8.0, "address space that the CASA process may take, GB", minimum=2.0)


@dataclass(frozen=True)
class SolutionLimits:
    """Where a set of solutions stops being good (`suspect_`) and where it is no product at all (`reject_`)."""

    suspect_flagged: float = option(0.2, "flagged fraction of a table's live solutions", minimum=0.0, maximum=1.0)
    reject_flagged: float = option(0.7, "flagged fraction, above which a set is rejected", minimum=0.0, maximum=1.0)
    suspect_snr: float = option(10.0, "median signal to noise of a table, below which it is suspect", minimum=0.0)
    reject_snr: float = option(3.0, "median signal to noise, below which a set is rejected", minimum=0.0)
    suspect_scatter_deg: float = option(20.0, "rms of the phases within the transit, degrees", minimum=0.0)
    reject_scatter_deg: float = option(60.0, "rms of the phases, above which a set is rejected", minimum=0.0)
    suspect_outliers: float = option(0.15, "fraction of receptors with an outlying amplitude", minimum=0.0)
    reject_outliers: float = option(0.5, "fraction of outlying receptors, above which a set is rejected", minimum=0.0)
    outlier_factor: float = option(3.0, "amplitude over or under the array's median that makes an outlier", minimum=1.0)
    suspect_residual: float = option(0.15, "what is left of the calibrator, as part of it", minimum=0.0)
    reject_residual: float = option(0.5, "what is left, above which a set is rejected", minimum=0.0)
    suspect_change_deg: float = option(
        180.0,
        "rms of the phases against the previous set, degrees; 180: a restarted correlator turns them all, and the "
        "new set is then the right one",
        minimum=0.0,
        maximum=180.0,
    )
