"""Rules of retention: which products and records are kept, and for how long."""

from contimg.common.options import Options, option


class RetentionRules(Options):
    """Retention of products and records; 0 days, the default of products, keeps them. Environment: CONTIMG_<FIELD>.

    With `keep_events_days` 0 all records are kept, whatever the rules of the other records are.
    """

    keep_ms_days: float = option(0.0, "Age after which a Measurement Set is deleted; 0: never", unit="d", minimum=0)
    keep_images_days: float = option(0.0, "Age after which an image is deleted; 0: never", unit="d", minimum=0)
    keep_mosaics_days: float = option(0.0, "Age after which a mosaic is deleted; 0: never", unit="d", minimum=0)
    keep_last: int = option(48, "Number of newest products of each kind that are kept at any age", minimum=0)
    keep_flagged: bool = option(True, "Keep products whose QA grade is not good")
    keep_events_days: float = option(
        90.0,
        "Age after which events of level info of a tile or epoch are deleted; 0: no record is",
        unit="d",
        minimum=0,
    )
    keep_notable_days: float = option(
        3650.0,
        "Age after which warnings, errors, events of no tile or epoch, ended alerts, silences and outages of antennas "
        "are deleted; 0: never",
        unit="d",
        minimum=0,
    )
    keep_samples_days: float = option(
        90.0, "Age after which the samples of charts are replaced by hourly means; 0: never", unit="d", minimum=0
    )
    keep_hours_days: float = option(
        0.0, "Age after which these hourly means are deleted; 0: never", unit="d", minimum=0
    )
    keep_antennas_days: float = option(
        90.0, "Age after which the numbers of each antenna in each tile are deleted; 0: never", unit="d", minimum=0
    )
    retention_interval_s: float = option(3600.0, "Time between two rounds of retention", unit="s", minimum=1)
