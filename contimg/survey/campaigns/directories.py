"""Where the products of a campaign are."""

from pathlib import Path

from contimg.common.files.names import check_name
from contimg.store import LIVE

DIRECTORY = "campaigns"


def campaign_directory(output_dir: Path, processing: str) -> Path:
    """Return the directory of the products of a processing; a campaign has its own.

    Parameters
    ----------
    output_dir : directory of the products of the stream.
    processing : name of a campaign, or `live`.
    """
    return output_dir if processing == LIVE else output_dir / DIRECTORY / check_name(processing, "campaign")
