"""Options of the convert stage."""

from typing import Literal, Self

from pydantic import model_validator

from contimg.common.options import Options, option
from contimg.formats.uvh5.bands import parse_band_plan
from contimg.instrument.dsa110 import BandPlan


class ConvertOptions(Options, env_prefix="CONTIMG_CONVERT_"):
    """How to convert a group."""

    block_mb: int = option(8, "Size of the block of one subband that is read and rotated at once", unit="MB", minimum=1)
    telescope: Literal["DSA-110", "any"] = option(
        "DSA-110", "Telescope of the files; any: another array, whose files must only agree with one another"
    )
    band: str = option(
        "", "Band plan, TOP_MHZ:SUBBAND_MHZ:SUBBANDS[:rising]; empty: the telescope's, or that of the files"
    )
    file_locking: Literal["best-effort", "on", "off"] = option(
        "best-effort", "Whether HDF5 locks the files it reads; off for network file systems"
    )
    durable: bool = option(
        False, "Flush the Measurement Set to the disk before it is renamed, so that it survives a power failure"
    )

    @model_validator(mode="after")
    def _check_band(self) -> Self:
        parse_band_plan(self.band)
        return self

    @property
    def own_telescope(self) -> bool:
        """Whether the files have to be the DSA-110's."""
        return self.telescope == "DSA-110"

    @property
    def plan(self) -> BandPlan | None:
        """The band plan that the files have to fill; None for the one that they show."""
        return parse_band_plan(self.band) if self.band or self.own_telescope else None
