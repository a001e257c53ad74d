"""What an operator may choose about fluxes at fixed positions."""

from contimg.common.options import Options, option


class MeasureOptions(Options, env_prefix="CONTIMG_MEASURE_"):
    """Options of the measure stage."""

    blend_beams: float = option(
        2.0, "Positions nearer than this are fitted together", unit="beam widths", minimum=1.5, maximum=4.0
    )
    empty_beams: float = option(
        3.0, "Least distance of the empty positions, on which errors are measured, from the measured ones",
        unit="beam widths", minimum=1.5, maximum=20.0,
    )  # fmt: skip
    empty_positions: int = option(2000, "Empty positions on which errors are measured", minimum=0, maximum=100_000)
    edge_beams: float = option(
        3.0, "Distance from an edge below which a flux has the flag EDGE", unit="beam widths", minimum=0.0
    )
    low_pb: float = option(0.3, "Primary beam below which a flux has the flag LOW_PB", minimum=0.0, maximum=1.0)
    max_beam_arcsec: float = option(
        75.0, "Major axis of the beam above which fluxes have the flag LARGE_BEAM", unit="arcsec", above=0.0
    )
    max_flagged: float = option(
        0.5, "Flagged fraction of the visibilities above which fluxes have the flag HIGH_FLAG_FRACTION",
        minimum=0.0, maximum=1.0,
    )  # fmt: skip
    noisy_factor: float = option(
        3.0, "Local noise over the median of the image above which a flux has the flag NOISY", minimum=1.0
    )
