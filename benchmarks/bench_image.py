"""Image a tile of the sky of source counts and compare with its truth, and with WSClean in the same run.

    python benchmarks/bench_image.py [--antennas 96] [--channels 768] [--declination 37] [--cache DIR]

Simulates a target tile with the counts at 1.4 GHz from 1 mJy, dead antennas and interference, whose gains are true, and
images it with our imager and with WSClean's w-gridder, each in a process of its own, with the same size, weights and
depth. Prints, for both images against the truth: noise over thermal, fitted peaks of isolated sources by S/N and
radius, positions, PyBDSF's list by S/N (completeness, reliability, pulls of its flux errors), resolved sources, what
ended the clean, core seconds and memory. --no-smearing, --no-moving-beam, --gains and --faintest-mjy switch causes of
errors off or on.
Exits with 1 when a limit is exceeded; those of time and memory hold for a full-scale tile only.
"""

import json
import subprocess
import sys
import tempfile
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click
import numpy as np
from astropy.io import fits
from astropy.wcs import FITSFixedWarning
from image_truth import (
    RADIUS_BINS_DEG,
    SNR_BINS,
    compare_points,
    fraction_in_place,
    list_scores,
    measure_list,
    median_ratios,
    read_beam,
    resolved_ratios,
    sources_inside,
)
from stage_runs import Cost, core_s, measure_cost

CALIBRATOR_DEC_DEG = 33.16  # the simulation's pointing without an offset
TIERS = ("2048:6", "4096:3")
MIN_RATIOS = {2048: 12.0, 4096: 5.0, 2400: 8.0, 4800: 5.0}  # of WSClean's seconds to ours
MAX_BYTES = {2048: 3 * 2**30, 2400: 3 * 2**30, 4096: 6 * 2**30, 4800: 6 * 2**30}
MAX_NOISE, MAX_PEAK_ERROR, MIN_COMPLETENESS, MIN_RELIABILITY, MAX_RESOLVED_ERROR = 1.25, (0.02, 0.01), 0.95, 0.98, 0.05
MIN_IN_PLACE = 0.9
WSCLEAN_ITERATIONS = 300_000  # more than are needed
FULL_SCALE = (96, 768)


def make_tile(directory: Path, gains: bool, **options: Any) -> tuple[Path, Path]:
    """Simulate and convert a target tile an hour after the calibrator; return its MS and truth."""
    from contimg.simulation import SimulateOptions, plan_tiles, simulate_tile
    from contimg.tile.convert import ConvertOptions, convert

    run = SimulateOptions(groups=2, gap=11, sky="counts", rfi=True, corrupt=gains, **options)
    tile = simulate_tile(plan_tiles(run)[1], run, directory)
    ms = convert(tile.files, directory / f"{tile.plan.group}.ms", ConvertOptions()).path
    for path in tile.files.values():
        path.unlink()
    calibrate(ms, tile.truth.with_suffix(".npz"), directory, gains)
    return ms, tile.truth


def calibrate(ms: Path, gains_path: Path, directory: Path, gains: bool) -> None:
    """Flag the tile; with gains, divide by the true ones as the calibrate stage does."""
    from known_gains import known_set
    from stage_runs import apply_known, flag_ms

    from contimg.formats.ms.info import read_ms_info

    flag_ms(ms)
    if gains:
        apply_known(ms, known_set(read_ms_info(ms), gains_path, directory / "known"))


def make_image(ms: Path, directory: Path, size: int, pixel: float, find: bool) -> tuple[Any, Cost]:
    """Make an image in a new process with the stage's defaults; return it and its cost."""
    # The processes of multiprocessing.Pool may not have children, which the source finder starts.
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(_image, ms, directory, size, pixel, find).result()


def _image(ms: Path, directory: Path, size: int, pixel: float, find: bool) -> tuple[Any, Cost]:
    from contimg.tile.image import ImageOptions, image

    # Imports and compilation are not included.
    image(ms, directory / "first", ImageOptions(size=256, pixel_arcsec=pixel, iterations=1))
    return measure_cost(image, ms, directory, ImageOptions(size=size, pixel_arcsec=pixel, find_sources=find))


def run_wsclean(ms: Path, name: Path, size: int, pixel: float, column: str, *extra_options: str) -> Cost:
    """Make the same image with WSClean; its memory is not measured."""
    from contimg.tile.image import ImageOptions

    options = ImageOptions()
    command = ["wsclean", "-j", "2", "-size", str(size), str(size), "-scale", f"{pixel}asec", "-minuv-l", "1000"]
    command += ["-weight", "briggs", f"{options.robust:g}", "-pol", "I", "-data-column", column]
    command += ["-no-update-model-required", "-niter", str(WSCLEAN_ITERATIONS), "-mgain", "0.85"]
    command += ["-auto-mask", f"{options.mask_sigma:g}", "-auto-threshold", f"{options.threshold_sigma:g}"]
    start_s, start_core_s = time.perf_counter(), core_s()
    subprocess.run([*command, *extra_options, "-name", str(name), str(ms)], check=True, stdout=subprocess.DEVNULL)
    return Cost(time.perf_counter() - start_s, core_s() - start_core_s, 0)


def find_in(image_path: Path, scratch: Path) -> tuple[Any, ...]:
    """Return the sources that PyBDSF finds in an image at 5 sigma."""
    from contimg.tile.image.sources.finding import find_sources

    image, header = read_image(image_path)
    return find_sources(image, np.ones_like(image), header, 5.0, scratch)


def read_image(path: Path) -> tuple[np.ndarray, fits.Header]:
    """Return an image as (y, x), and its header."""
    with fits.open(path, memmap=False) as units:
        return np.squeeze(units[0].data).astype(np.float32), units[0].header


def judge(label: str, path: Path, rms_jy: float, thermal_jy: float, sources: Any, truth: Path) -> dict[str, Any]:
    """Print how an image compares with the truth, and return the figures.

    `rms_jy` is the noise that S/N refers to; `sources` are a list of found sources, or None.
    """
    image, header = read_image(path)
    beam, _ = read_beam(header)
    table = sources_inside(json.loads(truth.read_text())["sources"], header, image.shape)
    comparisons = compare_points(image, header, table, rms_jy)
    medians, in_place = median_ratios(comparisons), fraction_in_place(comparisons)
    resolved = resolved_ratios(image, header, table, rms_jy)
    print(f"{label}: beam {beam.major_arcsec:.1f} x {beam.minor_arcsec:.1f} arcsec")
    print(f"  rms {rms_jy * 1e3:.3f} mJy, {rms_jy / thermal_jy:.2f} x thermal")
    print("  peak over truth, number of sources; S/N, all, by distance from the centre")
    print(
        "  " + " " * 9 + "all".rjust(14) + "".join(f"{near:g}-{far:g} deg".rjust(14) for near, far in RADIUS_BINS_DEG)
    )
    for (low, high), columns in medians.items():
        cells = "".join(f"{ratio:8.3f} ({count:3d})" for ratio, count in columns)
        print(f"  {f'> {low:g}' if np.isinf(high) else f'{low:g}-{high:g}':9}{cells}")
    print(f"  positions within 0.05 beam + noise: {in_place:.3f}")
    if resolved:
        ratios = [ratio for _, _, ratio in resolved]
        print(f"  resolved sources: {len(ratios)}, flux over truth {np.median(ratios):.3f}, "
              f"{min(ratios):.3f} to {max(ratios):.3f}")  # fmt: skip
    completeness, reliability = list_scores(sources, table, rms_jy, beam) if sources else (np.nan, np.nan)
    print(f"  at S/N 7: completeness {completeness:.3f}, reliability {reliability:.3f}", flush=True)
    bins = measure_list(sources, table, rms_jy, beam) if sources else []
    if bins:
        print("  S/N       true  complete  listed  reliable  false marked   peak pull      flux pull")
    for row in bins:
        span = f"> {row.low:g}" if np.isinf(row.high) else f"{row.low:g}-{row.high:g}"
        pulls = "".join(f"{middle:8.2f} +- {width:.2f}" for middle, width in (row.peak_pull, row.flux_pull))
        print(f"  {span:8}{row.true:6}{row.completeness:10.3f}{row.listed:8}{row.reliability:10.3f}"
              f"{row.false_marked[0]:8} of {row.false_marked[1]:<3}{pulls}")  # fmt: skip
    return {
        "noise": rms_jy / thermal_jy,
        "peaks": {f"{low:g}": [ratio for ratio, _ in columns] for (low, _), columns in medians.items()},
        "in_place": in_place,
        "resolved": float(np.median([ratio for _, _, ratio in resolved])) if resolved else np.nan,
        "source_list": [asdict(row) for row in bins],
        "completeness": completeness,
        "reliability": reliability,
    }


def find_deviations(figures: dict[str, Any]) -> list[str]:
    """Return what exceeds the limits of an image against the truth; figures that were not measured do not."""
    deviations = []
    if figures["noise"] > MAX_NOISE:
        deviations.append(f"noise {figures['noise']:.2f} x thermal (limit {MAX_NOISE:g})")
    for low, _ in SNR_BINS:
        limit = MAX_PEAK_ERROR[0] if low < 25 else MAX_PEAK_ERROR[1]
        bins = ["all", *(f"{near:g}-{far:g} deg" for near, far in RADIUS_BINS_DEG)]
        for column, ratio in zip(bins, figures["peaks"][f"{low:g}"], strict=True):
            if abs(ratio - 1) > limit:
                deviations.append(f"peaks at S/N {low:g} and more, {column}: {ratio:.3f} (limit 1 +- {limit:g})")
    for name, limit in (
        ("completeness", MIN_COMPLETENESS),
        ("reliability", MIN_RELIABILITY),
        ("in_place", MIN_IN_PLACE),
    ):
        if figures[name] < limit:
            deviations.append(f"{name} {figures[name]:.3f} (limit {limit:g})")
    if abs(figures["resolved"] - 1) > MAX_RESOLVED_ERROR:
        deviations.append(f"resolved sources {figures['resolved']:.3f} (limit 1 +- {MAX_RESOLVED_ERROR:g})")
    return deviations


@click.command()
@click.option("--antennas", default=96, show_default=True)
@click.option("--channels", default=768, show_default=True)
@click.option("--declination", default=37.0, show_default=True, help="Of the pointing, degrees.")
@click.option("--faintest-mjy", default=1.0, show_default=True, help="Faintest source of the counts.")
@click.option("--strong-jy", default=3.0, show_default=True, help="Source 2 degrees from the centre; 0: none.")
@click.option("--smearing/--no-smearing", default=True, help="Average over the integration while the sky moves.")
@click.option("--moving-beam/--no-moving-beam", default=True, help="Let the sky drift through the primary beam.")
@click.option("--gains/--no-gains", default=False, help="Put in errors of the receivers and apply the true gains.")
@click.option("--noise/--no-noise", default=True, help="Thermal noise.")
@click.option("--tier", "tiers", multiple=True, default=TIERS, show_default=True, help="Image size:pixel in arcsec.")
@click.option("--wsclean/--no-wsclean", default=True, help="Run WSClean beside our imager.")
@click.option("--find/--no-find", default=True, help="Find sources with PyBDSF in the first tier.")
@click.option("--ms", type=click.Path(path_type=Path), help="Converted tile; default: simulate one.")
@click.option("--truth", type=click.Path(path_type=Path), help="Truth file of its simulation.")
@click.option("--cache", type=click.Path(path_type=Path), help="Keep tile and images here, and use the tile again.")
@click.option("--json", "figures_path", type=click.Path(path_type=Path), help="Write the figures to this file as JSON.")
def main(
    tiers: tuple[str, ...], wsclean: bool, find: bool, ms: Path | None, truth: Path | None, cache: Path | None,
    figures_path: Path | None, declination: float, gains: bool, **options: Any,
) -> None:  # fmt: skip
    """Image a tile of the sky of counts and compare with the truth and WSClean."""
    warnings.filterwarnings("ignore", category=FITSFixedWarning)  # WSClean's headers have no MJD-OBS
    size = options["antennas"], options["channels"]
    with tempfile.TemporaryDirectory(prefix="bench-image-") as name:
        directory = cache or Path(name)
        directory.mkdir(parents=True, exist_ok=True)
        if ms is None or truth is None:
            ms, truth = _cached(directory) or make_tile(
                directory, gains, declination_offset_deg=declination - CALIBRATOR_DEC_DEG, sources=0,
                dead=max(1, options["antennas"] // 30), **options,
            )  # fmt: skip
        figures, deviations = _run_tiers(directory, ms, truth, tiers, wsclean, find, size == FULL_SCALE, gains)
    if figures_path:
        figures_path.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n")
    print("\n".join(deviations) or "all within the limits")
    sys.exit(bool(deviations))


def _cached(directory: Path) -> tuple[Path, Path] | None:
    """The tile of an earlier run in a directory."""
    paths = sorted(directory.glob("*.ms"))
    return (paths[0], directory / "truth" / f"{paths[0].stem}.json") if paths else None


def _run_tiers(
    directory: Path, ms: Path, truth: Path, tiers: tuple[str, ...], wsclean: bool, find: bool, full: bool, gains: bool
) -> tuple[dict[str, Any], list[str]]:
    figures: dict[str, Any] = {}
    deviations: list[str] = []
    for tier in tiers:
        size, pixel = int(tier.split(":")[0]), float(tier.split(":")[1])
        first = tier == tiers[0]
        tile_image, cost = make_image(ms, directory / f"ours{size}", size, pixel, False)
        print(f"{size} at {pixel:g} arcsec: {cost.seconds:.1f} s, {cost.core_s:.1f} core s, "
              f"{cost.peak_bytes / 2**30:.2f} GiB")  # fmt: skip
        print("  " + ", ".join(f"{step} {step_s:.1f}" for step, step_s in tile_image.seconds.items()))
        names = ("clean_stopped_by", "iterations", "uncleaned_jy", "verdict")
        print("  " + ", ".join(f"{name} {getattr(tile_image, name)}" for name in names))
        scratch = directory / f"ours{size}"
        sources = find_in(tile_image.products.fits, scratch) if find and first else None
        thermal_jy = tile_image.expected_rms_jy
        compared = judge("ours", tile_image.products.fits, tile_image.rms_jy, thermal_jy, sources, truth)
        if first:
            deviations += find_deviations(compared)
        figures[f"{size}² at {pixel:g}″"] = {
            "seconds": cost.seconds, "core_s": cost.core_s, "peak_gib": cost.peak_bytes / 2**30, **compared
        }  # fmt: skip
        if full and cost.peak_bytes > MAX_BYTES.get(size, np.inf):
            deviations.append(f"{size}: {cost.peak_bytes / 2**30:.2f} GiB")
        if wsclean:
            reference = directory / f"reference{size}"
            reference_cost = run_wsclean(
                ms, reference, size, pixel, "CORRECTED_DATA" if gains else "DATA", "-use-wgridder"
            )
            ratio = reference_cost.seconds / cost.seconds
            print(f"  WSClean: {reference_cost.seconds:.1f} s, {reference_cost.core_s:.1f} core s, "
                  f"{ratio:.1f} times our time")  # fmt: skip
            path = Path(f"{reference}-image.fits")
            sources = find_in(path, scratch) if find and first else None
            residual_rms_jy = residual_noise(Path(f"{reference}-residual.fits"))
            compared = judge("WSClean", path, residual_rms_jy, thermal_jy, sources, truth)
            figures[f"{size}², WSClean, w-gridder"] = {"seconds": reference_cost.seconds, **compared}
            if full and ratio < MIN_RATIOS.get(size, 0):
                deviations.append(f"{size}: {ratio:.1f} times faster than WSClean (limit {MIN_RATIOS[size]:g})")
    return figures, deviations


def residual_noise(path: Path) -> float:
    """Return the noise of a residual image as our imager measures it."""
    from contimg.tile.image.gridding.noise import measure_rms

    return float(measure_rms(read_image(path)[0]))


if __name__ == "__main__":
    main()
