"""How to convert a group."""

from dataclasses import dataclass

from contimg.formats.uvh5.bands import band_plan
from contimg.formats.uvh5.opening import LOCKING
from contimg.instrument.dsa110 import BandPlan
from contimg.options import option

ENVIRONMENT = "CONTIMG_CONVERT"
DSA_110, ANY = "DSA-110", "any"


@dataclass(frozen=True)
class ConvertOptions:
    """How to convert a group."""

    block_mb: int = option(8, "size of the block of one subband that is read and rotated at once", minimum=1)
    telescope: str = option(
        DSA_110,
        "whose data these are; any: another array's, held only to agree with one another",
        choices=(DSA_110, ANY),
    )
    band: str = option(
        "", "another band plan, TOP_MHZ:SUBBAND_MHZ:SUBBANDS[:rising]; empty: the telescope's, or what the files show"
    )
    file_locking: str = option(
        "best-effort", "whether HDF5 locks the files it reads; off for network file systems", choices=LOCKING
    )
    durable: bool = option(
        False, "flush the Measurement Set to the disk before it takes its name, so that it survives a power cut"
    )

    def __post_init__(self) -> None:
        band_plan(self.band)

    @property
    def own_telescope(self) -> bool:
        """Whether the data have to be the DSA-110's."""
        return self.telescope == DSA_110

    @property
    def plan(self) -> BandPlan | None:
        """The band plan that the files have to fill; None: the one they show."""
        return band_plan(self.band) if self.band or self.own_telescope else None
