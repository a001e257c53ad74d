"""Options of self-calibration."""

from contimg.options import Options, option


class SelfcalOptions(Options, env_prefix="CONTIMG_SELFCAL_"):
    """Options of self-calibration."""

    enabled: bool = option(False, "self-calibrate a target tile before it is imaged")
    min_dynamic_range: float = option(50.0, "peak over noise that a tile needs to be self-calibrated", minimum=5.0)
    source_sigma: float = option(10.0, "flux of the faintest source in the model, over the noise", minimum=5.0)
    max_sources: int = option(50, "maximum number of sources in the model", minimum=1)
    amplitude: bool = option(True, "solve for amplitudes after the phases")
    least_gain: float = option(0.01, "fraction by which the noise must fall for a round to be kept", minimum=0.0)
