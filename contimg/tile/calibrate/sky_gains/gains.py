"""Gains of a tile that are applied on top of its caltable set, and what was measured with them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg.formats.caltables.solutions import Solutions
from contimg.quality.calibration import CalibrationClass, CalibrationNumbers


@dataclass(frozen=True)
class SkyGains:
    """Gains of antennas and receptors against the caltable set.

    Attributes
    ----------
    antennas : names, shape (antennas,).
    times_mjd_s : middles of the intervals, UTC, MJD seconds, ascending, shape (intervals,).
    phase_deg : shape (intervals, antennas, receptors), of mean 0 over the antennas; 0 where there is no solution.
    amplitude : shape (antennas, receptors); 1 where it was not solved for.
    snr : of a gain in an interval, shape (antennas, receptors); 0 where there is no solution.
    """

    antennas: tuple[str, ...]
    times_mjd_s: NDArray[np.float64]
    phase_deg: NDArray[np.float64]
    amplitude: NDArray[np.float64]
    snr: NDArray[np.float64]

    def solutions(self) -> Solutions:
        """Give the gains as those of a caltable of one window."""
        gains = (self.amplitude * np.exp(1j * np.deg2rad(self.phase_deg)))[:, :, None]
        times_mjd_s = self.times_mjd_s[:, None]
        snr = np.broadcast_to(self.snr[None, :, None], gains.shape)
        everywhere = np.array([1.0]), np.array([np.inf])
        return Solutions(self.antennas, times_mjd_s, *everywhere, gains, snr, np.full(gains.shape, np.nan))

    def record(self) -> dict[str, Any]:
        """Give the gains as JSON values."""
        return {
            "antennas": list(self.antennas), "times_mjd_s": np.round(self.times_mjd_s, 3).tolist(),
            "phase_deg": np.round(self.phase_deg, 3).tolist(), "amplitude": np.round(self.amplitude, 5).tolist(),
            "snr": np.round(self.snr, 2).tolist(),
        }  # fmt: skip

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "SkyGains":
        """Give the gains of a record.

        Parameters
        ----------
        record : see `record`.
        """
        arrays = (np.asarray(record[name]) for name in ("times_mjd_s", "phase_deg", "amplitude", "snr"))
        return cls(tuple(record["antennas"]), *(values.astype(np.float64) for values in arrays))


@dataclass(frozen=True)
class SkyGainsResult:
    """What was measured on a tile's catalogued sources.

    Attributes
    ----------
    gains : None where the caltable set alone is used.
    reason : what the gains are, or why there are none.
    catalogue : name and version of the catalogue that the model is from; empty without one.
    sources : number in the model.
    model_jy : their apparent flux together.
    snr : median signal to noise of the gains that are applied, or of those of the whole tile.
    phase_residual_deg : rms phase of the antennas against the caltable set, noise subtracted.
    flux_ratio : flux of the tile over the model's.
    outside : the model's sources outside the imaged field, above three times the thermal noise: `ra_deg`, `dec_deg`,
        `flux_jy`, `apparent_jy`.
    """

    gains: SkyGains | None
    reason: str
    catalogue: str = ""
    sources: int = 0
    model_jy: float | None = None
    snr: float | None = None
    phase_residual_deg: float | None = None
    flux_ratio: float | None = None
    outside: tuple[Mapping[str, float], ...] = ()

    def update(self, numbers: CalibrationNumbers) -> CalibrationNumbers:
        """Give the numbers of a calibration with what was measured here.

        Parameters
        ----------
        numbers : of the caltable set alone.
        """
        numbers = replace(numbers, phase_residual_deg=self.phase_residual_deg)
        if self.gains is None:
            return numbers
        return replace(numbers, calibration_class=CalibrationClass.SKY_MODEL, gain_age_h=0.0, gain_snr=self.snr)

    def record(self) -> dict[str, Any]:
        """Give everything as JSON values, for the calibration record of CORRECTED_DATA."""
        names = ("reason", "catalogue", "sources", "model_jy", "snr", "phase_residual_deg", "flux_ratio")
        numbers = {name: getattr(self, name) for name in names}
        return {**numbers, "outside": list(self.outside), "gains": self.gains.record() if self.gains else None}
