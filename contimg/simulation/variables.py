"""Sources that vary: light curves, measurement tables of thousands of sources, and fluxes by day of drift scans.

Light curves are factors of a source's steady flux: scintillation of compact sources, flares, and extreme scattering
events (Fiedler et al. 1987, Nature 326, 675): a flat-bottomed dip between brighter edges.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from contimg.common.errors import Misconfigured
from contimg.common.files.writing import write_text
from contimg.instrument.dsa110 import BAND
from contimg.simulation.sky import Source, power_law
from contimg.sky.variability.normalisation import normalise_epoch
from contimg.sky.variability.statistics import FluxSums

Values = NDArray[np.float64]
MIN_FACTOR = 1e-6  # a source that is off has a spectrum still
EDGE_WIDTH, EDGE_HEIGHT = 0.2, 0.5  # of an event's edges: part of the length of the dip, and of its depth
COLUMNS = ("name", "mjd", "factor")
SKY_COLUMNS = ("ra_deg", "dec_deg", "flux_jy")
MIN_EPOCHS = 3  # of a source that normalises later epochs
ADDED_INDEX = -0.7  # spectral index of the sources that a table adds


class Variability(StrEnum):
    """Kinds of light curves."""

    STEADY = "steady"
    SCINTILLATION = "scintillation"
    FLARE = "flare"
    SCATTERING_EVENT = "scattering event"


def scintillate(mjd: ArrayLike, rms: float, days: float, rng: Generator) -> Values:
    """Return the factors of a scintillating source: a Gaussian process with an exponential correlation.

    Parameters
    ----------
    mjd : times in order, shape (epochs,), days.
    rms : relative.
    days : time in which the correlation falls to 1/e.
    rng : to draw from.
    """
    times = np.asarray(mjd, dtype=np.float64)
    correlation = np.exp(-np.diff(times, prepend=times[:1] - 1e9) / days)
    steps, factor, value = rng.standard_normal(times.size), np.empty(times.size), 0.0
    for epoch in range(times.size):
        value = correlation[epoch] * value + np.sqrt(1 - correlation[epoch] ** 2) * steps[epoch]
        factor[epoch] = value
    return np.asarray(np.maximum(1 + rms * factor, MIN_FACTOR))


def flare(mjd: ArrayLike, start_mjd: float, days: float, amplitude: float) -> Values:
    """Return the factors of a flare: linear rise in a fifth of its length, then an exponential decay.

    Parameters
    ----------
    mjd : times, days, any shape.
    start_mjd : beginning.
    days : e-folding time of the decay.
    amplitude : peak above the steady flux, relative.
    """
    since = (np.asarray(mjd, dtype=np.float64) - start_mjd) / days
    rise = np.clip(since / 0.2, 0.0, 1.0)
    return np.asarray(1 + amplitude * rise * np.exp(-np.maximum(since - 0.2, 0.0)))


def scatter(mjd: ArrayLike, middle_mjd: float, days: float, depth: float) -> Values:
    """Return the factors of an extreme scattering event.

    Parameters
    ----------
    mjd : times, days, any shape.
    middle_mjd : of the event.
    days : length of the flat bottom.
    depth : of the bottom, relative; a negative one is a brightening with fainter edges.
    """
    away = np.abs(np.asarray(mjd, dtype=np.float64) - middle_mjd) / days - 0.5  # in lengths, from the end of the bottom
    edge = EDGE_HEIGHT * depth * np.clip(1 - away / EDGE_WIDTH, 0.0, 1.0)
    return np.asarray(np.maximum(np.where(away <= 0, 1 - depth, 1 + edge), MIN_FACTOR))


@dataclass(frozen=True)
class MeasurementErrors:
    """Errors of a simulated measurement table beside the noise.

    Attributes
    ----------
    scale_rms : of the flux scale of an epoch, relative; what normalisation has to find.
    offset_rms_jy : of the level of an epoch.
    scatter_rms : of each measurement, relative: primary beam, calibration over the field.
    outliers, outlier_sigma : part of the measurements that are wrong by so many errors, up or down.
    soft_fraction, soft_rms : part of the measurements with a soft flag, such as an edge, and their relative error.
    blended_fraction, blended_rms : part of the sources that are blended in every epoch, and their relative error.
    missing : part of the measurements that are not there.
    bad_epochs : epochs with a wrong flux scale over half of the sources.
    bad_rms : relative error of the sources of such an epoch.
    """

    scale_rms: float = 0.05
    offset_rms_jy: float = 0.0
    scatter_rms: float = 0.015
    outliers: float = 0.001
    outlier_sigma: float = 5.0
    soft_fraction: float = 0.05
    soft_rms: float = 0.1
    blended_fraction: float = 0.05
    blended_rms: float = 0.1
    missing: float = 0.05
    bad_epochs: tuple[int, ...] = ()
    bad_rms: float = 0.3


@dataclass(frozen=True)
class MeasurementTable:
    """Measurements of simulated sources, arrays of shape (sources, epochs) where not stated.

    Attributes
    ----------
    mjd : shape (epochs,).
    flux_jy, error_jy : as a photometry gives them, without the errors that it cannot know; NaN where missing.
    is_soft : whether a soft flag is set.
    factor : true flux over the steady one.
    steady_jy : shape (sources,).
    """

    mjd: Values
    flux_jy: Values
    error_jy: Values
    is_soft: NDArray[np.bool_]
    factor: Values
    steady_jy: Values


def measure_table(
    steady_jy: ArrayLike, factor: ArrayLike, mjd: ArrayLike, rms_jy: ArrayLike, rng: Generator,
    errors: MeasurementErrors | None = None,
) -> MeasurementTable:  # fmt: skip
    """Measure simulated sources without making images.

    Parameters
    ----------
    steady_jy : shape (sources,).
    factor : of the flux, shape (sources, epochs).
    mjd : shape (epochs,).
    rms_jy : noise, shape (sources,).
    rng : to draw from.
    errors : beside the noise.
    """
    errors = errors or MeasurementErrors()
    steady, factors, times = (np.asarray(values, dtype=np.float64) for values in (steady_jy, factor, mjd))
    shape = factors.shape
    error = np.broadcast_to(np.asarray(rms_jy, dtype=np.float64)[:, None], shape) * rng.uniform(0.9, 1.2, shape[1])
    is_blended = rng.random((shape[0], 1)) < errors.blended_fraction
    is_edge = rng.random(shape) < errors.soft_fraction
    error = np.where(is_edge, 2 * error, error)
    relative = np.hypot(errors.scatter_rms, np.where(is_edge, errors.soft_rms, 0.0))
    relative = np.hypot(relative, np.where(is_blended, errors.blended_rms, 0.0))
    flux = steady[:, None] * factors * (1 + relative * rng.standard_normal(shape)) + error * rng.standard_normal(shape)
    is_outlier = rng.random(shape) < errors.outliers
    flux += np.where(is_outlier, errors.outlier_sigma * error * rng.choice([-1.0, 1.0], shape), 0.0)
    scale = 1 + errors.scale_rms * rng.standard_normal(shape[1])
    flux = flux * scale + errors.offset_rms_jy * rng.standard_normal(shape[1])
    for epoch in errors.bad_epochs:
        is_wrong = rng.random(shape[0]) < 0.5
        flux[:, epoch] *= np.where(is_wrong, 1 + errors.bad_rms * rng.choice([-1.0, 1.0], shape[0]), 1.0)
    is_missing = rng.random(shape) < errors.missing
    return MeasurementTable(
        times, np.where(is_missing, np.nan, flux), np.where(is_missing, np.nan, error), is_edge | is_blended,
        factors, steady,
    )  # fmt: skip


def follow_epochs(table: MeasurementTable) -> Iterator[FluxSums]:
    """Normalise and add the epochs of a table in turn, as the stage `measure` does.

    Parameters
    ----------
    table : of the measurements; its steady fluxes are the catalogue.

    Yields
    ------
    The sums after each epoch whose normalisation is accepted.
    """
    sums = FluxSums.empty(table.steady_jy.size)
    for epoch, mjd in enumerate(table.mjd):
        flux, error, is_soft = table.flux_jy[:, epoch], table.error_jy[:, epoch], table.is_soft[:, epoch]
        mean, mean_error = np.where(sums.n >= MIN_EPOCHS, sums.weighted_mean_jy, np.nan), sums.weighted_mean_error_jy
        normalisation, _ = normalise_epoch(
            np.where(is_soft, np.nan, flux), error, ensemble=mean, ensemble_errors=mean_error, catalogue=table.steady_jy
        )
        if normalisation.accepted:
            sums = sums.add(*normalisation.apply(flux, error, is_soft), mjd)
            yield sums


def write_variables(
    path: Path, factors: Mapping[str, ArrayLike], mjd: ArrayLike, sources: Sequence[Source] = ()
) -> None:
    """Write the table that `contimg simulate --variable-sources` reads.

    Parameters
    ----------
    path : of the CSV file; one that exists is replaced.
    factors : of each source by name, shape (times,).
    mjd : times, shape (times,).
    sources : those of the names that the run shall have besides its own sky.
    """
    added = {source.name: source for source in sources}
    lines = [",".join((*COLUMNS, *SKY_COLUMNS))]
    for name, values in factors.items():
        source = added.get(name)
        numbers = (source.ra_deg, source.dec_deg, source.flux_jy(BAND.centre_hz)) if source else ()
        sky = ",".join(repr(float(number)) for number in numbers) or ",,"
        lines += [
            f"{name},{float(t)!r},{float(f)!r},{sky}" for t, f in zip(np.ravel(mjd), np.ravel(values), strict=True)
        ]
    write_text(path, "\n".join(lines) + "\n", mode=0o644)


@dataclass(frozen=True)
class VariableSources:
    """Fluxes by day of the sources of a run.

    Attributes
    ----------
    curves : times (MJD) and factors of each name.
    added : sources that the table adds to the sky of the run, with their steady fluxes.
    """

    curves: Mapping[str, tuple[Values, Values]]
    added: tuple[Source, ...]

    def at(self, sources: Sequence[Source], mjd: float) -> tuple[Source, ...]:
        """Return sources with their fluxes at a time, interpolated between the table's times.

        Parameters
        ----------
        sources : with steady fluxes.
        mjd : UTC, days.
        """
        return tuple(
            self._vary(source, float(np.interp(mjd, *self.curves[source.name])))
            if source.name in self.curves
            else source
            for source in sources
        )

    @staticmethod
    def _vary(source: Source, factor: float) -> Source:
        spectrum = (source.spectrum[0] + float(np.log10(factor)), *source.spectrum[1:])
        return replace(source, spectrum=spectrum, flux_factor=factor)


def read_variables(path: Path) -> VariableSources:
    """Read a table of fluxes by day.

    Parameters
    ----------
    path : CSV with the columns name, mjd and factor; a name of which a line has ra_deg, dec_deg and flux_jy (at the
        centre of the band, spectral index -0.7) is added to the sky of the run.

    Raises
    ------
    Misconfigured : the file cannot be read, lacks a column, or has a value that is no number or a factor below 0.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    except OSError as error:
        raise Misconfigured(
            f"--variable-sources={path}: cannot be read ({error.strerror}); give a CSV table"
        ) from error
    curves: dict[str, list[tuple[float, float]]] = {}
    added: dict[str, Source] = {}
    for number, row in enumerate(rows, 2):
        try:
            name, mjd, factor = row["name"], float(row["mjd"]), float(row["factor"])
            if not np.isfinite(mjd) or not 0 <= factor < np.inf:
                raise ValueError(f"mjd {mjd:g} or factor {factor:g} out of range")
            curves.setdefault(name, []).append((mjd, max(factor, MIN_FACTOR)))
            if row.get("ra_deg"):
                ra_deg, dec_deg, flux_jy = (float(row[column]) for column in SKY_COLUMNS)
                added[name] = power_law(name, ra_deg, dec_deg, flux_jy, ADDED_INDEX)
        except (KeyError, TypeError, ValueError) as error:
            raise Misconfigured(
                f"--variable-sources={path}: row {number}: {error}; the columns are {', '.join(COLUMNS)} and, for "
                f"a source that is added, {', '.join(SKY_COLUMNS)}"
            ) from error
    ordered = {name: np.array(sorted(curve)).T for name, curve in curves.items()}
    return VariableSources({name: (mjd, factor) for name, (mjd, factor) in ordered.items()}, tuple(added.values()))
