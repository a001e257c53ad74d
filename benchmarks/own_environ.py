"""The environment of a service that is measured in a directory of its own, whatever this shell has set."""

import os
from pathlib import Path


def own_environ(directory: Path) -> dict[str, str]:
    """State, incoming files and products below `directory`; none of this shell's own settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CONTIMG_")}
    return kept | {
        "PIPELINE_STATE_DIR": str(directory / "state"),
        "CONTIMG_INPUT_DIR": str(directory / "incoming"),
        "CONTIMG_OUTPUT_DIR": str(directory / "products"),
        "CONTIMG_SCRATCH_DIR": str(directory / "scratch"),
    }
