"""A catalogue of the pipeline's own images: sources found blindly in mosaics or tiles, joined over the images."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from contimg.common.errors import BadInput
from contimg.instrument.coordinates import unit_vectors
from contimg.quality.grades import BAD, GOOD
from contimg.sky.catalogue import PIPELINE, Catalogue, CatalogueSources, Provenance, write_catalogue
from contimg.tile.image.sources.finding import find_sources, position_name
from contimg.tile.image.sources.matches import FoundSource

MIN_PB = 0.3  # below it the primary beam is not known well enough for a reference flux
_SAME_BEAMS = 0.5  # separation within which detections in two images are one source
_LIMIT_PERCENTILE = 90  # of the detection limits at the sources: most of the area is complete above it
_RESOLVED_MARGIN = 1.1  # of integrated over peak flux, beyond three times its error


def catalogue_from_images(path: Path, name: str, images: Sequence[Path], min_sigma: float = 7.0) -> Catalogue:
    """Write a catalogue of the sources that are found in images of the pipeline.

    An image with the primary beam beside it (`NAME.pb.fits`) holds apparent fluxes, which are divided by it; any other,
    such as a mosaic, holds true ones. A source in several images has the mean of position and flux, weighted by the
    errors.

    Parameters
    ----------
    path : of the catalogue file; one that exists is replaced at the end.
    name : of the catalogue.
    images : FITS images with a restoring beam, all of about one frequency.
    min_sigma : minimum peak over the local noise.

    Raises
    ------
    BadInput : an image cannot be read, is graded bad, lacks the beam or the frequency, or no source is found.
    Misconfigured : PyBDSF is not installed.
    """
    sources: list[FoundSource] = []
    beams_deg, frequencies_hz = [], []
    path.parent.mkdir(parents=True, exist_ok=True)
    for image_path in images:
        image, header = _read_plane(image_path)
        if header.get("VERDICT") == BAD:
            raise BadInput(f"{image_path}: is graded bad and cannot be a reference; give better images")
        beam_path = image_path.with_name(image_path.name.removesuffix(".fits") + ".pb.fits")
        pb = _read_plane(beam_path)[0] if beam_path.exists() else np.ones_like(image)
        beams_deg.append(_keyword(header, image_path, "BMAJ"))
        frequencies_hz.append(_keyword(header, image_path, "RESTFRQ", "CRVAL3"))
        with TemporaryDirectory(prefix="catalogue-", dir=path.parent) as scratch:
            sources += [
                source
                for source in find_sources(image, pb, header, min_sigma, Path(scratch))
                if source.attenuation >= MIN_PB
            ]
    if not sources:
        raise BadInput(f"{name}: no source above {min_sigma:g} sigma in {len(images)} images; nothing is written")
    beam_deg, frequency_hz = max(beams_deg), float(np.median(frequencies_hz))
    limits_jy = [min_sigma * source.local_rms_jy / source.attenuation for source in sources]
    provenance = Provenance(
        name=name, kind=PIPELINE, frequency_hz=frequency_hz, beam_deg=beam_deg,
        flux_limit_jy=float(np.percentile(limits_jy, _LIMIT_PERCENTILE)),
        source_table=f"the pipeline's own images: {len(images)}", inputs=tuple(image.name for image in images),
    )  # fmt: skip
    return write_catalogue(path, _join(sources, frequency_hz, _SAME_BEAMS * beam_deg), provenance)


def best_mosaics(directory: Path) -> list[Path]:
    """Return the mosaics of a directory that are graded good, by name.

    Parameters
    ----------
    directory : of the mosaics; it may be missing.
    """
    paths = [path for path in sorted(directory.glob("*.fits")) if "." not in path.stem]
    return [path for path in paths if _read_plane(path)[1].get("VERDICT") == GOOD]


def _read_plane(path: Path) -> tuple[NDArray[np.float32], fits.Header]:
    try:
        with fits.open(path) as file:
            header, data = file[0].header.copy(), file[0].data
    except OSError as error:
        raise BadInput(f"{path}: cannot be read as a FITS image ({error}); give another image") from error
    if data is None or data.ndim < 2:
        raise BadInput(f"{path}: has no image in its first part; give another image")
    if data.size != data.shape[-1] * data.shape[-2]:
        raise BadInput(f"{path}: has the shape {data.shape}, more than one plane; give an image of Stokes I")
    for axis, kind in ((3, "FREQ"), (4, "STOKES")):  # the source finder needs them, also of an image of two axes
        header.setdefault(f"CTYPE{axis}", kind)
    return np.ascontiguousarray(data.reshape(data.shape[-2:]), dtype=np.float32), header


def _keyword(header: fits.Header, path: Path, *names: str) -> float:
    for name in names:
        if name in header:
            return float(header[name])
    raise BadInput(f"{path}: has no keyword {names[0]}; give an image of the pipeline")


def _join(found_sources: Sequence[FoundSource], frequency_hz: float, radius_deg: float) -> CatalogueSources:
    """Return each source once, with the weighted mean of its detections."""
    columns = {
        field: np.array([getattr(source, field) for source in found_sources])
        for field in ("ra_deg", "dec_deg", "flux_jy", "flux_error_jy", "peak_jy", "peak_error_jy", "attenuation")
    }
    flux_jy, error_jy = columns["flux_jy"] / columns["attenuation"], columns["flux_error_jy"] / columns["attenuation"]
    position_error_deg = np.array([max(s.ra_error_arcsec, s.dec_error_arcsec) / 3600 for s in found_sources])
    vectors = unit_vectors(np.deg2rad(columns["ra_deg"]), np.deg2rad(columns["dec_deg"]))
    labels = _labels(vectors, columns["peak_jy"], 2 * np.sin(np.deg2rad(radius_deg) / 2))
    count = int(labels.max()) + 1
    weight, place_weight = (1 / np.maximum(error, 1e-12) ** 2 for error in (error_jy, position_error_deg))
    mean = np.stack([np.bincount(labels, place_weight * axis, count) for axis in vectors.T], axis=-1)
    mean = np.asarray(mean / np.linalg.norm(mean, axis=-1, keepdims=True), dtype=np.float64)
    weights, place_weights = np.bincount(labels, weight, count), np.bincount(labels, place_weight, count)
    ra_deg, dec_deg = np.rad2deg(np.arctan2(mean[:, 1], mean[:, 0])) % 360, np.rad2deg(np.arcsin(mean[:, 2]))
    error = np.hypot(columns["flux_error_jy"] / columns["flux_jy"], columns["peak_error_jy"] / columns["peak_jy"])
    is_resolved = np.zeros(count, dtype=bool)
    is_resolved[labels[columns["flux_jy"] / columns["peak_jy"] > _RESOLVED_MARGIN + 3 * error]] = True
    return CatalogueSources.of(
        frequency_hz, [position_name(ra, dec) for ra, dec in zip(ra_deg, dec_deg, strict=True)], ra_deg, dec_deg,
        np.bincount(labels, weight * flux_jy, count) / weights, flux_error_jy=1 / np.sqrt(weights),
        position_error_deg=1 / np.sqrt(place_weights), is_resolved=is_resolved,
    )  # fmt: skip


def _labels(vectors: NDArray[np.float64], peak_jy: NDArray[np.float64], chord: float) -> NDArray[np.intp]:
    """Number of the source that each detection belongs to: of the brightest detection within the distance."""
    labels = np.full(len(vectors), -1)
    tree, count = cKDTree(vectors), 0
    for index in np.argsort(-peak_jy):
        if labels[index] < 0:
            neighbours = np.array(tree.query_ball_point(vectors[index], chord))
            labels[neighbours[labels[neighbours] < 0]] = count
            count += 1
    return labels
