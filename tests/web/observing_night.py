"""A night at the telescope, told to a real store through its own API: what the panel's tests look at."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from matplotlib.image import imsave
from sqlalchemy import event
from store_steps import register_file, solved_set

from contimg.formats.uvh5.grouping import seconds_of, subband_file_name
from contimg.store import Lease, RunFigures, Stage, Store
from contimg.tile.products import CalibratedMS, ConvertedMS, TileImage

CADENCE_S = 309.0
SECONDS = {Stage.CONVERT: 6.4, Stage.CALIBRATE: 31.0, Stage.IMAGE: 9.7}


# What the image stage measures against a reference catalogue, without the flux ratio.
COMPARISON: dict[str, Any] = {
    "catalogue_name": "nvss", "catalogue_kind": "survey", "catalogue_matches": 41, "catalogue_offset_arcsec": 1.36,
    "catalogue_offset_east_arcsec": 1.3, "catalogue_offset_north_arcsec": -0.4, "catalogue_offset_error_arcsec": 0.15,
    "catalogue_distortion_arcsec": 0.32, "catalogue_flux_error": 0.008, "catalogue_outer_ratio": 1.012,
    "catalogue_completeness": 0.98, "shift_east_arcsec": -1.3, "shift_north_arcsec": 0.4,
    "catalogue_flux_by_snr": (
        {"snr_from": 12.0, "snr_to": 25.0, "sources": 24, "flux_ratio": 0.951, "error": 0.021},
        {"snr_from": 60.0, "snr_to": None, "sources": 17, "flux_ratio": 0.962, "error": 0.009},
    ),
    "catalogue_flux_by_radius": ({"from_deg": 0.5, "to_deg": 1.0, "sources": 41, "flux_ratio": 0.957, "error": 0.012},),
    "catalogue_completeness_by_flux": ({"flux_jy": 0.02, "sources": 52, "detected": 0.96},),
    "catalogue_offset_field": (
        {"east_deg": -0.8, "north_deg": 0.8, "sources": 6, "offset_east_arcsec": 1.1, "offset_north_arcsec": -0.3,
         "error_arcsec": 0.5},
    ),
}  # fmt: skip


SUBTRACTED: dict[str, Any] = {
    "subtracted_count": 38, "subtracted_jy": 0.74, "subtracted_sources": (
        {"name": "J014912+341500", "ra_deg": 27.3, "dec_deg": 34.25, "flux_jy": 0.21, "distance_deg": 2.64,
         "components": 31},
    ),
}  # fmt: skip


class Night:
    """Files come, stages run, time passes: `at` is the clock (epoch seconds) of the store that is written."""

    def __init__(self, database: Path | str, incoming: Path, output: Path, at: float) -> None:
        self.at = at
        self.incoming, self.output = incoming, output
        self.store = Store.open(database, clock=lambda: self.at)
        if self.store.database.engine.dialect.name == "sqlite":
            event.listen(self.store.database.engine, "connect", _leave_it_to_the_disk)
        self.store.close()  # the connections that are there already go
        (output / "images").mkdir(parents=True, exist_ok=True)

    def files(self, subbands: Iterable[int] = range(16), at: float | None = None) -> str:
        """Subbands of the tile observed now arrive; the group's id."""
        when = float(int(self.at if at is None else at))
        for subband in subbands:
            name = subband_file_name(when, subband)
            arrival = register_file(self.store, self.incoming / name, 144_973_824, self.at)
        assert arrival.file.group is not None
        return arrival.file.group

    def claim(self, group: str, stage: Stage, owner: str = "lwacalim07:2214") -> Lease:
        """A worker takes a stage."""
        lease = self.store.leases.claim(group, stage, owner, task_id=f"task-{stage}")
        assert isinstance(lease, Lease), lease
        return lease

    def run(self, group: str, stage: Stage, produced: list[object]) -> None:
        """A worker takes a stage and commits it some seconds later."""
        lease = self.claim(group, stage)
        self.at += SECONDS[stage]
        self.store.leases.commit(
            lease, produced, RunFigures(SECONDS[stage], 1_600_000_000, 2_300_000_000, 1_900_000_000)
        )

    def tile(self, *, peak_jy: float = 0.42, calibrated: str | None = None, seed: int = 0) -> str:
        """One tile from its files to its image."""
        return self.finish(self.files(), peak_jy=peak_jy, calibrated=calibrated, seed=seed)

    def finish(self, group: str, *, peak_jy: float = 0.42, calibrated: str | None = None, seed: int = 0) -> str:
        """A group whose files have come, from there to its image."""
        mjd = 40587.0 + seconds_of(group) / 86400
        self.run(group, Stage.CONVERT, [self._measurement_set(group, mjd)])
        applied = CalibratedMS(calibrated, None if calibrated else "no set is valid at this time", 0.083)
        self.run(group, Stage.CALIBRATE, [applied])
        self.run(group, Stage.IMAGE, [self._image(group, mjd, peak_jy, calibrated, seed)])
        return group

    def calibrator(self, name: str = "3C48_2026-02-22", seed: int = 99) -> str:
        """A tile with a calibrator in it, solved on it."""
        group = self.files()
        mjd = 40587.0 + seconds_of(group) / 86400
        self.run(group, Stage.CONVERT, [self._measurement_set(group, mjd)])
        solved = replace(
            solved_set(self.output / "calibration" / name, mjd),
            valid_to_mjd=mjd + 1.0, reference_antenna="103", flagged_fraction=0.011,
        )  # fmt: skip
        self.run(group, Stage.CALIBRATE, [CalibratedMS(name, None, 0.083, solved)])
        self.run(group, Stage.IMAGE, [self._image(group, mjd, 16.37, name, seed)])
        return group

    def _measurement_set(self, group: str, mjd: float) -> ConvertedMS:
        return ConvertedMS(
            self.output / f"{group}.ms", mjd, mjd + 0.0036, 24.4, 33.16, 24, 768, 96, (), 0.083, 1_900_000_000
        )

    def _image(self, group: str, mjd: float, peak_jy: float, calibrated: str | None, seed: int) -> TileImage:
        images = self.output / "images"
        paths = [images / f"{group}{suffix}" for suffix in (".fits", ".pb.fits", ".png", ".thumb.png")]
        write_fits(paths[0], seed)
        paint(paths[2], 512, seed)
        paint(paths[3], 256, seed)
        if calibrated:
            paint(images / f"{group}.comparison.png", 256, seed)
            (images / f"{group}.subtracted.csv").write_text("name,flux_jy\nJ014912+341500,0.21\n")
        rms_jy = 0.0032 if calibrated else 0.047
        return TileImage(
            fits_path=paths[0], beam_fits_path=paths[1], png_path=paths[2], thumbnail_path=paths[3],
            rms_jy=rms_jy, peak_jy=peak_jy, dynamic_range=peak_jy / rms_jy, beam_major_arcsec=19.6,
            beam_minor_arcsec=15.8, beam_angle_deg=-12.0, ra_deg=24.4, dec_deg=33.16, mjd=mjd, freq_hz=1.405e9,
            pixels=512, cell_arcsec=24.0, calibration_set=calibrated,
            calibration_note=None if calibrated else "no set is valid at this time",
            sources=({"ra_deg": 24.42, "dec_deg": 33.16, "flux_jy": peak_jy},),
            verdict="good" if calibrated else "suspect",
            verdict_reasons=() if calibrated else ("uncalibrated: no calibrator in the beam",),
            catalogue_flux_ratio=0.93 + 0.02 * (seed % 7) if calibrated else None, iterations=4321,
            clean_stopped_by="noise" if calibrated else "iterations", uncleaned_jy=0.0 if calibrated else 0.25,
            **({**COMPARISON, **SUBTRACTED} if calibrated else {}),
        )  # fmt: skip


def _leave_it_to_the_disk(connection: Any, _record: Any) -> None:
    """No test cuts the power: hundreds of flushes to disk would be waited for in vain."""
    connection.execute("PRAGMA synchronous = OFF")


def paint(path: Path, pixels: int, seed: int) -> None:
    """Noise, a handful of point sources and their sidelobes, in the colours of the real preview."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:pixels, :pixels] / pixels
    sky = 0.16 + 0.035 * random.standard_normal((pixels, pixels))
    for _ in range(14):
        x0, y0, bright = random.uniform(0.06, 0.94), random.uniform(0.06, 0.94), random.pareto(1.6) * 0.35 + 0.2
        r = np.hypot(x - x0, y - y0)
        sky += bright * (np.exp(-((r / 0.007) ** 2)) + 0.03 * np.cos(r * 90) * np.exp(-r * 9))
    imsave(path, np.arcsinh(np.clip(sky, 0, None) * 3) / 1.9, vmin=0, vmax=1, cmap="inferno", format="png")


def write_fits(path: Path, seed: int, pixels: int = 512) -> None:
    """A small FITS image of noise with a source at the phase centre: its pixel is the one that the header names."""
    header = fits.Header()
    for axis, kind, value, step in ((1, "RA---SIN", 24.4, -24 / 3600), (2, "DEC--SIN", 33.16, 24 / 3600)):
        header.update({f"CTYPE{axis}": kind, f"CRPIX{axis}": pixels // 2 + 1.0})
        header.update({f"CRVAL{axis}": value, f"CDELT{axis}": step})
    data = 0.003 * np.random.default_rng(seed).standard_normal((pixels, pixels))
    data[pixels // 2, pixels // 2] = 1.0
    fits.PrimaryHDU(data[None, None].astype(np.float32), header).writeto(path, overwrite=True)


def samples(night: Night, hours: float = 24.0, step_s: float = 600.0) -> None:
    """A day of the machine's numbers, as the sampler would have written them; the clock comes back to where it was."""
    end = night.at
    for n in range(int(hours * 3600 / step_s)):
        night.at = end - hours * 3600 + n * step_s
        wave = np.sin(n / 9)
        night.store.metrics.add(
            {
                "service.cpu_percent": 62 + 30 * wave, "machine.cpu_percent": 80 + 30 * wave,
                "service.memory_mb": 2200 + 400 * wave, "machine.memory_mb": 5200 + 380 * wave,
                "queue.collecting": float(n % 2), "queue.pending": float(n % 5), "queue.in_progress": float(n % 3),
                "stream.groups_per_hour": 11.6, "stream.image_after_s": 47 + 3 * wave,
                "stream.image_after_p95_s": 63 + 8 * wave, "disk.output_free_bytes": 4.1e11 - 7.8e9 * n / 6,
                "disk.input_free_bytes": 8.2e11 - 2e9 * n,
            }
        )  # fmt: skip
    night.at = end


def whole_night(night: Night, end: float) -> None:
    """A realistic evening that ends at `end`: calibrator, targets, a bad file, a failed group, work under way."""
    night.at = end - 17 * CADENCE_S
    for seed, peak in enumerate((0.31, 0.0872)):
        night.tile(peak_jy=peak, seed=seed)
        night.at = end - (16 - seed) * CADENCE_S
    night.calibrator()
    for seed in range(2, 11):
        night.at = end - (15 - seed) * CADENCE_S - 40
        night.tile(peak_jy=0.06 + 0.11 * (seed % 4), calibrated="3C48_2026-02-22", seed=seed)
    night.at = end - 5 * CADENCE_S
    truncated = night.incoming / f"{subband_file_name(float(int(night.at)), 7)}"
    night.store.files.quarantine(truncated, "truncated: 81 920 of 144 973 824 bytes", size=81920, mtime=night.at)
    night.store.files.quarantine(
        night.incoming / "notes.txt", "foreign: not named like a subband file", size=12, mtime=1.0
    )
    night.at = end - 4 * CADENCE_S
    failed = night.files()
    lease = night.claim(failed, Stage.CONVERT)
    night.at += 3
    night.store.leases.fail(lease, "declination differs between subbands: 33.16° and 16.27°", permanent=True)
    night.at = end - 1.5 * CADENCE_S
    first, second, third = (night.files(at=night.at + n * CADENCE_S) for n in (-0.5, 0.5, 1.5))
    night.at = end - 70
    night.run(first, Stage.CONVERT, [night._measurement_set(first, 61093.1)])
    night.run(first, Stage.CALIBRATE, [CalibratedMS("3C48_2026-02-22", None, 0.07)])
    night.run(second, Stage.CONVERT, [night._measurement_set(second, 61093.2)])
    night.at = end - 8
    night.claim(first, Stage.IMAGE, "lwacalim07:2219")
    night.claim(second, Stage.CALIBRATE, "lwacalim08:871")
    night.files((0, 1, 2, 3, 5, 6, 7, 8, 10, 11, 14), at=end + 2 * CADENCE_S)
    night.at = end
    night.store.activity.beat("producer.scan")
    assert third
