"""Joint deconvolution, step by step: read, choose the plane, clean, restore, complete as a mosaic of tile images."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from scipy.fft import next_fast_len

from contimg.common.errors import Misconfigured
from contimg.epoch.joint.gridding import JointBands, JointTile, make_plane
from contimg.epoch.joint.members import SampledMember, read_members, select_members
from contimg.epoch.mosaic.assessment import AddedTile, Alignment
from contimg.epoch.mosaic.grid import STEP
from contimg.epoch.mosaic.members import Image, refuse_none
from contimg.epoch.mosaic.options import MosaicOptions
from contimg.epoch.mosaic.run import MosaicPixels, complete_mosaic
from contimg.epoch.mosaic.sources import TileSources
from contimg.epoch.products import Mosaic
from contimg.quality.image import NOISE
from contimg.quality.mosaic import MosaicThresholds
from contimg.tile.image.deconvolution.clean import CleanResult, clean
from contimg.tile.image.deconvolution.restoring import fit_beam, restore
from contimg.tile.image.options import DUCC, ImageOptions
from contimg.tile.image.result import Beam
from contimg.tile.products import StepTimer

log = logging.getLogger(__name__)

_NO_SOURCES = TileSources(*(np.zeros(0) for _ in range(8)))


def deconvolve_jointly(
    paths: Sequence[Path], output: Path, imaging: ImageOptions, options: MosaicOptions,
    thresholds: MosaicThresholds, reference_catalogue: Path | None = None,
) -> Mosaic:  # fmt: skip
    """Make a mosaic as `contimg.epoch.joint.make_joint_mosaic` does.

    Parameters
    ----------
    paths, output, imaging, options, thresholds, reference_catalogue : as there.
    """
    if imaging.imager != DUCC or imaging.band_parts > 1:
        raise Misconfigured("a joint deconvolution needs imager=ducc and band_parts=1; change CONTIMG_IMAGE_IMAGER and "
                            "CONTIMG_IMAGE_BAND_PARTS")  # fmt: skip
    timer = StepTimer()
    pixel_arcsec = options.pixel_arcsec or imaging.pixel_arcsec
    imaging = imaging.replace(pixel_arcsec=pixel_arcsec, threads=options.threads)
    members, omitted = select_members(paths, options)
    refuse_none([member.header for member in members], omitted, "Measurement Set")
    output.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f"{output.stem}.joint-", dir=output.parent) as scratch:
        with timer("read"):
            sampled, unreadable = read_members(members, imaging, Path(scratch))
            omitted += unreadable
            refuse_none([member.member.header for member in sampled], omitted, "Measurement Set")
        with timer("phase"):
            side = 2 * next_fast_len(int(np.ceil(imaging.size * imaging.padding / 2)))
            plane = make_plane(sampled, side, options.max_megapixels)
            tiles = [
                JointTile.of(member, plane, window, imaging.changing_sky, imaging.spectral_index)
                for member, window in zip(sampled, plane.grid.windows, strict=True)
            ]
            bands = JointBands(tiles, plane.grid.shape)
        with timer("beam"):
            psf = bands.psf()
            beam = fit_beam(psf, plane.grid.cell_arcsec)
        with timer("clean"):
            beam_rad = 1 / max(member.longest_baseline_lambda for member in sampled)
            cleaned = clean(bands, _embed(psf, plane.grid.shape)[None], beam_rad, bands.noise_jy, imaging)
    if cleaned.stopped_by not in (None, NOISE):
        log.warning(
            "%s: cleaning was ended by %s after %d iterations, before the noise; the limits are "
            "CONTIMG_IMAGE_ITERATIONS and CONTIMG_IMAGE_MAJOR_CYCLES", output, cleaned.stopped_by, cleaned.iterations,
        )  # fmt: skip
    with timer("restore"):
        flux, weight = _correct(bands, cleaned, beam, plane.grid.cell_arcsec, options.weight_cutoff)
        added = tuple(_describe(member, tile, beam) for member, tile in zip(sampled, tiles, strict=True))
    pixels = MosaicPixels(flux, weight, plane.grid, beam, added, tuple(omitted), pb_cutoff=0.0)
    return complete_mosaic(
        pixels, output, options, thresholds, timer, reference_catalogue=reference_catalogue,
        cards=_cards(cleaned, imaging),
    )  # fmt: skip


def _embed(psf: Image, shape: tuple[int, int]) -> Image:
    """The point-spread function in the middle of an image of another shape, 0 around it."""
    embedded = np.zeros(shape, dtype=np.float32)
    row, column = ((length - side) // 2 for length, side in zip(shape, psf.shape, strict=True))
    embedded[row : row + psf.shape[0], column : column + psf.shape[1]] = psf
    return embedded


def _correct(
    bands: JointBands, cleaned: CleanResult, beam: Beam, cell_arcsec: float, weight_cutoff: float
) -> tuple[Image, Image]:
    """True fluxes and weights; NaN and 0 below the cut-off."""
    restored = restore(cleaned.model, cleaned.residual, beam, cell_arcsec)
    is_used = bands.weight >= weight_cutoff * bands.weight.max()
    flux = np.full_like(restored, np.nan)
    np.divide(restored, bands.response, out=flux, where=is_used & (bands.response > 0))
    return flux, np.where(np.isfinite(flux), bands.weight, np.float32(0))


def _describe(sampled: SampledMember, tile: JointTile, beam: Beam) -> AddedTile:
    response = tile.response()[::STEP, ::STEP]
    weights = np.square(response / np.float32(tile.noise_jy))
    header = replace(sampled.member.header, beam=beam)
    return AddedTile(
        header, Alignment(), tile.noise_jy, tile.window.row, tile.window.column, weights, response, _NO_SOURCES,
        np.zeros(0, dtype=np.int64),
    )  # fmt: skip


def _cards(cleaned: CleanResult, imaging: ImageOptions) -> tuple[tuple[str, str | float | int | bool, str], ...]:
    return (
        ("JOINT", True, "deconvolved jointly from Measurement Sets"),
        ("WEIGHT", imaging.weighting, "weighting"),
        ("ROBUST", imaging.robust, "Briggs robustness"),
        ("MINUVKL", imaging.min_uv_klambda, "[klambda] shortest baseline"),
        ("NITER", cleaned.iterations, "clean iterations"),
        ("CLEANEND", cleaned.stopped_by or "", "what ended the cleaning"),
        ("MASKSIG", imaging.mask_sigma, "[noise] cleaned freely down to this"),
        ("THRSIG", imaging.threshold_sigma, "[noise] cleaned within the mask down to this"),
    )
