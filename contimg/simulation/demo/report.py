"""What came of the demo: the products' paths, and every source measured against the truth."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from contimg.store import Store, StoredImage
from contimg.tile.image.sources.photometry import Measured, measure

FLUX_TOLERANCE = 0.03
POSITION_TOLERANCE_BEAMS = 0.2
_NOISES = 5.0  # what the image's noise alone may add to the difference
_LEAST_SNR = 20.0  # a fainter source says nothing about three percent


@dataclass(frozen=True)
class Checked:
    """One source of the truth as an image shows it; fluxes are apparent, through the primary beam."""

    group: str
    name: str
    true_jy: float
    measured: Measured

    @property
    def ratio(self) -> float:
        """Measured over true flux."""
        return self.measured.apparent_jy / self.true_jy

    @property
    def within(self) -> bool:
        """Whether flux and position are as they should be."""
        allowed = FLUX_TOLERANCE * self.true_jy + _NOISES * self.measured.noise_jy
        right_flux = abs(self.measured.apparent_jy - self.true_jy) <= allowed
        return right_flux and self.measured.offset_beams <= POSITION_TOLERANCE_BEAMS


def check_image(image: StoredImage, truth: Path) -> list[Checked]:
    """Measure the sources of a truth file (see contimg.simulation.truth) that this image can show."""
    described = json.loads(truth.read_text(encoding="utf-8"))
    reach_deg = 0.5 * image.pixels * image.cell_arcsec / 3600
    found = []
    for source in described["sources"]:
        north = abs(source["dec_deg"] - image.dec_deg)
        east = abs((source["ra_deg"] - image.ra_deg + 180) % 360 - 180)  # generous: more than on the sky
        bright = source["apparent_flux_jy"] > _LEAST_SNR * image.rms_jy
        if bright and north < 0.95 * reach_deg and east < 0.95 * reach_deg:
            measured = measure(image.fits_path, source["ra_deg"], source["dec_deg"])
            found.append(Checked(image.group, source["name"], source["apparent_flux_jy"], measured))
    return found


def print_products(console: Console, store: Store, groups: Iterable[str]) -> None:
    """The paths of everything that was made."""
    for group in groups:
        ms, image = store.products.measurement_set(group), store.products.image_of(group)
        console.print(f"\n[bold]{group}[/bold]")
        if ms:
            console.print(f"  measurement set  {ms.path}", highlight=False, soft_wrap=True)
        for record in store.registry.sets():
            if record.group == group:
                for table in record.tables:
                    console.print(f"  {table.kind:15}  {table.path}", highlight=False, soft_wrap=True)
        if image:
            console.print(f"  image            {image.fits_path}", highlight=False, soft_wrap=True)
            console.print(f"  preview          {image.png_path}", highlight=False, soft_wrap=True)
            applied = image.calibration_set or f"UNCALIBRATED: {image.calibration_note}"
            console.print(f"  calibration      {applied}", highlight=False, soft_wrap=True)
            console.print(f"  rms              {image.rms_jy * 1e3:.2f} mJy/beam", highlight=False)


def print_fluxes(console: Console, checked: Iterable[Checked]) -> None:
    """The table of measured against true fluxes."""
    table = Table(
        title="measured against the truth (apparent flux, through the primary beam)",
        title_justify="left",
        box=None,
        padding=(0, 1),
    )
    for heading in ("tile", "source", "true Jy", "seen Jy", "ratio", "noise", "beams off", ""):
        table.add_column(heading, justify="left" if heading in ("tile", "source", "") else "right", no_wrap=True)
    for one in checked:
        verdict = "[green]ok[/green]" if one.within else "[bold red]off[/bold red]"
        table.add_row(
            one.group[11:], one.name, f"{one.true_jy:.4f}", f"{one.measured.apparent_jy:.4f}", f"{one.ratio:.3f}",
            f"{one.measured.noise_jy / one.true_jy:.3f}",
            f"{one.measured.offset_beams:.3f}", verdict,
        )  # fmt: skip
    console.print()
    console.print(table)
