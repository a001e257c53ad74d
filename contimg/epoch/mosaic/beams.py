"""Synthesized beams: the smallest one that all tile images can be convolved to, and the convolution.

A Gaussian beam is its covariance matrix in pixels. The convolution multiplies the transform of an image by the ratio
of the transforms of the common and of its own beam, which is a Gaussian with the difference of the covariances.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from contimg.common.errors import BadInput
from contimg.epoch.mosaic.members import Image
from contimg.tile.image.result import Beam

FWHM2_PER_VARIANCE = 8 * np.log(2)
SAME_BEAM = 1e-6  # differences of widths, as a fraction, that are rounding
REACH_SIGMAS = 6.0  # of the kernel, for the padding


def beam_covariance(beam: Beam) -> NDArray[np.float64]:
    """Return the covariance of a beam, arcsec², axes to the west and to the north, shape (2, 2).

    Parameters
    ----------
    beam : the angle is from north through east.
    """
    angle = np.deg2rad(beam.angle_deg)
    major = np.array([-np.sin(angle), np.cos(angle)])
    minor = np.array([np.cos(angle), np.sin(angle)])
    squares = beam.major_arcsec**2 * np.outer(major, major) + beam.minor_arcsec**2 * np.outer(minor, minor)
    return np.asarray(squares / FWHM2_PER_VARIANCE)


def rotate_beam(beam: Beam, angle_deg: float) -> Beam:
    """Return a beam turned through east.

    Parameters
    ----------
    beam : any.
    angle_deg : is added to its angle.
    """
    return Beam(beam.major_arcsec, beam.minor_arcsec, (beam.angle_deg + angle_deg + 90) % 180 - 90)


def find_common_beam(beams: Sequence[Beam]) -> Beam:
    """Return the smallest beam that every beam can be convolved to.

    Parameters
    ----------
    beams : in one frame.

    Raises
    ------
    BadInput : a beam is not one.
    """
    first = beams[0]
    if all(_is_same(beam, first) for beam in beams):
        return first
    # Imported here: it is needed only where the beams differ.
    from astropy import units
    from radio_beam import Beams
    from radio_beam.utils import BeamError

    major, minor, angle = (
        np.array([getattr(beam, name) for beam in beams]) for name in ("major_arcsec", "minor_arcsec", "angle_deg")
    )
    group = Beams(major=major * units.arcsec, minor=minor * units.arcsec, pa=angle * units.deg)
    try:
        common = group.common_beam()
    except BeamError:  # the search also fails on beams that are nearly alike; their mean is hardly wider
        return _enclosing(_mean_beam(beams), beams)
    except ValueError as error:
        raise BadInput(f"the beams of the tile images have no common beam ({error}); check their headers") from error
    beam = Beam(
        float(common.major.to_value("arcsec")), float(common.minor.to_value("arcsec")),
        (float(common.pa.to_value("deg")) + 90) % 180 - 90,
    )  # fmt: skip
    return _enclosing(beam, beams)


def _mean_beam(beams: Sequence[Beam]) -> Beam:
    """The beam with the mean of the covariances."""
    squares, axes = np.linalg.eigh(np.mean([beam_covariance(beam) for beam in beams], axis=0) * FWHM2_PER_VARIANCE)
    west, north = axes[:, 1]
    minor, major = np.sqrt(squares)
    return Beam(float(major), float(minor), float(np.rad2deg(np.arctan2(-west, north)) + 90) % 180 - 90)


def _is_same(beam: Beam, reference: Beam) -> bool:
    difference = beam_covariance(beam) - beam_covariance(reference)
    return bool(np.abs(difference).max() <= SAME_BEAM * np.trace(beam_covariance(reference)))


def _enclosing(common: Beam, beams: Sequence[Beam]) -> Beam:
    """The common beam, widened by the little that its finder's tolerance leaves it short of."""
    target = beam_covariance(common)
    root = np.linalg.inv(np.linalg.cholesky(target))
    excess = max(float(np.linalg.eigvalsh(root @ beam_covariance(beam) @ root.T)[-1]) for beam in beams)
    factor = float(np.sqrt(max(1.0, excess)))
    return Beam(common.major_arcsec * factor, common.minor_arcsec * factor, common.angle_deg)


def convolve(image: Image, own: Beam, common: Beam, cell_arcsec: float, threads: int) -> Image:
    """Convolve an image in Jy per beam from its own to the common beam; fluxes stay.

    Parameters
    ----------
    image : shape (rows, columns), without NaN; beyond its edge it is 0.
    own, common : beams in the frame of the image's pixels.
    cell_arcsec : size of a pixel.
    threads : of the transforms.
    """
    difference = (beam_covariance(common) - beam_covariance(own)) / cell_arcsec**2
    if np.abs(difference).max() <= SAME_BEAM * np.trace(beam_covariance(common)) / cell_arcsec**2:
        return image
    reach = int(np.ceil(REACH_SIGMAS * np.sqrt(max(0.0, float(np.linalg.eigvalsh(difference)[-1])))))
    shape = [fft.next_fast_len(length + reach, real=True) for length in image.shape]
    # Columns run to the west, rows to the north: the axes of the covariance.
    v, u = fft.fftfreq(shape[0])[:, None], fft.rfftfreq(shape[1])[None, :]
    form = difference[0, 0] * u**2 + 2 * difference[0, 1] * u * v + difference[1, 1] * v**2
    area = common.major_arcsec * common.minor_arcsec / (own.major_arcsec * own.minor_arcsec)
    transfer = (area * np.exp(-2 * np.pi**2 * form)).astype(np.float32)
    spectrum = fft.rfft2(image, shape, workers=threads)
    spectrum *= transfer
    # A copy without the padding: its memory is less, and each numba kernel is compiled for one layout.
    return np.ascontiguousarray(fft.irfft2(spectrum, shape, workers=threads)[: image.shape[0], : image.shape[1]])
