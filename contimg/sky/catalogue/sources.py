"""The sources of a catalogue as columns."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

ASSUMED_INDEX = -0.7  # mean of 1.4 GHz sources (Condon 1984, ApJ 287, 461)

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]
_DEFAULTS = {
    "position_error_deg": np.nan, "flux_error_jy": np.nan, "spectral_index": np.nan, "major_deg": 0.0,
    "minor_deg": 0.0, "angle_deg": 0.0, "is_resolved": False, "is_confused": False, "is_isolated": False,
    "is_index_assumed": False,
}  # fmt: skip


@dataclass(frozen=True)
class CatalogueSources:
    """Sources of a catalogue; every array has the shape (sources,).

    Attributes
    ----------
    frequency_hz : frequency of the fluxes.
    source_id : name in the source table.
    ra_deg, dec_deg : ICRS.
    position_error_deg : 1 sigma, the larger of both axes; NaN where it is not known.
    flux_jy, flux_error_jy : integrated flux density and its 1 sigma error; NaN where the error is not known.
    spectral_index : alpha of S ~ frequency**alpha.
    major_deg, minor_deg, angle_deg : deconvolved full widths at half maximum, 0 of a source that is not resolved, and
        position angle of the major axis from north through east.
    is_resolved : the source is larger than its catalogue's beam can hide.
    is_confused : another source lies within a beam and adds to its flux.
    is_isolated : no other source of importance lies within three beams.
    is_index_assumed : the spectral index is the catalogue's assumed one, not a measured one.
    """

    frequency_hz: float
    source_id: NDArray[np.str_]
    ra_deg: Numbers
    dec_deg: Numbers
    position_error_deg: Numbers
    flux_jy: Numbers
    flux_error_jy: Numbers
    spectral_index: Numbers
    major_deg: Numbers
    minor_deg: Numbers
    angle_deg: Numbers
    is_resolved: Flags
    is_confused: Flags
    is_isolated: Flags
    is_index_assumed: Flags

    @classmethod
    def of(
        cls, frequency_hz: float, source_id: Sequence[str] | NDArray[np.str_], ra_deg: ArrayLike, dec_deg: ArrayLike,
        flux_jy: ArrayLike, **columns: ArrayLike,
    ) -> Self:  # fmt: skip
        """Make sources from the columns that are known.

        Parameters
        ----------
        frequency_hz : frequency of the fluxes.
        source_id, ra_deg, dec_deg, flux_jy : shape (sources,).
        columns : any further columns by name; a number stands for all sources. Errors and spectral indices are NaN
            (unknown) where they are not given, sizes 0 and marks False.
        """
        values: dict[str, Any] = {"ra_deg": ra_deg, "dec_deg": dec_deg, "flux_jy": flux_jy, **_DEFAULTS, **columns}
        length = len(source_id)
        arrays = {
            name: np.array(np.broadcast_to(value, (length,)), dtype=bool if name.startswith("is_") else np.float64)
            for name, value in values.items()
        }
        return cls(frequency_hz, np.asarray(source_id, dtype=np.str_).reshape(length), **arrays)

    def __len__(self) -> int:
        return len(self.ra_deg)

    def __getitem__(self, selection: Any) -> Self:
        """Return the sources of a slice, an array of indices or a mask."""
        return type(self)(self.frequency_hz, **{name: array[selection] for name, array in self.columns()})

    def columns(self) -> Iterator[tuple[str, NDArray[Any]]]:
        """Yield the name and the array of each column."""
        for field in fields(self):
            if field.name != "frequency_hz":
                yield field.name, getattr(self, field.name)

    def flux_at(self, frequency_hz: float) -> Numbers:
        """Return the flux densities at a frequency by the spectral indices, Jy, shape (sources,).

        Parameters
        ----------
        frequency_hz : of an image, for example. An index that is NaN counts as `ASSUMED_INDEX`.
        """
        index = np.where(np.isnan(self.spectral_index), ASSUMED_INDEX, self.spectral_index)
        return np.asarray(self.flux_jy * (frequency_hz / self.frequency_hz) ** index)
