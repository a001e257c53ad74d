"""Measurement Sets as input of a joint deconvolution: checked, read, weighted and averaged as for an image of a tile.

One Measurement Set is in memory at a time: its averaged samples are kept in files of a scratch directory.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from contimg.common.errors import BadInput
from contimg.epoch.mosaic.members import TileHeader, split_strips
from contimg.epoch.mosaic.options import MosaicOptions
from contimg.epoch.products import OmittedMember
from contimg.formats.ms.info import MSInfo, read_ms_info
from contimg.instrument.time import DAY_S
from contimg.quality.grades import BAD
from contimg.tile.image.gridding.averaging import average_in_time
from contimg.tile.image.gridding.gridder import Gridder
from contimg.tile.image.gridding.noise import compute_thermal_rms_jy, measure_rms
from contimg.tile.image.gridding.visibilities import ARCSEC_RAD, read_calibration
from contimg.tile.image.options import ImageOptions
from contimg.tile.image.result import Beam
from contimg.tile.image.run import read_samples, weight_samples

MIN_NOISE_SAMPLES = 1000  # of the half difference of the hands that a noise is measured from


@dataclass(frozen=True)
class Member:
    """A Measurement Set that can be used.

    Attributes
    ----------
    header : of its tile, as of a tile image; without coordinates and beam.
    ms, column : the Measurement Set and the column to image.
    """

    header: TileHeader
    ms: MSInfo
    column: str


@dataclass(frozen=True)
class SampledMember:
    """A Measurement Set with its samples.

    Attributes
    ----------
    member : the Measurement Set.
    gridder : the samples, averaged, with imaging weights; both are mapped from files.
    noise_jy : of the dirty image, Jy per beam.
    longest_baseline_lambda : wavelengths.
    """

    member: Member
    gridder: Gridder
    noise_jy: float
    longest_baseline_lambda: float


def select_members(paths: Iterable[Path], options: MosaicOptions) -> tuple[list[Member], list[OmittedMember]]:
    """Read the metadata of Measurement Sets and leave out those that cannot be used.

    Parameters
    ----------
    paths : in any order.
    options : of the mosaic.

    Returns
    -------
    The usable ones, in order of time and name, and the others with the reasons.
    """
    members: dict[Path, Member] = {}
    omitted: list[OmittedMember] = []
    for path in sorted(set(paths)):
        try:
            members[path] = _read_member(path, options)
        except BadInput as error:
            omitted.append(_omit(path, error))
    tiles, outliers = split_strips([member.header for member in members.values()])
    return [members[tile.path] for tile in tiles], omitted + outliers


def _omit(path: Path, error: BadInput) -> OmittedMember:
    return OmittedMember(fits_path=path, reason=str(error).removeprefix(f"{path}: "))


def _read_member(path: Path, options: MosaicOptions) -> Member:
    ms = read_ms_info(path)
    calibration = read_calibration(ms)
    if calibration.grade == BAD:
        raise BadInput(f"{path}: its calibration is graded bad: {calibration.reason}")
    if np.isnan(ms.dish_diameter_m):
        if not options.dish_diameter_m:
            raise BadInput(
                f"{path}: the diameters of the dishes (ANTENNA/DISH_DIAMETER) differ or are not given; give the "
                "diameter (--dish-diameter-m)"
            )
        ms = replace(ms, dish_diameter_m=options.dish_diameter_m)
    header = fits.Header()
    numbers = calibration.numbers
    header.update({"CALCLASS": numbers.calibration_class, "GAINAGE": numbers.gain_age_h, "VERDICT": calibration.grade})
    ra_deg, dec_deg = np.rad2deg(ms.phase_centre_rad)
    tile = TileHeader(
        path=path, pb_path=None, header=header, wcs=WCS(naxis=2), shape=(0, 0), beam=Beam(0.0, 0.0, 0.0),
        cell_arcsec=0.0, freq_hz=float(ms.freqs_hz.mean()), bandwidth_hz=ms.freqs_hz.size * ms.channel_width_hz,
        mjd=ms.mid_mjd_s / DAY_S, exposure_s=ms.exposure_s, ra_deg=float(ra_deg) % 360, dec_deg=float(dec_deg),
    )  # fmt: skip
    return Member(tile, ms, calibration.column)


def read_members(
    members: Sequence[Member], imaging: ImageOptions, scratch: Path
) -> tuple[list[SampledMember], list[OmittedMember]]:
    """Read the samples of Measurement Sets; those without data are left out.

    Parameters
    ----------
    members : in order of time; the first one's beam gives the size of the pixels where the option does not.
    imaging : options of imaging.
    scratch : directory for the samples.
    """
    sampled: list[SampledMember] = []
    omitted: list[OmittedMember] = []
    for number, member in enumerate(members):
        try:
            sampled.append(_read_samples(member, imaging, scratch / str(number)))
        except BadInput as error:
            omitted.append(_omit(member.header.path, error))
            continue
        imaging = imaging.replace(pixel_arcsec=round(sampled[-1].gridder.pixel_rad / ARCSEC_RAD, 6))
    return sampled, omitted


def _read_samples(member: Member, imaging: ImageOptions, directory: Path) -> SampledMember:
    ms = member.ms
    visibilities, time_bins = read_samples(ms, member.column, imaging)
    gridder = weight_samples(ms, visibilities, imaging)
    noise_jy = _measure_noise_jy(ms, gridder)
    gridder = average_in_time(gridder, time_bins)
    directory.mkdir()
    weights = _map(directory / "weights.npy", gridder.weights)
    data = gridder.visibilities
    longest_baseline_lambda = data.longest_baseline_lambda
    channel_weights = weights.sum(axis=0, dtype=np.float64)
    header = replace(
        member.header, freq_hz=float(channel_weights @ data.freqs_hz / channel_weights.sum()),
        bandwidth_hz=float(np.count_nonzero(channel_weights) * ms.channel_width_hz * data.channel_average),
    )  # fmt: skip
    data = replace(data, stokes_i=_map(directory / "stokes_i.npy", data.stokes_i), weights=weights,
                   half_difference=None)  # fmt: skip
    gridder = replace(gridder, visibilities=data, weights=weights)
    return SampledMember(replace(member, header=header), gridder, noise_jy, longest_baseline_lambda)


def _map(path: Path, values: NDArray[Any]) -> NDArray[Any]:
    """Write an array to a file and return the file's array."""
    np.save(path, values)
    return np.asarray(np.load(path, mmap_mode="r+"))


def _measure_noise_jy(ms: MSInfo, gridder: Gridder) -> float:
    """Noise of the dirty image: from the half difference of the hands, which has that of Stokes I and no sources.

    σ² = Σ w² |D|² / 2 / (Σ w)², where D is complex. Where one hand is imaged, it is the thermal noise.
    """
    difference = gridder.visibilities.half_difference
    if difference is not None:
        weights = gridder.weights[difference.rows]
        if np.count_nonzero(weights) >= MIN_NOISE_SAMPLES:
            squares = np.sum(np.square(weights * np.abs(difference.values)), dtype=np.float64) / 2
            part = np.sum(np.square(weights), dtype=np.float64) / np.sum(np.square(gridder.weights), dtype=np.float64)
            noise_jy = float(np.sqrt(squares / part)) / gridder.total_weight
            if noise_jy > 0:
                return noise_jy
    return compute_thermal_rms_jy(ms, gridder) or measure_rms(gridder.dirty(gridder.visibilities.stokes_i))
