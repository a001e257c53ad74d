"""What an operator may set about calibration."""

from contimg.formats.caltables.caltable_set import STRIP_DEG
from contimg.options import Options, option


class CalibrateOptions(Options, env_prefix="CONTIMG_CALIBRATE_"):
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
        STRIP_DEG,
        "declination from a set's own beyond which it is of another strip and not applied, degrees",
        minimum=0.01,
    )
    presolve_s: float = option(60.0, "interval of the first, phase-only solutions, seconds", minimum=1.0)
    bandpass_snr: float = option(5.0, "least signal to noise of a bandpass solution", minimum=0.0)
    gain_snr: float = option(3.0, "least signal to noise of a gain solution", minimum=0.0)
    fill_gaps: int = option(3, "channels across which a flagged bandpass is interpolated", minimum=0)
    casa_timeout_s: float = option(900.0, "stop the CASA process after so many seconds", minimum=10.0)
    casa_memory_gb: float = option(8.0, "address space that the CASA process may take, GB", minimum=2.0)
