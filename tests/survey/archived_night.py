"""A night of small products on disk, made and committed as a worker does."""

import os
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from deployment import Deployment
from store_play import RULES, T0, Clock
from store_steps import IMAGE, MS, register_file

from contimg.formats.uvh5.grouping import subband_file_name
from contimg.settings import Settings
from contimg.store import Lease, Stage, Store
from contimg.survey.archive.births import checksum_product
from contimg.survey.archive.copying import open_place
from contimg.survey.archive.options import ArchiveOptions, PlaceRule, read_places
from contimg.tile.products import CalibratedMS
from workers.execution.archiving import ArchiveRound, run_round
from workers.execution.stages import StageContext

NIGHT = "2026-02-22"
PLACES = """
[[place]]
name = "vault"
url = "file://{root}/mnt/vault"
kinds = ["ms", "image", "raw"]

[[place]]
name = "attic"
url = "memory://contimg-{root}"
kinds = ["image"]
"""


@dataclass
class ArchivedNight:
    """The night: its store, the groups, and rounds of the archive.

    Attributes
    ----------
    deployment : directories and environment.
    """

    deployment: Deployment
    store: Store
    clock: Clock
    groups: list[str] = field(default_factory=list)

    @classmethod
    def make(cls, deployment: Deployment, clock: Clock, tiles: int = 2) -> "ArchivedNight":
        """Write the products of some tiles, commit them, and prepare the places."""
        deployment.more |= {"CONTIMG_ARCHIVE_PLACES": "archive.toml", "CONTIMG_ARCHIVE_KINDS": "ms image mosaic raw"}
        (deployment.root / "archive.toml").write_text(PLACES.format(root=deployment.root))
        (deployment.root / "mnt" / "vault").mkdir(parents=True)
        night = cls(deployment, Store.open(deployment.config.queue_db, RULES.replace(epochs=False), clock=clock), clock)
        for number in range(tiles):
            night.add_tile(number)
        for rule in night.rules:
            open_place(rule).prepare()
        return night

    @property
    def vault(self) -> Path:
        """The mounted directory."""
        return self.deployment.root / "mnt" / "vault"

    @property
    def rules(self) -> tuple[PlaceRule, ...]:
        return read_places(self.options, self.settings.base_dir)

    @property
    def options(self) -> ArchiveOptions:
        return ArchiveOptions.from_environment(self.deployment.environ)

    @property
    def settings(self) -> Settings:
        return self.deployment.settings

    @property
    def context(self) -> StageContext:
        return StageContext(self.deployment.config, self.store)

    def run(self, *, audits: bool = False) -> ArchiveRound:
        """Run a round of the archive."""
        return run_round(self.context, self.rules, self.options, audits=audits)

    def add_tile(self, number: int) -> str:
        """Write subband files, a Measurement Set and an image, and commit them stage by stage."""
        rng, output = np.random.default_rng(number), self.deployment.config.output_dir
        raw = [self.deployment.incoming / subband_file_name(T0 + 309 * number, subband) for subband in range(4)]
        for path in raw:
            path.write_bytes(rng.bytes(3000))
            os.utime(path, (T0, T0))
            group = register_file(self.store, path, 3000, path.stat().st_mtime).file.group
        assert group is not None
        ms, fits = output / f"{group}.ms", output / "images" / f"{group}.fits"
        (ms / "ANTENNA").mkdir(parents=True)
        for name in ("table.dat", "table.f1", "ANTENNA/table.dat"):
            (ms / name).write_bytes(rng.bytes(5000))
        fits.parent.mkdir(exist_ok=True)
        for path in (fits, fits.with_suffix(".pb.fits"), fits.with_suffix(".png")):
            path.write_bytes(rng.bytes(4000))
        image = replace(IMAGE, fits_path=fits, beam_fits_path=fits.with_suffix(".pb.fits"), verdict="good",
                        png_path=fits.with_suffix(".png"))  # fmt: skip
        for stage, product in (
            (Stage.CONVERT, replace(MS, path=ms)), (Stage.CALIBRATE, CalibratedMS(None, "none", 0.0)),
            (Stage.IMAGE, image),
        ):  # fmt: skip
            self.commit(group, stage, product, ms if stage is Stage.CALIBRATE else None)
        self.groups.append(group)
        return group

    def commit(self, group: str, stage: Stage, product: object, ms: Path | None) -> None:
        """Commit a product with the checksums of its files."""
        lease = self.store.leases.claim(group, stage, "a")
        assert isinstance(lease, Lease), lease
        files = checksum_product(product, ms, lease.files.values(), self.deployment.config.output_dir, self.options)
        self.store.leases.commit(lease, [product, files])

    def image(self, number: int = 0) -> Path:
        """The FITS image of a tile."""
        return self.deployment.config.output_dir / "images" / f"{self.groups[number]}.fits"

    def ms(self, number: int = 0) -> Path:
        """The Measurement Set of a tile."""
        return self.deployment.config.output_dir / f"{self.groups[number]}.ms"

    def counts(self, place: str = "vault") -> dict[str, int]:
        """The copies of a place by state, without those that there are none of."""
        return {state: number for state, number in self.store.archive_overview.counts(place).items() if number}
