"""Calibration sets: a directory of tables with set.json, which says what they are and when they hold."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from contimg.errors import BadInput
from contimg.formats.ms.info import MSInfo
from contimg.quality.image import GOOD

DESCRIPTION_FILE = "set.json"
STRIP_DEG = 0.5  # precession since J2000 moves a strip of one apparent declination by up to 0.15 deg either way
_FEWEST_SHARED = 0.5  # of the tile's channels, and of its antennas


@dataclass(frozen=True)
class CalibrationSet:
    """The tables solved on one calibrator transit.

    Attributes
    ----------
    name : the group they were solved on; the directory bears it.
    directory : where the tables and `set.json` are.
    tables : names of the tables to apply, bandpass before gains.
    calibrator, model_jy, flux_scale : the source, its catalogued flux at mid-band, and where that comes from.
    attenuation : the primary beam's response to it at mid-tile.
    mjd, valid_from_mjd, valid_to_mjd : UTC days of the solutions and of the span in which they hold.
    reference_antenna : its name.
    antennas : names of the antennas with solutions.
    first_freq_hz, channel_width_hz, channels : the bandpass's channels, ascending.
    flagged_fraction : of the live antennas' bandpass and gain solutions.
    quality : numbers, of the set and of each table; see contimg.tile.calibrate.assess.quality.
    grade, reasons : good or suspect, and why it is not good; empty until it is judged. A rejected set is never written.
    dec_deg : declination (ICRS) that the telescope pointed at: a set holds for its own strip.
    versions : of the software that solved.
    """

    name: str
    directory: Path
    tables: tuple[str, ...]
    calibrator: str
    model_jy: float
    flux_scale: str
    attenuation: float
    mjd: float
    valid_from_mjd: float
    valid_to_mjd: float
    reference_antenna: str
    antennas: tuple[str, ...]
    first_freq_hz: float
    channel_width_hz: float
    channels: int
    flagged_fraction: float
    quality: dict[str, Any]
    versions: dict[str, str]
    dec_deg: float
    grade: str = ""
    reasons: tuple[str, ...] = ()

    @property
    def paths(self) -> tuple[Path, ...]:
        """The tables to apply."""
        return tuple(self.directory / name for name in self.tables)

    def to_json(self) -> str:
        """The text of set.json: every field but the directory, so that a set can be moved."""
        fields = {key: value for key, value in asdict(self).items() if key != "directory"}
        return json.dumps(fields, indent=2, sort_keys=True) + "\n"

    @classmethod
    def read(cls, directory: Path) -> "CalibrationSet":
        """The set in a directory; raises BadInput naming set.json and what is wrong with it."""
        path = directory / DESCRIPTION_FILE
        try:
            given: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return cls(
                **given
                | {key: tuple(given[key]) for key in ("tables", "antennas", "reasons")}
                | {"directory": directory}
            )
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise BadInput(f"{path}: not a calibration set's description ({error}); solve again") from error

    def write(self) -> None:
        """Write set.json into the set's directory."""
        (self.directory / DESCRIPTION_FILE).write_text(self.to_json(), encoding="utf-8")

    def at(self, directory: Path) -> "CalibrationSet":
        """The same set in another place."""
        return replace(self, directory=directory)


def scan(directory: Path) -> list[CalibrationSet]:
    """The whole sets below a directory, oldest first; directories without a set.json are none."""
    if not directory.is_dir():
        return []
    found = [CalibrationSet.read(path.parent) for path in directory.glob(f"[!.]*/{DESCRIPTION_FILE}")]
    return sorted(found, key=lambda one: (one.mjd, one.name))


def unfit(one: CalibrationSet, tile: MSInfo, strip_deg: float = STRIP_DEG) -> str | None:
    """Why a set cannot calibrate a tile, in a few words, or None when it can."""
    mjd = tile.mid_mjd_s / 86400.0
    if not one.valid_from_mjd <= mjd <= one.valid_to_mjd:
        return "out of its time"
    if abs(one.dec_deg - declination_deg(tile)) > strip_deg:
        return "another declination"
    if not all((path / "table.dat").exists() for path in one.paths):
        return "tables missing"
    spacing = (tile.freqs_hz - one.first_freq_hz) / one.channel_width_hz
    shared = (np.abs(spacing - np.rint(spacing)) < 0.01) & (spacing > -0.5) & (spacing < one.channels - 0.5)
    same_width = abs(one.channel_width_hz - tile.channel_width_hz) < 0.01 * tile.channel_width_hz
    if not same_width or np.mean(shared) < _FEWEST_SHARED:
        return "other frequencies"
    names = {tile.antenna_names[slot] for slot in tile.antennas}
    if len(names.intersection(one.antennas)) < _FEWEST_SHARED * len(names):
        return "other antennas"
    return None


def declination_deg(tile: MSInfo) -> float:
    """The declination (ICRS) that the telescope points at in mid-tile."""
    return float(np.rad2deg(tile.pointing_rad[len(tile.times_mjd_s) // 2, 1]))


def choose(
    sets: Sequence[CalibrationSet], tile: MSInfo, strip_deg: float = STRIP_DEG
) -> tuple[CalibrationSet | None, str]:
    """The good set nearest in time to the tile's middle among those that fit, and the reason of the choice in words.

    A suspect one is taken only where no good one fits, and the reason says so.
    """
    mjd = tile.mid_mjd_s / 86400.0
    reasons = {one.name: unfit(one, tile, strip_deg) for one in sets}
    fitting = [one for one in sets if reasons[one.name] is None]
    if fitting:
        best = min(fitting, key=lambda one: (one.grade != GOOD, abs(one.mjd - mjd), -one.mjd))
        hours = 24.0 * (mjd - best.mjd)
        suspect = "" if best.grade == GOOD else f", {best.grade}: {'; '.join(best.reasons)}"
        said = f"{best.name} on {best.calibrator}, {abs(hours):.1f} h {'earlier' if hours >= 0 else 'later'}{suspect}"
        return best, said
    if not sets:
        return None, "no calibration set"
    said = ", ".join(f"{name}: {why}" for name, why in list(reasons.items())[-3:])
    return None, f"none of {len(sets)} calibration sets fits ({said})"
