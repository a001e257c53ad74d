"""Rules of retention: which products and records are kept, for how long, and what needs a verified copy before."""

import re
from collections.abc import Mapping

from pydantic import field_validator

from contimg.common.options import Options, option

MS, CALTABLES, IMAGE, MOSAIC, RAW = PRODUCT_KINDS = ("ms", "caltables", "image", "mosaic", "raw")
"""Kinds of products whose files have checksums and copies; `raw` are subband files."""
_DELETED_KINDS = (MS, IMAGE, MOSAIC, RAW)


class RetentionRules(Options):
    """Retention of products and records; 0 days, the default of products, keeps them. Environment: CONTIMG_<FIELD>.

    With `keep_events_days` 0 all records are kept, whatever the rules of the other records are.
    """

    keep_ms_days: float = option(0.0, "Age after which a Measurement Set is deleted; 0: never", unit="d", minimum=0)
    keep_images_days: float = option(0.0, "Age after which an image is deleted; 0: never", unit="d", minimum=0)
    keep_mosaics_days: float = option(0.0, "Age after which a mosaic is deleted; 0: never", unit="d", minimum=0)
    keep_raw_days: float = option(
        0.0, "Age after which the subband files of a completed group are deleted; 0: never", unit="d", minimum=0
    )
    require_verified: str = option(
        "raw=1",
        "Places in which every file of a product must have a verified copy before it is deleted, by kind: "
        "ms=N image=N mosaic=N raw=N; a kind that is not named needs none, but raw needs one",
    )
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

    @field_validator("require_verified")
    @classmethod
    def _check_requirements(cls, text: str) -> str:
        for word in text.split():
            if re.fullmatch(rf"({'|'.join(_DELETED_KINDS)})=\d", word) is None:
                raise ValueError(f"{word}: must be a kind ({', '.join(_DELETED_KINDS)}), = and a number, as in raw=1")
        return text

    @property
    def required_places(self) -> Mapping[str, int]:
        """Number of places in which the files of each kind must be verified before they are deleted."""
        words = dict(word.split("=") for word in self.require_verified.split())
        return {RAW: 1} | {kind: int(number) for kind, number in words.items()}
