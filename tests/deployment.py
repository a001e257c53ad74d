"""Settings, environment and processes of a deployment in a directory of its own."""

import os
import subprocess
import sys
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
    def incoming(self) -> Path:
        return self.root / "incoming"

    @property
    def environ(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CONTIMG_")}
        return inherited | {
            "PIPELINE_STATE_DIR": str(self.root / "state"),
            "CONTIMG_INPUT_DIR": str(self.incoming),
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

    @staticmethod
    def command(*arguments: str) -> list[str]:
        return [sys.executable, "-m", "contimg", *arguments]

    def contimg(self, *arguments: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments), env=self.environ, cwd=self.root, capture_output=True, text=True, timeout=timeout_s
        )

    def start_process(self, *command: str, log: str, append: bool = False) -> subprocess.Popen[bytes]:
        """Start a command in a session of its own, with its output in a file of the root."""
        with (self.root / log).open("ab" if append else "wb") as sink:
            return subprocess.Popen(
                command, env=self.environ, cwd=self.root, stdout=sink, stderr=subprocess.STDOUT, start_new_session=True
            )
