"""Options of the calibrate stage."""

from contimg.formats.caltables.caltable_set import STRIP_DEG
from contimg.options import Options, option


class CalibrateOptions(Options, env_prefix="CONTIMG_CALIBRATE_"):
    """Options of the calibrate stage."""

    flag: bool = option(True, "search for interference with AOFlagger")
    solve: bool = option(True, "solve when a catalogued calibrator is in the beam")
    min_attenuation: float = option(0.7, "minimum primary beam response to a calibrator", minimum=0.05, maximum=1.0)
    min_apparent_jy: float = option(3.0, "minimum flux of a calibrator after the primary beam, Jy", minimum=0.0)
    hours_before: float = option(12.0, "validity of a caltable set before its solutions, hours", minimum=0.0)
    hours_after: float = option(12.0, "validity of a caltable set after its solutions, hours", minimum=0.0)
    strip_deg: float = option(STRIP_DEG, "maximum difference in declination to a caltable set, degrees", minimum=0.01)
    presolve_s: float = option(60.0, "interval of the first, phase-only solutions, seconds", minimum=1.0)
    bandpass_snr: float = option(5.0, "minimum signal to noise of a bandpass solution", minimum=0.0)
    gain_snr: float = option(3.0, "minimum signal to noise of a gain solution", minimum=0.0)
    fill_gaps: int = option(3, "maximum gap of a bandpass that is interpolated, channels", minimum=0)
    casa_timeout_s: float = option(900.0, "time limit of the CASA process, seconds", minimum=10.0)
    casa_memory_gb: float = option(8.0, "maximum address space of the CASA process, GB", minimum=2.0)
