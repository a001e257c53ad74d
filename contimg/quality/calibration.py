"""Class and age of a calibration, and the flux that phase errors cost; the fields of every record that has them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Annotated, Any, Self

from contimg.formats.records import about
from contimg.quality.grades import Check


class CalibrationClass(StrEnum):
    """Origin of the gains that a product is calibrated with, the closest first."""

    SAME_TRANSIT = "same transit"
    SAME_DAY = "same day"
    BORROWED = "borrowed"
    SKY_MODEL = "sky model"
    NONE = "none"


def compute_flux_loss(phase_residual_deg: float) -> float:
    """Compute the fraction of the flux that phase errors of the antennas cost.

    The mean of exp(i(p1 - p2)) over baselines, for independent normal phase errors of rms sigma, is exp(-sigma^2)
    (Thompson, Moran & Swenson 2017, Interferometry and Synthesis in Radio Astronomy, section 7.2).

    Parameters
    ----------
    phase_residual_deg : rms of the antennas' phase errors, degrees.

    Returns
    -------
    1 - exp(-sigma^2), 0 to 1.
    """
    return -math.expm1(-(math.radians(phase_residual_deg) ** 2))


def check_calibration_class(numbers: "CalibrationNumbers", max_flux_loss: float) -> tuple[Check, ...]:
    """Check the class and the age of a calibration: they are shown; the flux that phase errors cost has a limit.

    Parameters
    ----------
    numbers : of the calibration.
    max_flux_loss : fraction above which a product is suspect.
    """
    loss, residual_deg = numbers.flux_loss_fraction, numbers.phase_residual_deg
    age = "" if numbers.gain_age_h is None else f"; the gains are {_format_age(numbers.gain_age_h)}"
    reason = (
        f"phases differ by {residual_deg or 0:.1f} deg rms from the caltable set's, which costs {loss or 0:.1%} of the "
        f"flux{age}"
    )
    return (
        Check("calibration class", None, text=numbers.age_text),
        Check("signal to noise of the gains", numbers.gain_snr),
        Check("phase residual, degrees", residual_deg),
        Check("flux lost by phase errors", loss, reason, high=max_flux_loss, unit="fraction"),
    )


def _format_age(hours: float) -> str:
    """An age in words: `3.1 h old`, `2.4 d old`, or `0.5 h later` for solutions after the tile."""
    text = f"{abs(hours):.1f} h" if abs(hours) < 48 else f"{abs(hours) / 24:.1f} d"
    return f"{text} {'old' if hours >= 0 else 'later'}"


@dataclass(frozen=True, kw_only=True)
class CalibrationNumbers:
    """Class, age and phase residual of the calibration of a tile; None where one is not known."""

    calibration_class: Annotated[
        CalibrationClass | None,
        about(
            "Origin of the gains: same transit, same day, borrowed, sky model or none; null where it is not known",
            example="same day",
        ),
    ] = None
    second_set: Annotated[
        str | None,
        about(
            "Caltable set on the other side in time whose gains are interpolated with the applied set's; null for none",
            example="2026-02-23T01:31:24",
        ),
    ] = None
    bandpass_age_h: Annotated[
        float | None, about("Time since the bandpass applied; negative where it was observed later", "h", 5.3)
    ] = None
    gain_age_h: Annotated[
        float | None, about("Time since the nearest gains applied; negative where they were observed later", "h", 0.4)
    ] = None
    gain_snr: Annotated[float | None, about("Median signal to noise of the gains applied", "ratio", 84.0)] = None
    phase_residual_deg: Annotated[
        float | None, about("Rms phase of the antennas against the caltable set, from the sky model", "deg", 7.5)
    ] = None

    @property
    def age_text(self) -> str:
        """Class and ages in words, for pages and commands; empty where the class is not known."""
        if self.calibration_class is None:
            return ""
        ages = {"bandpass": self.bandpass_age_h, "gains": self.gain_age_h}
        texts = [f"{noun} {_format_age(age_h)}" for noun, age_h in ages.items() if age_h is not None]
        return ", ".join([str(self.calibration_class), *texts])

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Make the numbers from the record that a Measurement Set's data column has.

        Parameters
        ----------
        record : with the fields as keys; missing ones, as in Measurement Sets of earlier versions, are None.
        """
        values = {field.name: record.get(field.name) for field in fields(cls)}
        name = values["calibration_class"]
        return cls(**values | {"calibration_class": CalibrationClass(name) if name in set(CalibrationClass) else None})

    @property
    def flux_loss_fraction(
        self,
    ) -> Annotated[
        float | None,
        about("Fraction of the flux that the phase residual costs; null where gains of the sky model correct it",
              "fraction", 0.017),
    ]:  # fmt: skip
        """Fraction of the flux that the phase residual costs; None where it is not known or corrected."""
        if self.phase_residual_deg is None or self.calibration_class == CalibrationClass.SKY_MODEL:
            return None
        return compute_flux_loss(self.phase_residual_deg)
