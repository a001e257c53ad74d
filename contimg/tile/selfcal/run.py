"""Self-calibration of a target tile on the sources of its own image: phases, then amplitudes if the noise says so.

A round's gains (one per antenna and receptor for the whole tile) are kept only where the noise of the new image is
lower and its dynamic range higher than the last; otherwise the tile goes back to what it was. Off by default.
"""

import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from casacore.tables import table
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from contimg.errors import BadInput
from contimg.formats.caltables.caltable_set import CaltableSet
from contimg.formats.ms.columns import read_blocks, read_calibration_record, write_calibration_record
from contimg.formats.ms.info import MSInfo, read_ms_info
from contimg.formats.ms.revision import revised
from contimg.formats.ms.writable import writable
from contimg.instrument.calibrators import Calibrator
from contimg.options import Options, option
from contimg.tile.calibrate.apply import BLOCK_BYTES, CORRECTED, apply, divide
from contimg.tile.calibrate.solve.sky_model import SkyModel, accumulate, direction_cosines
from contimg.tile.image import ImageOptions, ImagingResult, image
from contimg.tile.image.sources.photometry import measure
from contimg.tile.selfcal.antenna_gains import solve_gains

log = logging.getLogger(__name__)
PHASE, AMPLITUDE = "phase", "amplitude"


class SelfcalOptions(Options, env_prefix="CONTIMG_SELFCAL_"):
    """Options of self-calibration."""

    enabled: bool = option(False, "self-calibrate a target tile before it is imaged")
    min_dynamic_range: float = option(50.0, "peak over noise that a tile needs to be worth it", minimum=5.0)
    source_sigma: float = option(10.0, "sources of the model: so many times the noise", minimum=5.0)
    max_sources: int = option(50, "sources of the model at most", minimum=1)
    amplitude: bool = option(True, "try amplitudes after the phases")
    least_gain: float = option(0.01, "part by which the noise must fall for a round to be kept", minimum=0.0)


@dataclass(frozen=True)
class Round:
    """One round: `phase` or `amplitude`, the noise before and after (Jy per beam), whether its gains were kept."""

    kind: str
    sources: int
    before_jy: float
    after_jy: float
    kept: bool


@dataclass(frozen=True)
class SelfCalibrated:
    """What came of a tile: its rounds (none: `reason` says why), and whether CORRECTED_DATA is changed."""

    ms: Path
    rounds: tuple[Round, ...]
    reason: str

    @property
    def changed(self) -> bool:
        """Whether any round was kept."""
        return any(one.kept for one in self.rounds)


def selfcal(ms: Path, one: CaltableSet, options: SelfcalOptions, pictured: ImageOptions) -> SelfCalibrated:
    """Self-calibrate a tile that set `one` has calibrated.

    Parameters
    ----------
    one : the set in CORRECTED_DATA; every round starts from DATA and it, so that nothing adds up.
    pictured : how the tile is imaged to be judged.

    Raises
    ------
    BadInput : the tile is not calibrated with `one`, or cannot be imaged.
    """
    tile = read_ms_info(ms)
    _check(tile, one)
    with tempfile.TemporaryDirectory(prefix=".selfcal-", dir=ms.parent) as room:
        tile_image = image(ms, Path(room), pictured)
        if tile_image.dynamic_range < options.min_dynamic_range:
            return SelfCalibrated(ms, (), _too_faint(tile_image, options))
        with revised(ms, ("FLAG", CORRECTED)) as copy:
            rounds, reason = _improve(read_ms_info(copy), one, tile_image, options, pictured, Path(room))
    return SelfCalibrated(ms, rounds, reason)


def _improve(
    tile: MSInfo, one: CaltableSet, tile_image: ImagingResult, options: SelfcalOptions, pictured: ImageOptions,
    room: Path,
) -> tuple[tuple[Round, ...], str]:  # fmt: skip
    """Rounds on a tile that was already imaged, as long as they help; CORRECTED_DATA is then the best of them."""
    kept: NDArray[np.complex128] | None = None
    rounds: list[Round] = []
    for kind in (PHASE, AMPLITUDE) if options.amplitude else (PHASE,):
        if tile_image.dynamic_range < options.min_dynamic_range:
            return tuple(rounds), _too_faint(tile_image, options)
        model = _model(tile, tile_image, options)
        found = solve_gains(*_products(tile, model), phase_only=kind == PHASE)
        total = found if kept is None else kept * found
        _write(tile, one, total, [*rounds, Round(kind, len(model.lmn), tile_image.rms_jy, 0.0, True)])
        new = image(tile.path, room, pictured)
        better = (
            new.rms_jy < (1 - options.least_gain) * tile_image.rms_jy and new.dynamic_range > tile_image.dynamic_range
        )
        rounds.append(Round(kind, len(model.lmn), tile_image.rms_jy, new.rms_jy, better))
        log.info("%s: %s, noise %.3g to %.3g Jy, kept: %s", tile.name, kind, tile_image.rms_jy, new.rms_jy, better)
        if not better:
            _write(tile, one, kept, rounds)
            break
        kept, tile_image = total, new
    return tuple(rounds), "the noise fell" if kept is not None else "the noise did not fall"


def _too_faint(tile_image: ImagingResult, options: SelfcalOptions) -> str:
    return f"dynamic range {tile_image.dynamic_range:.0f}, {options.min_dynamic_range:g} needed"


def _check(tile: MSInfo, one: CaltableSet) -> None:
    with table(str(tile.path), ack=False) as main:
        note = read_calibration_record(main, CORRECTED)
    if note is None or note.get("set") != one.name:
        raise BadInput(f"{tile.path}: not calibrated with {one.name}; run `contimg calibrate` first")


def _model(tile: MSInfo, tile_image: ImagingResult, options: SelfcalOptions) -> SkyModel:
    """The image's sources as points of their apparent flux, steady over the tile and the band."""
    with fits.open(tile_image.products.fits) as opened:
        picture, header = np.squeeze(opened[0].data), opened[0].header
    reach = 2 * int(np.ceil(tile_image.beam_major_arcsec / tile_image.cell_arcsec)) + 1
    peaks = (picture == maximum_filter(picture, reach)) & (picture > options.source_sigma * tile_image.rms_jy)
    peaks[[0, -1]] = peaks[:, [0, -1]] = False
    rows, columns = np.nonzero(peaks)
    brightest = np.argsort(-picture[rows, columns])[: options.max_sources]
    places = WCS(header).celestial.all_pix2world(columns[brightest], rows[brightest], 0)
    seen = [measure(tile_image.products.fits, float(ra), float(dec)) for ra, dec in zip(*places, strict=True)]
    points = [
        Calibrator("", "", float(np.deg2rad(one.ra_deg)), float(np.deg2rad(one.dec_deg)), one.apparent_jy, 0.0, "P")
        for one in seen
    ]
    flux = np.array([one.apparent_jy for one in seen], dtype=np.float32)
    shape = (len(seen), len(tile.times_mjd_s), len(tile.freqs_hz))
    apparent = np.ascontiguousarray(np.broadcast_to(flux[:, None, None], shape))
    return SkyModel(direction_cosines(tile, points), apparent)


def _products(tile: MSInfo, model: SkyModel) -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
    """Sums of V M* and |M|^2 over the tile's times and channels, shape (slots, slots, receptors), upper triangle."""
    slots = len(tile.antenna_names)
    with table(str(tile.path), ack=False) as main:
        first, second = main.getcol("ANTENNA1"), main.getcol("ANTENNA2")
        times = np.searchsorted(tile.times_mjd_s, main.getcol("TIME"))
        shape = (len(tile.freqs_hz), len(tile.correlations))
        sums, power = np.zeros((slots, slots, shape[1]), dtype=np.complex128), np.zeros((slots, slots, shape[1]))
        for run, columns in read_blocks(main, (CORRECTED, "FLAG", "WEIGHT", "UVW"), BLOCK_BYTES):
            data, flags, weight, uvw = columns
            pairs, cell = np.unique(first[run].astype(np.int64) * slots + second[run], return_inverse=True)
            cell = np.where(first[run] == second[run], -1, cell.reshape(-1))
            top = np.zeros((pairs.size, *shape), dtype=np.complex64)
            bottom = np.zeros((pairs.size, *shape), dtype=np.float32)
            accumulate(
                data, flags, weight.astype(np.float32), uvw, times[run], cell, tile.freqs_hz, model.lmn,
                model.apparent_jy, top, bottom,
            )  # fmt: skip
            sums[pairs // slots, pairs % slots] += top.sum(axis=1)
            power[pairs // slots, pairs % slots] += bottom.sum(axis=1)
    return sums, power


def _write(tile: MSInfo, one: CaltableSet, gains: NDArray[np.complex128] | None, rounds: Sequence[Round]) -> None:
    """CORRECTED_DATA anew from DATA: the set, then these gains (slots, receptors) if any, and the note that says so."""
    apply(one, tile)
    if gains is None:
        return
    inverse = np.repeat((1 / gains).astype(np.complex64)[:, None], len(tile.freqs_hz), axis=1)
    with writable(tile.path) as main:
        note = read_calibration_record(main, CORRECTED) or {}
        first, second = main.getcol("ANTENNA1"), main.getcol("ANTENNA2")
        for rows, (data, flags) in read_blocks(main, (CORRECTED, "FLAG"), BLOCK_BYTES):
            divide(data, flags, first[rows], second[rows], inverse)
            main.putcol(CORRECTED, data, rows.start, len(data))
        kinds = [kept.kind for kept in rounds if kept.kept]
        write_calibration_record(main, CORRECTED, {**note, "selfcal": kinds})
