"""The measure stage of an epoch: which positions of its mosaic are measured, and against what its fluxes are scaled."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg.common.errors import BadInput
from contimg.common.units import number_of
from contimg.epoch.photometry.image import read_restored_image
from contimg.epoch.photometry.options import MeasureOptions
from contimg.epoch.photometry.positions import Positions, read_catalogue_positions
from contimg.epoch.photometry.products import MeasurementFlag, Photometry
from contimg.epoch.photometry.run import measure_image
from contimg.epoch.windows import strip_of_key, strip_of_tile
from contimg.instrument.time import mjd_to_unix
from contimg.sky.catalogue import Catalogue, CatalogueSources, open_catalogue
from contimg.sky.variability.normalisation import normalise_epoch
from contimg.sky.variability.options import AssociationOptions, CandidateRule, NormalisationOptions
from contimg.store import LIVE, EpochMeasurements, Lease, SourceKind, Store, StoredMosaic
from contimg.store.sky.identification import SAME_DEG
from workers.execution.new_sources import find_first_detections

STRIP_TOLERANCE = 10  # tenths of a degree between the middle of a mosaic and its strip
NO_REFERENCE = MeasurementFlag.EDGE | MeasurementFlag.BLENDED | MeasurementFlag.LOW_PB | MeasurementFlag.NOISY

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Targets:
    """What is measured in a mosaic.

    Attributes
    ----------
    positions : of the catalogue's sources, then of the store's own.
    catalogue : whose ids the positions have; None where there is none.
    sources : the catalogue's, in the order of the positions.
    """

    positions: Positions
    catalogue: Catalogue | None
    sources: CatalogueSources | None


def measure_epoch(
    store: Store, lease: Lease, catalogue_path: Path | None, environ: Mapping[str, str] = os.environ
) -> EpochMeasurements:  # fmt: skip
    """Measure the mosaic of an epoch at the sources of the reference catalogue and of the store, and at new ones.

    Parameters
    ----------
    store : with the mosaic, the sources and their earlier fluxes.
    lease : on the stage.
    catalogue_path : the reference catalogue; None without one: the pipeline's own sources are measured.
    environ : environment variables that give the options; those of a campaign's preset included.

    Returns
    -------
    The fluxes with their normalisation, or a note that there was no position to measure.

    Raises
    ------
    BadInput : the mosaic is gone or cannot be read.
    """
    mosaic = store.mosaics.mosaic_of(lease.job_id)
    if mosaic is None or not mosaic.fits_path.is_file():
        path = mosaic.fits_path if mosaic else "its mosaic"
        raise BadInput(
            f"{lease.label}: {path} is gone; `contimg epochs retry {lease.key} --stage mosaic` makes it again"
        )
    image, options = read_restored_image(mosaic.fits_path), MeasureOptions.from_environment(environ)
    targets = _find_targets(store, mosaic, catalogue_path, image)
    association = AssociationOptions.from_environment(environ)
    first = find_first_detections(store, mosaic, image, targets.positions, association)
    if lease.processing != LIVE:  # the stream measures every source: those that a campaign added would change it
        first = first.none()
    photometry = measure_image(image, first.join(targets.positions), options, inside_only=True)
    if not len(photometry):
        note = "nothing measured: " + (
            f"the catalogue {targets.catalogue.name} has no source in the mosaic"
            if targets.catalogue
            else "no reference catalogue is installed, and the store has no source in the mosaic"
        )
        return EpochMeasurements(mosaic.id, None, None, note)
    photometry, new = first.accept(_with_epoch_flags(store, lease, mosaic, photometry, options))
    measured = _normalised(store, lease, mosaic, photometry, targets, environ)
    note = measured.note + (f"; {number_of(len(new.names), 'source')} first detected" if new else "")
    return replace(measured, note=note, new_sources=new, rule=CandidateRule.from_environment(environ))


def _find_targets(store: Store, mosaic: StoredMosaic, catalogue_path: Path | None, image: Any) -> Targets:
    """The positions to measure around a mosaic, once each."""
    shape = image.pixels.shape
    radius_deg = 0.51 * mosaic.cell_arcsec / 3600 * float(np.hypot(*shape))
    pipeline_sources = [
        source
        for source in store.sky.cone(mosaic.ra_deg, mosaic.dec_deg, radius_deg, mosaic.processing)
        if catalogue_path is None or source.kind != SourceKind.CATALOGUE
    ]
    names = [source.name for source in pipeline_sources]
    ra_deg, dec_deg = [source.ra_deg for source in pipeline_sources], [source.dec_deg for source in pipeline_sources]
    if catalogue_path is None:
        if not pipeline_sources:
            brightest = mosaic.sources or store.mosaics.find_sources(
                mosaic.ra_deg, mosaic.dec_deg, radius_deg, mjd_to_unix(image_mjd(mosaic))
            )
            names = [str(source["name"]) for source in brightest]
            ra_deg, dec_deg = ([float(source[key]) for source in brightest] for key in ("ra_deg", "dec_deg"))
        return Targets(Positions.of(ra_deg, dec_deg, names), None, None)
    catalogue = open_catalogue(catalogue_path)
    positions, sources = read_catalogue_positions(catalogue, image.wcs, shape)
    # A source of the store that the catalogue has gained since is measured as the catalogue's.
    is_new = ~_is_near(ra_deg, dec_deg, positions)
    return Targets(positions.join(Positions.of(ra_deg, dec_deg, names)[is_new]), catalogue, sources)


def image_mjd(mosaic: StoredMosaic) -> float:
    """Return the middle of a mosaic's observation, MJD; 0 where it is not known.

    Parameters
    ----------
    mosaic : of the store.
    """
    return 0.5 * ((mosaic.mjd_start or 0.0) + (mosaic.mjd_end or 0.0))


def _is_near(ra_deg: list[float], dec_deg: list[float], positions: Positions) -> NDArray[np.bool_]:
    """Whether a position is that of one of the catalogue's sources."""
    from scipy.spatial import cKDTree

    from contimg.instrument.coordinates import unit_vectors

    if not len(positions) or not ra_deg:
        return np.zeros(len(ra_deg), dtype=bool)
    tree = cKDTree(unit_vectors(np.deg2rad(positions.ra_deg), np.deg2rad(positions.dec_deg)))
    distance, _ = tree.query(unit_vectors(np.deg2rad(ra_deg), np.deg2rad(dec_deg)))
    return np.asarray(distance <= np.deg2rad(SAME_DEG))


def _with_epoch_flags(
    store: Store, lease: Lease, mosaic: StoredMosaic, photometry: Photometry, options: MeasureOptions
) -> Photometry:
    """Add the flags that the store alone gives: another strip, and much of the tiles' data flagged."""
    flags, strip = MeasurementFlag(0), strip_of_key(lease.key)
    if strip is not None and photometry.mjd is not None:
        measured = strip_of_tile(mosaic.ra_deg, mosaic.dec_deg, mjd_to_unix(photometry.mjd))
        if abs(measured - strip) > STRIP_TOLERANCE:
            flags |= MeasurementFlag.WRONG_STRIP
    unflagged = {
        tile.fits_path: image.unflagged_fraction
        for tile in store.epochs.tiles(lease.job_id)
        if (image := store.products.image(tile.image_id)) is not None and image.unflagged_fraction is not None
    }
    fractions = [
        (member.weight, unflagged[member.fits_path]) for member in mosaic.members if member.fits_path in unflagged
    ]
    total = sum(weight for weight, _ in fractions)
    if total and 1 - sum(weight * fraction for weight, fraction in fractions) / total > options.max_flagged:
        flags |= MeasurementFlag.HIGH_FLAG_FRACTION
    return replace(photometry, flags=photometry.flags | int(flags))


def _normalised(
    store: Store,
    lease: Lease,
    mosaic: StoredMosaic,
    photometry: Photometry,
    targets: Targets,
    environ: Mapping[str, str],
) -> EpochMeasurements:
    """The fluxes with their scale: against the sources' earlier epochs, and against the catalogue alone."""
    name = targets.catalogue.name if targets.catalogue else ""
    expected, expected_error = (np.full(len(photometry), np.nan) for _ in range(2))
    is_reference = photometry.is_usable & ((photometry.flags & int(NO_REFERENCE)) == 0)
    if targets.sources is not None:
        sources = targets.sources
        row_of = {source_id: row for row, source_id in enumerate(sources.source_id)}
        rows = np.array([row_of.get(source_id, -1) for source_id in photometry.source_id], dtype=int)
        is_listed = rows >= 0
        freq_hz = photometry.freq_hz or mosaic.freq_hz
        flux_jy = sources.flux_at(freq_hz)
        is_point = sources.is_isolated & ~sources.is_resolved & ~sources.is_confused
        expected[is_listed] = np.where(is_point, flux_jy, np.nan)[rows[is_listed]]
        expected_error[is_listed] = (sources.flux_error_jy * flux_jy / sources.flux_jy)[rows[is_listed]]
    ensemble, ensemble_error = store.sky.reference_fluxes(
        photometry.source_id.tolist(), name, lease.processing
    )  # fmt: skip
    fluxes = np.where(is_reference, photometry.flux_jy, np.nan)
    normalisation, of_catalogue = normalise_epoch(
        fluxes, photometry.flux_error_jy, ensemble=ensemble, ensemble_errors=ensemble_error, catalogue=expected,
        catalogue_errors=expected_error, options=NormalisationOptions.from_environment(environ),
    )  # fmt: skip
    detected = int((photometry.is_detected & photometry.is_usable).sum())
    scale = f"flux scale {normalisation.factor:.3f}, {number_of(normalisation.sources, 'reference source')}"
    state = "" if normalisation.accepted else f"; left out of light curves: {normalisation.reason}"
    note = f"measured {number_of(len(photometry), 'position')}, {detected} detected; {scale}{state}"
    return EpochMeasurements(
        mosaic.id, photometry, normalisation, note=note, catalogue=name,
        catalogue_normalisation=of_catalogue if targets.catalogue else None,
    )  # fmt: skip
