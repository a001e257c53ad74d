"""WSClean (Offringa et al. 2014) as another imager: the same options, its pictures checked before they are believed.

Its exit code proves nothing: with every sample flagged it ends with 0. It is run with its w-gridder: the w-stacking
that it would use by default loses 3 % of a source's flux half-way to an image's edge with this array.
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

from contimg.errors import BadInput, Misconfigured, Transient
from contimg.files.processes import bind_to_parent
from contimg.tile.image.deconvolution.clean import Cleaned
from contimg.tile.image.gridding.gridding import Image
from contimg.tile.image.options import BRIGGS, ImageOptions
from contimg.tile.image.result import Beam

log = logging.getLogger(__name__)

PROGRAM = "wsclean"
_SPENT = re.compile(r"Performed (\d+) iterations in total")
_CYCLES = re.compile(r"(\d+) major iterations were performed")


def run_wsclean(
    ms: Path, column: str, scratch: Path, pixel_arcsec: float, options: ImageOptions
) -> tuple[Image, Cleaned, Beam]:
    """Image a Measurement Set's column; gives the restored image, what clean did, and the restoring beam.

    Raises Misconfigured when there is no WSClean, Transient when it was killed, BadInput when it made no image.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        raise Misconfigured("imager=wsclean: there is no wsclean on PATH; install Debian's package, or choose ducc")
    name = scratch / "wsclean"
    command = [program, *_arguments(column, scratch, pixel_arcsec, options), "-name", str(name), str(ms)]
    log.debug("%s", " ".join(command))
    ran = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        preexec_fn=partial(bind_to_parent, os.getpid()),
    )
    said = ran.stdout.strip()
    log.debug("%s", said)
    if ran.returncode < 0:
        raise Transient(
            f"{ms}: WSClean was killed by {signal.Signals(-ran.returncode).name}; look at memory and try again"
        )
    if ran.returncode:
        raise BadInput(f"{ms}: WSClean ended with {ran.returncode}: {said.splitlines()[-1] if said else 'silent'}")
    restored, header = _picture(ms, name, "image")
    residual = _picture(ms, name, "residual" if options.iterations else "dirty")[0]
    model = _picture(ms, name, "model")[0] if options.iterations else np.zeros_like(restored)
    beam = Beam(header["BMAJ"] * 3600, header["BMIN"] * 3600, (header["BPA"] + 90) % 180 - 90)
    iterations, cycles = (found[-1] if (found := one.findall(said)) else 0 for one in (_SPENT, _CYCLES))
    return restored, Cleaned(model, residual, int(iterations), int(cycles)), beam


def _arguments(column: str, scratch: Path, pixel_arcsec: float, options: ImageOptions) -> list[str]:
    weight = ["briggs", f"{options.robust:g}"] if options.weighting == BRIGGS else [options.weighting]
    arguments = ["-j", str(options.threads), "-size", str(options.size), str(options.size)]
    arguments += ["-scale", f"{pixel_arcsec!r}asec", "-weight", *weight, "-pol", "I", "-data-column", column]
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


def _picture(ms: Path, name: Path, kind: str) -> tuple[Image, fits.Header]:
    path = name.with_name(f"{name.name}-{kind}.fits")
    if not path.exists():
        raise BadInput(f"{ms}: WSClean ended well but made no {kind} image; look at the data's flags and its options")
    with fits.open(path, memmap=False) as units:
        picture, header = np.asarray(units[0].data[0, 0], dtype=np.float32), units[0].header
    if kind in ("image", "dirty") and not (np.isfinite(picture).all() and picture.any()):
        raise BadInput(
            f"{ms}: WSClean ended well but its {kind} is empty; all visibilities may be flagged or too short"
        )
    return picture, header
