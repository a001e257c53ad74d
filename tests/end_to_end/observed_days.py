"""A deployment whose telescope observes simulated days: tiles of small arrays, through broker, producer and workers."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
from deployment import Deployment
from waiting import until

from contimg.simulation import SimulateOptions, TilePlan, plan_tiles
from contimg.simulation.sky import Source, power_law
from contimg.sky.catalogue import SIMULATED, CatalogueSources, Provenance, write_catalogue
from contimg.sky.catalogue.catalogue import catalogue_path
from contimg.store import GroupRecord, State, Store

ENDED = (State.COMPLETED, State.FAILED, State.DISCARDED)
# 16 antennas have a beam of 84" x 43" with this taper; images of 2 degrees then have few pixels.
SMALL_IMAGES = {
    "CONTIMG_IMAGE_SIZE": "720", "CONTIMG_IMAGE_PIXEL_ARCSEC": "10", "CONTIMG_IMAGE_TAPER_ARCSEC": "40",
    "CONTIMG_COLLECTION_TIMEOUT_S": "15", "CONTIMG_IMAGE_THREADS": "1", "CONTIMG_MEASURE_MAX_BEAM_ARCSEC": "120",
}  # fmt: skip
PATIENCE_S = 600
ARRAY = ("--antennas", "16", "--channels", "48", "--no-smearing", "--clock-spread", "0", "--threads", "1")


def draw_sources(
    tiles: tuple[TilePlan, ...], number: int, faintest_jy: float, brightest_jy: float, seed: int
) -> list[Source]:  # fmt: skip
    """Draw point sources at least 0.2 degrees apart in a strip of tiles, named S0, S1, ..."""
    rng, middle = np.random.default_rng(seed), tiles[len(tiles) // 2]
    first_deg, last_deg = (
        (tile.centre_ra_deg - middle.centre_ra_deg + 180) % 360 - 180 for tile in (tiles[0], tiles[-1])
    )
    shrink = float(np.cos(np.deg2rad(middle.centre_dec_deg)))
    positions: list[tuple[float, float]] = []
    while len(positions) < number:
        east, north = rng.uniform(first_deg - 0.4, last_deg + 0.4), rng.uniform(-0.7, 0.7)
        if all(np.hypot((east - x) * shrink, north - y) > 0.2 for x, y in positions):
            positions.append((float(east), float(north)))
    fluxes_jy = faintest_jy * (brightest_jy / faintest_jy) ** rng.random(number)
    return [
        power_law(f"S{index}", (middle.centre_ra_deg + east) % 360, middle.centre_dec_deg + north, float(flux_jy), -0.7)
        for index, ((east, north), flux_jy) in enumerate(zip(positions, fluxes_jy, strict=True))
    ]


class Observatory:
    """A deployment and a simulated telescope.

    Attributes
    ----------
    deployment : in a directory of its own.
    store : of the deployment.
    variables : table of the sources of its sky and their fluxes by day.
    """

    def __init__(self, root: Path, gap: int, targets: int) -> None:
        root.mkdir()
        self.deployment = Deployment(root, SMALL_IMAGES)
        self.deployment.incoming.mkdir()
        self.variables = root / "variables.csv"
        self._layout = ("--groups", str(1 + targets), "--gap", str(gap), "--sources", "0")
        self._options = SimulateOptions(groups=1 + targets, gap=gap, sources=0)
        self._days: dict[str, list[Path]] = {}

    def plan(self, date: str) -> tuple[TilePlan, ...]:
        """Plan of the target tiles after the transit of a date."""
        return plan_tiles(self._options.replace(date=date))[1:]

    def install_catalogue(self, sources: list[Source]) -> None:
        """Make sources the reference catalogue."""
        flux_jy = [float(source.flux_jy(1.405e9)) for source in sources]
        columns = CatalogueSources.of(
            1.405e9, [source.name for source in sources], [source.ra_deg for source in sources],
            [source.dec_deg for source in sources], flux_jy, position_error_deg=0.0, flux_error_jy=0.0,
            spectral_index=-0.7, is_isolated=np.ones(len(sources), dtype=bool),
        )  # fmt: skip
        path = catalogue_path(self.deployment.settings.state_dir, "sky")
        path.parent.mkdir(parents=True)
        provenance = Provenance(name="sky", kind=SIMULATED, frequency_hz=1.405e9, beam_deg=0.0, flux_limit_jy=0.02)
        write_catalogue(path, columns, provenance)

    def start(self) -> None:
        """Start broker, producer and workers."""
        self.store = Store.open(self.deployment.config.queue_db)
        self._service = self.deployment.start_process(*self.deployment.command("run", "--no-web"), log="run.log")

    def close(self) -> None:
        """Stop them."""
        self._service.terminate()
        self._service.wait(60)
        self.store.close()

    def simulate(self, date: str, *more: str) -> list[str]:
        """Observe the transit of a date and the target tiles after it; returns the groups, the transit first."""
        directory = self.deployment.root / "telescope" / date
        done = self.deployment.contimg(
            "simulate", str(directory), "--date", date, "--variable-sources", str(self.variables), *self._layout,
            *ARRAY, *more, timeout_s=PATIENCE_S,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        self._days[date] = sorted(directory.glob("*.hdf5"))
        return [path.stem for path in sorted((directory / "truth").glob("*.csv"))]

    def deliver(self, date: str, *groups: str) -> None:
        """Let the files of groups of a date arrive."""
        for path in self._days[date]:
            if path.name.startswith(groups):
                path.rename(self.deployment.incoming / path.name)

    def deliver_with_calibrator(self, date: str, groups: list[str]) -> None:
        """Deliver the transit, and the target tiles when it is calibrated."""
        self.deliver(date, groups[0])
        until(
            lambda: any(record.group == groups[0] for record in self.store.registry.sets()),
            PATIENCE_S,
            "a calibration set",
        )
        self.deliver(date, *groups[1:])

    def wait_for_images(self, groups: list[str]) -> None:
        """Wait until groups are imaged."""

        def find_groups() -> list[GroupRecord]:
            records = (self.store.files.group(group) for group in groups)
            return [record for record in records if record is not None]

        def are_imaged() -> bool:
            return sum(record.state in ENDED for record in find_groups()) == len(groups)

        self._wait(are_imaged, f"{groups} imaged")
        assert {record.id: record.error for record in find_groups() if record.state is not State.COMPLETED} == {}

    def wait_for_epochs(self, before_s: float = float("inf")) -> None:
        """Wait until the epochs whose windows began before a time have their measured mosaics."""
        states = (State.COLLECTING, State.PENDING, State.IN_PROGRESS)

        def are_made() -> bool:
            epochs = self.store.epochs.list_epochs(1000, states=states).epochs
            return all(epoch.window_start_at >= before_s for epoch in epochs)

        self._wait(are_made, "the epochs are made")

    def _wait(self, reached: Callable[[], bool], what: str) -> None:
        until(reached, PATIENCE_S, what)
        assert self._service.poll() is None, (self.deployment.root / "run.log").read_text()[-2000:]


def read_truth(directory: Path) -> dict[str, dict[str, float]]:
    """Sources of a truth table by name."""
    with directory.open(newline="") as file:
        return {row.pop("name"): {key: float(value) for key, value in row.items()} for row in csv.DictReader(file)}
