"""Caltable sets: a directory of caltables with set.json, which describes them and their validity."""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from contimg.common.errors import BadInput

DESCRIPTION_FILE = "set.json"
STRIP_DEG = 0.5  # precession since J2000 moves a strip of one apparent declination by up to 0.15 deg either way
BANDPASS_HOURS, GAINS_HOURS = 24.0, 1.0  # validity either side of the solutions, by default


@dataclass(frozen=True)
class CaltableSet:
    """The caltables solved on one calibrator transit.

    Attributes
    ----------
    name : the group that they were solved on, and the name of the directory.
    directory : where the caltables and `set.json` are.
    tables : names of the caltables to apply, bandpass before gains.
    calibrator, model_jy, flux_scale : the source, its catalogued flux at mid-band, and the flux scale's origin.
    attenuation : response of the primary beam to the source at mid-tile.
    mjd, valid_from_mjd, valid_to_mjd : UTC days of the solutions and of the bandpass's validity.
    gains_valid_from_mjd, gains_valid_to_mjd : of the gains' validity; beyond it they are applied as of the same day.
    reference_antenna : its name.
    antennas : names of the antennas with solutions.
    first_freq_hz, channel_width_hz, channels : the bandpass's channels, ascending.
    flagged_fraction : of the live antennas' bandpass and gain solutions.
    quality : numbers of the set and of each caltable; see contimg.quality.caltables.
    grade, reasons : good or suspect, and why it is not good; empty before it is graded. A rejected set is not written.
    dec_deg : declination (ICRS) of the pointing: a set is valid for its own declination strip.
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
    gains_valid_from_mjd: float = field(kw_only=True)
    gains_valid_to_mjd: float = field(kw_only=True)

    @property
    def paths(self) -> tuple[Path, ...]:
        """Paths of the caltables to apply."""
        return tuple(self.directory / name for name in self.tables)

    @classmethod
    def read(cls, directory: Path) -> "CaltableSet":
        """Read the set in a directory.

        Parameters
        ----------
        directory : with set.json; the caltables themselves are not opened.

        Raises
        ------
        BadInput : set.json is missing or damaged.
        """
        path = directory / DESCRIPTION_FILE
        try:
            values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            lists = {key: tuple(values[key]) for key in ("tables", "antennas", "reasons")}
            days = GAINS_HOURS / 24.0  # sets of earlier versions have one validity
            gains = {"gains_valid_from_mjd": values["mjd"] - days, "gains_valid_to_mjd": values["mjd"] + days}
            return cls(**gains | values | lists | {"directory": directory})
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise BadInput(f"{path}: not the description of a caltable set ({error}); solve again") from error

    def is_valid_at(self, mjd: float) -> bool:
        """Tell whether the bandpass is valid at a time.

        Parameters
        ----------
        mjd : days, UTC.
        """
        return self.valid_from_mjd <= mjd <= self.valid_to_mjd

    def write(self) -> None:
        """Write set.json into the set's directory: every field but the directory, so that a set can be moved."""
        values = {key: value for key, value in asdict(self).items() if key != "directory"}
        text = json.dumps(values, indent=2, sort_keys=True) + "\n"
        (self.directory / DESCRIPTION_FILE).write_text(text, encoding="utf-8")

    def with_catalogue(self, catalogue: str, flux_ratio: float) -> "CaltableSet":
        """Give the set with the flux scale of a reference catalogue against its own, in `quality`.

        Parameters
        ----------
        catalogue : name and version of the catalogue.
        flux_ratio : flux of the calibrator in the catalogue over that in the set's model.
        """
        return replace(self, quality={**self.quality, "catalogue": catalogue, "catalogue_flux_ratio": flux_ratio})

    def catalogue_flux_ratio(self, catalogue: str) -> float | None:
        """Return the flux scale of a reference catalogue over the set's; None where they were not compared.

        Parameters
        ----------
        catalogue : name and version of the catalogue.
        """
        return self.quality.get("catalogue_flux_ratio") if self.quality.get("catalogue") == catalogue else None

    def moved_to(self, directory: Path) -> "CaltableSet":
        """Give the same set in another directory.

        Parameters
        ----------
        directory : where its caltables are to be looked for; no file is moved.
        """
        return replace(self, directory=directory)


def scan_caltable_sets(directory: Path) -> list[CaltableSet]:
    """Read the sets below a directory, oldest first; directories without a set.json are ignored.

    Parameters
    ----------
    directory : the parent of the sets' directories; those whose name begins with a dot are ignored.

    Returns
    -------
    the sets, sorted by the time of their solutions, then by name.

    Raises
    ------
    BadInput : a set.json is damaged.
    """
    caltable_sets = [CaltableSet.read(path.parent) for path in directory.glob(f"[!.]*/{DESCRIPTION_FILE}")]
    return sorted(caltable_sets, key=lambda caltable_set: (caltable_set.mjd, caltable_set.name))
