"""Options of self-calibration."""

from contimg.common.options import Options, option


class SelfcalOptions(Options, env_prefix="CONTIMG_SELFCAL_"):
    """Options of self-calibration."""

    enabled: bool = option(False, "Self-calibrate a target tile before it is imaged")
    min_dynamic_range: float = option(50.0, "Minimum peak over noise of a tile that is self-calibrated", minimum=5.0)
    source_sigma: float = option(10.0, "Minimum flux of a source of the model, over the noise", minimum=5.0)
    max_sources: int = option(50, "Maximum number of sources of the model", minimum=1)
    amplitude: bool = option(True, "Solve for amplitudes after the phases")
    least_gain: float = option(0.01, "Minimum fraction by which the noise falls in a round that is kept", minimum=0.0)
