"""The demo's options, directory and configuration, and its synthetic telescope."""

import shutil
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from contimg.common.errors import Misconfigured
from contimg.common.files.processes import free_port
from contimg.common.options import Options, option
from contimg.settings import Settings, save
from contimg.simulation import SimulateOptions, TilePlan, plan_tiles, simulate_tile
from contimg.simulation.catalogue import NAME, write_sky_catalogue
from contimg.sky.catalogue.catalogue import catalogue_path

_MARK = ".contimg-demo"


class DemoOptions(Options, env_prefix="CONTIMG_DEMO_"):
    """Size of the demo; with the defaults it ends in less than three minutes on two cores."""

    groups: int = option(3, "Number of tiles: a transit of 3C48, then target tiles", minimum=1)
    antennas: int = option(32, "Number of antennas; 96 is the whole telescope", minimum=4, maximum=96)
    channels: int = option(192, "Channels over the band, a multiple of 16; 768 is native", minimum=16, maximum=6144)
    gap: int = option(2, "Tiles between the calibrator and the first target; with 2, 3C48 has left the beam", minimum=0)
    seed: int = option(110, "Seed of the simulated sky and receivers", minimum=0)
    pace_s: float = option(5.0, "Time between the starts of two tiles (telescope: 309 s)", unit="s", minimum=0.0)
    patience_s: float = option(900.0, "Time without a change after which the demo fails", unit="s", minimum=1.0)


@dataclass(frozen=True)
class Scene:
    """The demo's directory, with subband files, products and the service's state.

    Attributes
    ----------
    directory : of the demo.
    port : of the panel.
    """

    directory: Path
    port: int

    @property
    def incoming(self) -> Path:
        """Directory of the subband files; truth/ in it has the simulated sources."""
        return self.directory / "incoming"

    @property
    def settings(self) -> Settings:
        """The deployment settings of the demo's service."""
        return Settings.from_environment().replace(state_dir=self.directory / "state", web_port=self.port)

    @property
    def environ(self) -> dict[str, str]:
        """Environment variables of the service's processes."""
        return {"PIPELINE_STATE_DIR": str(self.settings.state_dir)}

    @property
    def url(self) -> str:
        """Address of the panel."""
        return f"http://127.0.0.1:{self.port}/"


def prepare_scene(directory: Path, port: int | None) -> Scene:
    """Prepare an empty directory with the demo's configuration; the files of an earlier demo are removed.

    Parameters
    ----------
    directory : of the demo.
    port : of the panel; None for the configured one, or any free one when that is in use.

    Raises
    ------
    Misconfigured : the directory has other files or cannot be written.
    """
    directory = directory.absolute()
    if directory.exists() and any(directory.iterdir()):
        if not (directory / _MARK).exists():
            raise Misconfigured(f"{directory}: not empty and not of an earlier demo; give an empty or new --directory")
        shutil.rmtree(directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / _MARK).write_text("`contimg demo` made this directory and removes it when it runs again.\n")
    except OSError as error:
        raise Misconfigured(f"{directory}: cannot be written ({error.strerror}); give another --directory") from None
    scene = Scene(directory, port if port is not None else _choose_port())
    scene.incoming.mkdir()
    products = directory / "products"  # Measurement Sets, calibration tables and images
    products.mkdir()
    changes = {
        "input_dir": str(scene.incoming),
        "output_dir": str(products),
        "queue_db": str(directory / "state" / "contimg.sqlite3"),
        "scratch_dir": str(directory / "scratch"),
        "poll_interval": 1.0,
        "worker_poll_interval": 2.0,
    }
    save(scene.settings, changes)
    return scene


def _choose_port() -> int:
    try:
        return free_port(Settings.from_environment().web_port)
    except OSError:
        return free_port()


class Telescope(threading.Thread):
    """A thread that writes the planned tiles to the scene's incoming directory, faster than the real telescope.

    Attributes
    ----------
    plans : tiles to write.
    error : exception that stopped the thread; None while it runs and when it has ended.
    """

    def __init__(self, scene: Scene, options: DemoOptions) -> None:
        super().__init__(name="telescope", daemon=True)
        self._scene, self._pace_s = scene, options.pace_s
        # One thread, to leave the other core to the pipeline.
        size = options.model_dump(include={"groups", "antennas", "channels", "gap", "seed"})
        # Without smearing: the small beam of 32 antennas with outriggers would show sources several percent low.
        self._options = SimulateOptions(**size, sky="counts", smearing=False, threads=1)
        self.plans: tuple[TilePlan, ...] = plan_tiles(self._options)
        # Installed before the service starts, so that every image is compared with it.
        write_sky_catalogue(catalogue_path(scene.settings.state_dir, NAME), self.plans, self._options)
        self.error: Exception | None = None

    def run(self) -> None:
        """Write every tile, each `pace_s` or more after the start of the previous one."""
        try:
            for plan in self.plans:
                due_s = time.monotonic() + self._pace_s
                simulate_tile(plan, self._options, self._scene.incoming)
                time.sleep(max(0.0, due_s - time.monotonic()))
        except Exception as error:  # noqa: BLE001 (raised by the thread that waits for it)
            self.error = error
