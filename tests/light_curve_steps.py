"""Epochs of a few sources with given fluxes, committed to a store, for tests of light curves."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import text

from contimg.epoch.photometry.products import Photometry
from contimg.epoch.windows import Window, sidereal_minutes
from contimg.instrument.time import unix_to_mjd
from contimg.sky.variability.normalisation import Normalisation
from contimg.store import LIVE, Store
from contimg.tile.image.result import Beam

SCALE = Normalisation(1.0, 0.005, 0.0, 20, True, "", 0.001)
STEP_DEG = 0.1  # between the sources


@dataclass(frozen=True)
class Epoch:
    """A window near the transit of a right ascension on a sidereal day."""

    day: int
    window: int = 0
    ra_deg: float = 24.4
    centre_distance_deg: float = 2.0

    @property
    def _window(self) -> Window:
        transit_min = self.ra_deg * 4 + 1440 * (round(sidereal_minutes(61093.0) / 1440) + self.day)
        return Window(30 * (int(transit_min // 30) - 1 + self.window), 60)

    @property
    def mjd(self) -> float:
        """Its middle."""
        return unix_to_mjd(0.5 * (self._window.start_s + self._window.end_s))

    @property
    def key(self) -> str:
        """Its key."""
        return self._window.key(163)


EPOCHS = [Epoch(day=day, window=window, centre_distance_deg=2.0 + 0.5 * window * (-1) ** day)
          for day in range(4) for window in range(2)]  # fmt: skip


def make_photometry(epoch: Epoch, fluxes: Mapping[str, tuple[float, float]], flags: int = 0) -> Photometry:
    """Photometry of sources with these fluxes and errors, by their ids in the catalogue."""
    count = len(fluxes)
    flux, error = (np.array(column, dtype=float) for column in zip(*fluxes.values(), strict=True))
    index = np.array([ord(name) - ord("a") for name in fluxes])
    return Photometry(
        fits_path=Path(f"/products/mosaics/{epoch.key}.fits"), mjd=epoch.mjd, freq_hz=1.4e9,
        beam=Beam(25.0, 18.0, 10.0), error_scale=1.2, calibration_class="same transit",
        source_id=np.array(list(fluxes)), ra_deg=(epoch.ra_deg + STEP_DEG * index) % 360,
        dec_deg=np.full(count, 16.3), flux_jy=flux, flux_error_jy=error, local_rms_jy=error / 1.2,
        pb=np.full(count, 0.9), edge_distance_deg=np.full(count, 0.5),
        centre_distance_deg=np.full(count, epoch.centre_distance_deg), blend_group=np.full(count, -1),
        flags=np.full(count, int(flags)),
    )  # fmt: skip


def commit_epoch(
    store: Store, epoch: Epoch, fluxes: Mapping[str, tuple[float, float]], *, flags: int = 0,
    normalisation: Normalisation = SCALE, processing: str = LIVE,
) -> None:  # fmt: skip
    """Commit the measurements of an epoch."""
    photometry = make_photometry(epoch, fluxes, flags)
    store.sky.commit_measurements(epoch.key, None, photometry, normalisation, processing, catalogue="nvss")


def statistics_rows(store: Store, processing: str = LIVE) -> list[dict[str, Any]]:
    """Every number of the statistics, by the ids of the sources in the catalogue."""
    query = text(
        "SELECT i.identifier, s.* FROM source_statistics s JOIN source_identifiers i ON i.source_id = s.source_id"
        " WHERE s.processing = :processing ORDER BY i.identifier"
    )
    with store.database.read() as session:
        rows = [dict(row) for row in session.execute(query, {"processing": processing}).mappings()]
    return [{name: value for name, value in row.items() if name not in {"source_id", "processing"}} for row in rows]
