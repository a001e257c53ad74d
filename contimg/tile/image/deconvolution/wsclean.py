"""WSClean (Offringa et al. 2014) as an alternative imager with the same options, and checks of its images.

Its exit code is not enough: with every sample flagged it exits with 0. It is run with its w-gridder, because its
default, w-stacking, loses 3 % of a source's flux half-way to an image's edge with this array.
"""

import logging
import os
import re
import shutil
import signal
import subprocess
from functools import partial
from pathlib import Path

import numpy as np
from astropy.io import fits

from contimg.common.errors import BadInput, Misconfigured, Transient
from contimg.common.files.processes import bind_to_parent
from contimg.quality.image import NOISE
from contimg.tile.image.deconvolution.clean import CleanResult
from contimg.tile.image.gridding.gridder import Image
from contimg.tile.image.options import BRIGGS, ImageOptions
from contimg.tile.image.result import Beam

log = logging.getLogger(__name__)

PROGRAM = "wsclean"
_ITERATIONS = re.compile(r"Performed (\d+) iterations in total")
_CYCLES = re.compile(r"(\d+) major iterations were performed")


def run_wsclean(
    ms: Path, column: str, scratch: Path, pixel_arcsec: float, options: ImageOptions, hand: str = "I"
) -> tuple[Image, CleanResult, Beam]:
    """Image a column of a Measurement Set with WSClean.

    Parameters
    ----------
    ms, column : the Measurement Set and its data column.
    scratch : directory for WSClean's files.
    pixel_arcsec : size of a pixel.
    options : size, weighting and clean.
    hand : the correlation to image, or I.

    Returns
    -------
    The restored image (Jy per beam), model and residual, and the synthesized beam.

    Raises
    ------
    Misconfigured : WSClean is not installed.
    Transient : WSClean was killed.
    BadInput : WSClean failed or made no valid image.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        raise Misconfigured("imager=wsclean: no wsclean on PATH; install Debian's package, or choose ducc")
    name = scratch / "wsclean"
    command = [program, *_arguments(column, scratch, pixel_arcsec, hand, options), "-name", str(name), str(ms)]
    log.debug("%s", " ".join(command))
    process = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        preexec_fn=partial(bind_to_parent, os.getpid()),
    )  # fmt: skip
    output = process.stdout.strip()
    log.debug("%s", output)
    if process.returncode < 0:
        raise Transient(
            f"{ms}: WSClean was killed by {signal.Signals(-process.returncode).name}; check the memory and try again"
        )
    if process.returncode:
        last_line = output.splitlines()[-1] if output else "no output"
        raise BadInput(f"{ms}: WSClean ended with {process.returncode}: {last_line}")
    restored, header = _read_image(ms, name, "image")
    residual = _read_image(ms, name, "residual" if options.iterations else "dirty")[0]
    model = _read_image(ms, name, "model")[0] if options.iterations else np.zeros_like(restored)
    beam = Beam(header["BMAJ"] * 3600, header["BMIN"] * 3600, (header["BPA"] + 90) % 180 - 90)
    iterations, cycles = (int((pattern.findall(output) or [0])[-1]) for pattern in (_ITERATIONS, _CYCLES))
    limit = (
        "iterations"
        if iterations >= options.iterations
        else "major cycles"
        if cycles >= options.major_cycles
        else NOISE
    )
    return restored, CleanResult(model, residual, iterations, limit if options.iterations else None), beam


def _arguments(column: str, scratch: Path, pixel_arcsec: float, hand: str, options: ImageOptions) -> list[str]:
    weight = ["briggs", f"{options.robust:g}"] if options.weighting == BRIGGS else [options.weighting]
    arguments = ["-j", str(options.threads), "-size", str(options.size), str(options.size)]
    arguments += ["-scale", f"{pixel_arcsec!r}asec", "-weight", *weight, "-pol", hand, "-data-column", column]
    arguments += ["-temp-dir", str(scratch), "-no-update-model-required", "-make-psf", "-use-wgridder"]
    if options.min_uv_klambda > 0:
        arguments += ["-minuv-l", repr(1000 * options.min_uv_klambda)]
    if options.taper_arcsec > 0:
        arguments += ["-taper-gaussian", f"{options.taper_arcsec!r}asec"]
    arguments += ["-niter", str(options.iterations)]
    if options.iterations:
        arguments += ["-gain", repr(options.gain), "-mgain", repr(options.major_gain)]
        arguments += ["-nmiter", str(options.major_cycles), "-auto-threshold", repr(options.threshold_sigma)]
        arguments += ["-auto-mask", repr(options.mask_sigma)] if options.mask_sigma > options.threshold_sigma else []
        arguments += ["-local-rms"] if options.local_noise else []
        arguments += ["-multiscale"] if options.multiscale else []
    return arguments


def _read_image(ms: Path, name: Path, kind: str) -> tuple[Image, fits.Header]:
    path = name.with_name(f"{name.name}-{kind}.fits")
    if not path.exists():
        raise BadInput(f"{ms}: WSClean exited with 0 but made no {kind} image; check the data's flags and its options")
    with fits.open(path, memmap=False) as units:
        image, header = np.asarray(units[0].data[0, 0], dtype=np.float32), units[0].header
    if kind in ("image", "dirty") and not (np.isfinite(image).all() and image.any()):
        raise BadInput(
            f"{ms}: WSClean exited with 0 but its {kind} is empty; all visibilities may be flagged or of baselines "
            "that are too short"
        )
    return image, header
