"""Where the demo plays: a directory of its own, with a configuration of its own."""

import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

from contimg.errors import Misconfigured
from contimg.options import Options, option
from contimg.settings import Settings, save

_MARK = ".contimg-demo"


class DemoOptions(Options, env_prefix="CONTIMG_DEMO_"):
    """The size of the demo; the defaults reach images in under three minutes on two cores."""

    groups: int = option(3, "tiles: a transit of 3C48, then target tiles", minimum=1)
    antennas: int = option(32, "antennas; 96 is the whole telescope", minimum=4, maximum=96)
    channels: int = option(192, "channels over the band, a multiple of 16; 768 is native", minimum=16, maximum=6144)
    gap: int = option(
        2, "tiles between the calibrator and the first target: 3C48 is out of the beam by then", minimum=0
    )
    seed: int = option(110, "what makes this sky and these receivers differ from another demo's", minimum=0)
    pace_s: float = option(5.0, "seconds from one tile to the next (the telescope takes 309)", minimum=0.0)
    patience_s: float = option(900.0, "give up when no group moves for so long, s", minimum=1.0)


@dataclass(frozen=True)
class Scene:
    """The demo's directory: what arrives, what is made, what the service remembers."""

    directory: Path
    port: int

    @property
    def incoming(self) -> Path:
        """Where the synthetic telescope writes; the truth lies in truth/ under it."""
        return self.directory / "incoming"

    @property
    def products(self) -> Path:
        """Where Measurement Sets, calibration tables and images go."""
        return self.directory / "products"

    @property
    def settings(self) -> Settings:
        """The deployment settings of the demo's service."""
        return Settings.from_environment().replace(state_dir=self.directory / "state", web_port=self.port)

    @property
    def environ(self) -> dict[str, str]:
        """What the service's processes need to know to play here."""
        # Pixels finer than the quick look's 6 arcsec: its fluxes between pixels miss by up to two percent.
        return {"PIPELINE_STATE_DIR": str(self.settings.state_dir), "CONTIMG_IMAGE_PIXEL_ARCSEC": "5"}

    @property
    def url(self) -> str:
        """The panel."""
        return f"http://127.0.0.1:{self.port}/"


def set_scene(directory: Path, port: int | None) -> Scene:
    """Make an empty stage in `directory`, an earlier demo's removed; raises Misconfigured when it holds other things.

    `port` of the panel; None takes the usual one, or any free one when that is busy.
    """
    directory = directory.absolute()
    if directory.exists() and any(directory.iterdir()):
        if not (directory / _MARK).exists():
            raise Misconfigured(f"{directory}: is not empty and no earlier demo; give an empty or new --directory")
        shutil.rmtree(directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / _MARK).write_text("`contimg demo` made this directory and removes it when it runs again.\n")
    except OSError as error:
        raise Misconfigured(f"{directory}: cannot be written ({error.strerror}); give another --directory") from None
    scene = Scene(directory, port if port is not None else _usual_or_free())
    scene.incoming.mkdir()
    scene.products.mkdir()
    changes = {
        "input_dir": str(scene.incoming),
        "output_dir": str(scene.products),
        "queue_db": str(directory / "state" / "contimg.sqlite3"),
        "scratch_dir": str(directory / "scratch"),
        "poll_interval": 1.0,
        "worker_poll_interval": 2.0,
    }
    save(scene.settings, changes)
    return scene


def _usual_or_free() -> int:
    usual = Settings.from_environment().web_port
    for port in (usual, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise Misconfigured("no free port on 127.0.0.1 for the panel; give one with --port")
