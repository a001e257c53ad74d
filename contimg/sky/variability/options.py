"""Options of normalisation, association and candidates. Light to import: no numerical library."""

from contimg.common.options import Options, option


class AssociationOptions(Options, env_prefix="CONTIMG_ASSOCIATION_"):
    """When a detection is a source that is known, and when a new one is called new."""

    systematic_arcsec: float = option(
        1.0, "Systematic error of a position on each axis, of detections and of sources", unit="arcsec", minimum=0.0
    )
    max_radius: float = option(5.0, "Largest separation over its error", minimum=0.0)
    same_beams: float = option(0.5, "Separation within which it is always one source", unit="beam widths", minimum=0.0)
    max_beams: float = option(1.0, "Largest separation of one source", unit="beam widths", minimum=0.0)
    detect_sigma: float = option(6.0, "Least peak over the local noise of a blind detection", minimum=3.0)
    new_sigma: float = option(5.0, "Flux over the noise of an epoch that would have shown it", minimum=0.0)
    new_margin_sigma: float = option(
        3.0, "Errors of both epochs by which the flux has to exceed that, so that no fluctuation is new", minimum=0.0
    )


class CandidateRule(Options, env_prefix="CONTIMG_CANDIDATE_"):
    """Which sources are candidates of variability."""

    min_epochs: int = option(5, "Fewest epochs of a candidate", minimum=3)
    probability: float = option(
        1e-4, "Probability of the excess of η over all epochs but the most deviating one, for a steady source",
        minimum=0.0, maximum=1.0,
    )  # fmt: skip
    min_eta: float = option(1.8, "Smallest η without the most deviating epoch", minimum=0.0)
    min_v: float = option(0.05, "Smallest modulation index V", minimum=0.0)
    min_vs: float = option(3.5, "Smallest Vs of the highest and the lowest epoch", minimum=0.0)
    single_vs: float = option(10.0, "Smallest Vs of a candidate of a single epoch", minimum=0.0)
    crowd: float = option(
        0.01, "Part of the sources above which deviations in one epoch are the epoch's", minimum=0.0, maximum=1.0
    )


class NormalisationOptions(Options, env_prefix="CONTIMG_NORMALISATION_"):
    """When the flux scale of an epoch is accepted."""

    reference_min_snr: float = option(10.0, "Reference flux over the epoch's error of a reference source", minimum=0.0)
    reference_min_sources: int = option(3, "Fewest reference sources of an epoch's normalisation", minimum=3)
    reference_floor: float = option(0.01, "Relative error that each reference source has at least", minimum=0.0)
    max_flux_factor: float = option(1.5, "Largest factor, or inverse factor, that is accepted", minimum=1.0)
    max_factor_error: float = option(0.05, "Largest error of the factor", minimum=0.0)
    max_scatter: float = option(0.1, "Largest relative scatter of the references beyond their errors", minimum=0.0)
