"""Settings and environment of a deployment in a directory of its own, for tests that start processes."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from contimg.settings import Settings, StreamingConfig, load


@dataclass(eq=False)
class Deployment:
    """A state, an incoming and a products directory, with short intervals and small images.

    Attributes
    ----------
    root : directory of all three.
    more : environment variables added to those of the deployment.
    """

    root: Path
    more: dict[str, str] = field(default_factory=dict)

    @property
    def environ(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CONTIMG_")}
        return inherited | {
            "PIPELINE_STATE_DIR": str(self.root / "state"),
            "CONTIMG_INPUT_DIR": str(self.root / "incoming"),
            "CONTIMG_OUTPUT_DIR": str(self.root / "products"),
            "CONTIMG_POLL_INTERVAL": "0.5",
            "CONTIMG_WORKER_POLL_INTERVAL": "0.5",
            "CONTIMG_RETRY_DELAY_S": "0.5",
            "CONTIMG_IMAGE_SIZE": "256",
            **self.more,
        }

    @property
    def settings(self) -> Settings:
        return Settings.from_environment(self.environ)

    @property
    def config(self) -> StreamingConfig:
        return load(self.settings, self.environ)
