"""Self-calibrate a tile on the sources of its own image: phases, then amplitudes.

The gains of a round, one per antenna and receptor for the whole tile, are kept only where the noise of the new image
is lower and its dynamic range higher than before; otherwise the tile is restored. Off by default.
"""

import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from contimg.common.errors import BadInput
from contimg.formats.caltables.caltable_set import CaltableSet
from contimg.formats.ms.columns import read_blocks, read_calibration_record, write_calibration_record
from contimg.formats.ms.flags import FLAG_COLUMNS, collect_manual_flags, record_flags
from contimg.formats.ms.info import MSInfo, read_ms_info
from contimg.formats.ms.revision import revised, writable
from contimg.formats.tables import open_table
from contimg.instrument.calibrators import Calibrator
from contimg.quality.calibration import CalibrationNumbers
from contimg.tile.calibrate.apply import BLOCK_BYTES, CORRECTED, apply_caltable_set, correct_rows, interpolate_gains
from contimg.tile.calibrate.solve.sky_model import SkyModel, accumulate, compute_direction_cosines
from contimg.tile.image import ImageOptions, ImagingResult, image
from contimg.tile.image.sources.photometry import measure_source
from contimg.tile.selfcal.antenna_gains import Gains, solve_gains
from contimg.tile.selfcal.options import SelfcalOptions

log = logging.getLogger(__name__)
PHASE, AMPLITUDE = "phase", "amplitude"


@dataclass(frozen=True)
class Round:
    """One round of self-calibration.

    Attributes
    ----------
    kind : `phase` or `amplitude`.
    sources : number of sources in the model.
    before_jy, after_jy : noise before and after, Jy per beam.
    kept : whether its gains were kept.
    """

    kind: str
    sources: int
    before_jy: float
    after_jy: float
    kept: bool


@dataclass(frozen=True)
class SelfcalResult:
    """Result of self-calibration.

    Attributes
    ----------
    rounds : none where the tile was not self-calibrated.
    reason : why it was changed or not.
    """

    rounds: tuple[Round, ...]
    reason: str

    @property
    def changed(self) -> bool:
        """Whether CORRECTED_DATA has changed: a round was kept."""
        return any(round_.kept for round_ in self.rounds)


@dataclass(frozen=True)
class _Calibration:
    """The calibration in CORRECTED_DATA, which every round starts from."""

    caltable_set: CaltableSet
    second: CaltableSet | None
    numbers: CalibrationNumbers
    sky_gains: Mapping[str, Any] | None

    def apply(self, ms: MSInfo) -> None:
        """Write CORRECTED_DATA as the calibrate stage did; BadInput where the second set is gone or has changed."""
        factors = None
        if self.second is not None:
            factors, problem = interpolate_gains(self.caltable_set, self.second, ms)
            if factors is None:
                raise BadInput(f"{ms.path}: its gains cannot be interpolated again ({problem}); calibrate it again")
        apply_caltable_set(self.caltable_set, ms, self.numbers, self.second, factors, self.sky_gains)


def selfcal(
    ms_path: Path, options: SelfcalOptions, image_options: ImageOptions, caltable_set: CaltableSet | None = None
) -> SelfcalResult:  # fmt: skip
    """Self-calibrate a tile that a caltable set has calibrated.

    Parameters
    ----------
    ms_path : the Measurement Set.
    options : options of self-calibration.
    image_options : options of the images that are compared.
    caltable_set : the set in CORRECTED_DATA; every round starts from it and DATA, so that errors do not add up. Read
        from where the Measurement Set has it when not given.

    Raises
    ------
    BadInput : the tile is not calibrated, or with another set, or cannot be imaged.
    """
    with open_table(read_ms_info(ms_path).path) as main:
        record = read_calibration_record(main, CORRECTED)
    if record is None or not record.get("set"):
        raise BadInput(f"{ms_path}: not calibrated; run `contimg calibrate` first")
    caltable_set = caltable_set or CaltableSet.read(Path(record["tables"][0]).parent)
    if record["set"] != caltable_set.name:
        raise BadInput(f"{ms_path}: not calibrated with {caltable_set.name}; run `contimg calibrate` first")
    second = CaltableSet.read(Path(record["second_tables"][0]).parent) if record.get("second_tables") else None
    calibration = _Calibration(caltable_set, second, CalibrationNumbers.from_record(record), record.get("sky_gains"))
    with tempfile.TemporaryDirectory(prefix=".selfcal-", dir=ms_path.parent) as scratch:
        tile_image = image(ms_path, Path(scratch), image_options)
        if tile_image.dynamic_range < options.min_dynamic_range:
            return SelfcalResult((), _describe_too_faint(tile_image, options))
        with revised(ms_path, (*FLAG_COLUMNS, CORRECTED)) as copy:
            ms = read_ms_info(copy)
            collect_manual_flags(ms)
            rounds, reason = _run_rounds(ms, calibration, tile_image, options, image_options, Path(scratch))
            record_flags(ms)
    return SelfcalResult(rounds, reason)


def _run_rounds(
    ms: MSInfo, calibration: _Calibration, tile_image: ImagingResult, options: SelfcalOptions,
    image_options: ImageOptions, scratch: Path,
) -> tuple[tuple[Round, ...], str]:  # fmt: skip
    """Run rounds on a tile that was imaged as `tile_image`, while they help; CORRECTED_DATA has the best of them."""
    kept: Gains | None = None
    rounds: list[Round] = []
    for kind in (PHASE, AMPLITUDE) if options.amplitude else (PHASE,):
        if tile_image.dynamic_range < options.min_dynamic_range:
            return tuple(rounds), _describe_too_faint(tile_image, options)
        model = _make_model(ms, tile_image, options)
        gains = solve_gains(*_sum_products(ms, model), phase_only=kind == PHASE)
        total = gains if kept is None else kept * gains
        kinds = [*(round_.kind for round_ in rounds), kind]
        _write_corrected(ms, calibration, total, kinds)
        new = image(ms.path, scratch, image_options)
        before_jy, max_jy = tile_image.rms_jy, (1 - options.least_gain) * tile_image.rms_jy
        is_better = new.rms_jy < max_jy and new.dynamic_range > tile_image.dynamic_range
        rounds.append(Round(kind, len(model.lmn), before_jy, new.rms_jy, is_better))
        log.info("%s: %s, noise %.3g to %.3g Jy, kept: %s", ms.name, kind, before_jy, new.rms_jy, is_better)
        if not is_better:
            _write_corrected(ms, calibration, kept, kinds[:-1])
            break
        kept, tile_image = total, new
    return tuple(rounds), "the noise fell" if kept is not None else "the noise did not fall"


def _describe_too_faint(tile_image: ImagingResult, options: SelfcalOptions) -> str:
    return f"dynamic range {tile_image.dynamic_range:.0f}, {options.min_dynamic_range:g} needed"


def _make_model(ms: MSInfo, tile_image: ImagingResult, options: SelfcalOptions) -> SkyModel:
    """Make a model of the image's sources: points of their apparent flux, constant over the tile and the band."""
    with fits.open(tile_image.products.fits) as units:
        pixels, header = np.squeeze(units[0].data), units[0].header
    width = 2 * int(np.ceil(tile_image.beam_major_arcsec / tile_image.cell_arcsec)) + 1
    is_peak = (pixels == maximum_filter(pixels, width)) & (pixels > options.source_sigma * tile_image.rms_jy)
    is_peak[[0, -1]] = is_peak[:, [0, -1]] = False
    rows, columns = np.nonzero(is_peak)
    brightest = np.argsort(-pixels[rows, columns])[: options.max_sources]
    positions = WCS(header).celestial.all_pix2world(columns[brightest], rows[brightest], 0)
    sources = [measure_source(tile_image.fits_path, float(ra), float(dec)) for ra, dec in zip(*positions, strict=True)]
    points = [
        Calibrator("", "", np.deg2rad(source.ra_deg), np.deg2rad(source.dec_deg), source.apparent_jy, 0.0, "P")
        for source in sources
    ]
    flux_jy = np.array([source.apparent_jy for source in sources], dtype=np.float32)
    shape = (len(sources), len(ms.times_mjd_s), len(ms.freqs_hz))
    apparent_jy = np.ascontiguousarray(np.broadcast_to(flux_jy[:, None, None], shape))
    return SkyModel(compute_direction_cosines(ms, points), apparent_jy)


def _sum_products(ms: MSInfo, model: SkyModel) -> tuple[Gains, NDArray[np.float64]]:
    """Sum V M* and |M|^2 over the tile's times and channels, shape (slots, slots, receptors), upper triangle."""
    slots, hands = len(ms.antenna_names), ms.select_parallel_hands
    shape = (len(ms.freqs_hz), ms.parallel_hands.size)
    sums, sum_power = np.zeros((slots, slots, shape[1]), complex), np.zeros((slots, slots, shape[1]))
    with open_table(ms.path) as main:
        ant1, ant2 = main.getcol("ANTENNA1").astype(np.int64), main.getcol("ANTENNA2")
        times = np.searchsorted(ms.times_mjd_s, main.getcol("TIME"))
        for rows, columns in read_blocks(main, (CORRECTED, "FLAG", "WEIGHT", "UVW"), BLOCK_BYTES):
            data, flags, weight = (hands(values) for values in columns[:3])
            pairs, cells = np.unique(ant1[rows] * slots + ant2[rows], return_inverse=True)
            cells = np.where(ant1[rows] == ant2[rows], -1, cells.reshape(-1))
            products = np.zeros((pairs.size, *shape), dtype=np.complex64)
            power = np.zeros((pairs.size, *shape), dtype=np.float32)
            accumulate(
                data, flags, weight.astype(np.float32), columns[3], times[rows], cells, ms.freqs_hz, model.lmn,
                model.apparent_jy, products, power,
            )  # fmt: skip
            sums[pairs // slots, pairs % slots] += products.sum(axis=1)
            sum_power[pairs // slots, pairs % slots] += power.sum(axis=1)
    return sums, sum_power


def _write_corrected(ms: MSInfo, calibration: _Calibration, gains: Gains | None, kinds: Sequence[str]) -> None:
    """Compute CORRECTED_DATA from DATA: the set, then these gains (slots, receptors) if any, and the record of both."""
    calibration.apply(ms)
    if gains is None:
        return
    inverse = np.repeat((1 / gains).astype(np.complex64)[:, None], len(ms.freqs_hz), axis=1)
    with writable(ms.path) as main:
        record = read_calibration_record(main, CORRECTED) or {}
        ant1, ant2 = main.getcol("ANTENNA1"), main.getcol("ANTENNA2")
        for rows, (data, flags) in read_blocks(main, (CORRECTED, "FLAG"), BLOCK_BYTES):
            correct_rows(data, flags, ant1[rows], ant2[rows], inverse, ms.receptors)
            main.putcol(CORRECTED, data, rows.start, len(data))
        write_calibration_record(main, CORRECTED, {**record, "selfcal": list(kinds)})
