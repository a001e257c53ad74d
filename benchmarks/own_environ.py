"""Environment of a service that is measured in a directory of its own, independent of the settings of this shell."""

import os
from pathlib import Path


def own_environ(directory: Path) -> dict[str, str]:
    """Return an environment with state, incoming files and products below `directory`, without CONTIMG_*."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("CONTIMG_")}
    return variables | {
        "PIPELINE_STATE_DIR": str(directory / "state"),
        "CONTIMG_INPUT_DIR": str(directory / "incoming"),
        "CONTIMG_OUTPUT_DIR": str(directory / "products"),
        "CONTIMG_SCRATCH_DIR": str(directory / "scratch"),
    }
