"""Options of the calibrate stage."""

from contimg.common.options import Options, option
from contimg.formats.caltables.caltable_set import STRIP_DEG


class CalibrateOptions(Options, env_prefix="CONTIMG_CALIBRATE_"):
    """Options of the calibrate stage."""

    flag: bool = option(True, "Search for interference with AOFlagger")
    solve: bool = option(True, "Solve when a catalogued calibrator is in the primary beam")
    min_attenuation: float = option(0.7, "Minimum primary beam response to a calibrator", minimum=0.05, maximum=1.0)
    min_apparent_jy: float = option(3.0, "Minimum flux of a calibrator after the primary beam", unit="Jy", minimum=0.0)
    hours_before: float = option(12.0, "Validity of a caltable set before its solutions", unit="h", minimum=0.0)
    hours_after: float = option(12.0, "Validity of a caltable set after its solutions", unit="h", minimum=0.0)
    strip_deg: float = option(
        STRIP_DEG, "Maximum difference in declination to a caltable set", unit="deg", minimum=0.01
    )
    presolve_s: float = option(60.0, "Interval of the first, phase-only solutions", unit="s", minimum=1.0)
    bandpass_snr: float = option(5.0, "Minimum signal to noise of a bandpass solution", minimum=0.0)
    gain_snr: float = option(3.0, "Minimum signal to noise of a gain solution", minimum=0.0)
    fill_gaps: int = option(3, "Maximum gap of a bandpass that is interpolated", unit="channels", minimum=0)
    casa_timeout_s: float = option(900.0, "Time limit of the CASA process", unit="s", minimum=10.0)
    casa_memory_gb: float = option(8.0, "Maximum address space of the CASA process", unit="GB", minimum=2.0)
