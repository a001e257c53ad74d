"""A tile of XX, XY, YX and YY: calibrated as its two-product twin, cross hands by the gains of their receptors.

The files are pyuvsim's, with cross hands of a tenth of Stokes I added as a sky of Stokes U = 0.1 I gives them.
"""

import shutil

import h5py
import numpy as np
import pytest
from casacore.tables import table

from contimg.formats.ms.info import read_ms_info
from contimg.instrument.dsa110 import BAND
from contimg.sky.catalogue import SIMULATED, CatalogueSources, Provenance, write_catalogue
from contimg.tile.calibrate.apply import correct_rows
from contimg.tile.calibrate.options import CalibrateOptions
from contimg.tile.calibrate.run import calibrate
from contimg.tile.calibrate.solve import casa
from contimg.tile.convert import convert
from contimg.tile.flag.run import flag
from contimg.tile.image import ImageOptions, image

NAME = "2026-02-22T23:17:51"
CROSS = 0.1
RECEPTORS = {9: (0, 0), 10: (0, 1), 11: (1, 0), 12: (1, 1)}  # of the Measurement Set's codes XX, XY, YX, YY


def read(path, *names):
    with table(str(path), ack=False) as main:
        return [main.getcol(name) for name in names]


def make_four_products(files, directory):
    directory.mkdir()
    for path in files.values():
        with h5py.File(path) as source, h5py.File(directory / path.name, "w") as target:
            source.copy("Header", target)
            del target["Header/polarization_array"], target["Header/Npols"]
            target["Header/polarization_array"], target["Header/Npols"] = np.array([-5, -6, -7, -8]), 4
            for name, factor in (("visdata", CROSS), ("flags", 1), ("nsamples", 1)):
                values = source["Data"][name][:]
                cross = (values * factor).astype(values.dtype)
                target[f"Data/{name}"] = np.concatenate([values, cross], axis=-1)
    return {subband: directory / path.name for subband, path in files.items()}


def corrupt(path):
    """Multiply by gains and add noise, the same in the parallel hands of both tiles; gives what DATA was."""
    rng = np.random.default_rng(4)
    sky, ant1, ant2 = read(path, "DATA", "ANTENNA1", "ANTENNA2")
    rows, channels, correlations = sky.shape
    shape = (117, channels, 2)
    phase = rng.uniform(-np.pi, np.pi, (117, 1, 2)) + rng.uniform(-3, 3, (117, 1, 2)) * np.linspace(-1, 1, 768)[:, None]
    gains = (rng.uniform(0.7, 1.4, (117, 1, 2)) * np.exp(1j * phase)).astype(np.complex64)
    noise = rng.normal(scale=0.3, size=(2, rows, channels, 2, 2)).astype(np.float32)
    noise = (noise[0] + 1j * noise[1]).reshape(rows, channels, 4)  # of XX, YY, XY, YX
    noise = noise[..., [0, 2, 3, 1]] if correlations == 4 else noise[..., :2]
    codes = (9, 10, 11, 12) if correlations == 4 else (9, 12)
    for index, code in enumerate(codes):
        p, q = RECEPTORS[code]
        sky_gains = gains[ant1, :, p] * gains[ant2, :, q].conj()
        with table(str(path), readonly=False, ack=False) as main:
            data = main.getcol("DATA")
            data[..., index] = sky[..., index] * sky_gains + noise[..., index]
            main.putcol("DATA", data)
    assert gains.shape == shape
    return sky


@pytest.fixture(scope="module")
def tiles(drift_sim_files, tmp_path_factory):
    """The tile of two products and that of four, corrupted, and the sky of the latter."""
    directory = tmp_path_factory.mktemp("products")
    two = convert(drift_sim_files, directory / "two" / f"{NAME}.ms").path
    four = convert(make_four_products(drift_sim_files, directory / "files"), directory / "four" / f"{NAME}.ms").path
    corrupt(two)
    return two, four, corrupt(four)


@pytest.fixture(scope="module")
def calibrated(tiles, drift_sim_sources):
    """Solved with every source of the files in the model: those of 3 and 1.5 Jy would turn the phases by 0.6 deg."""
    _, four, _ = tiles
    path, names = four.parent / "files.catalogue", ["3C48", "second", "third"]
    sources = CatalogueSources.of(BAND.centre_hz, names, *np.transpose(drift_sim_sources), spectral_index=0.0)
    provenance = Provenance(
        name="files", kind=SIMULATED, frequency_hz=BAND.centre_hz, beam_deg=0.0125, flux_limit_jy=1.0
    )
    write_catalogue(path, sources, provenance)
    result = calibrate(four, [], four.parent / "calibration", CalibrateOptions(catalogue=str(path)))
    assert result.new_set is not None, result.calibration_note
    return result.new_set


def test_products_and_receptors(tiles):
    two, four, sky = tiles
    info = read_ms_info(four)
    assert info.correlations == ("XX", "XY", "YX", "YY")
    assert info.receptors.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert info.parallel_hands.tolist() == [0, 3]
    assert np.allclose(sky[..., 1], CROSS * sky[..., 0], rtol=1e-3, atol=1e-4)
    assert np.array_equal(read(two, "DATA")[0], read(four, "DATA")[0][..., [0, 3]])


def test_flags_are_those_of_two_products(tiles, tmp_path):
    """With interference in both, in the parallel hands; the cross hands are flagged with them."""
    flags = []
    for path in tiles[:2]:
        copy = tmp_path / path.parent.name
        shutil.copytree(path, copy)
        with table(str(copy), readonly=False, ack=False) as main:
            data = main.getcol("DATA")
            data[:, 300:303] += 300
            main.putcol("DATA", data)
        result = flag(read_ms_info(copy))
        flags.append((read(copy, "FLAG")[0], result.dead, result.unflagged))
    (two, *numbers), (four, *numbers_of_four) = flags
    assert two[:, 300:303].mean() > 0.8
    assert np.array_equal(two, four[..., [0, 3]])
    assert (four[..., 1] >= two[..., 0] & two[..., 1]).all()
    assert numbers[0] == numbers_of_four[0]
    assert np.allclose(numbers[1], numbers_of_four[1], atol=1e-3)


@pytest.mark.long
def test_corrected_products(tiles, calibrated):
    """V_pq / (g_p g_q*) with the gains of the caltables, read here without the package, and the sky itself."""
    _, four, sky = tiles
    data, corrected, flags, ant1, ant2 = read(four, "DATA", "CORRECTED_DATA", "FLAG", "ANTENNA1", "ANTENNA2")
    gains = np.ones((117, 768, 2), dtype=complex)
    for path in calibrated.paths:
        values, slots, is_flagged = read(path, "CPARAM", "ANTENNA1", "FLAG")
        solutions = np.full((117, 768, 2), np.nan, dtype=complex)
        solutions[slots] = np.where(is_flagged, np.nan, values)
        gains *= solutions
    for index, (p, q) in enumerate(RECEPTORS.values()):
        expected = data[..., index] / (gains[ant1, :, p] * gains[ant2, :, q].conj())
        good = ~flags[..., index] & (ant1 != ant2)[:, None]
        assert good.mean() > 0.5
        assert np.allclose(corrected[..., index][good], expected[good], rtol=1e-5)
        products = np.where(good, corrected[..., index] * sky[..., index].conj(), 0)
        ratio = products.sum(axis=0) / np.where(good, np.abs(sky[..., index]) ** 2, 0).sum(axis=0)  # of each channel
        assert np.abs(ratio).mean() == pytest.approx(1.0, rel=0.01)  # cross hands keep the reference antenna's phase
        assert p != q or ratio.mean() == pytest.approx(1.0, rel=0.01)


def test_applycal_gives_the_same(tiles, calibrated, tmp_path):
    _, four, _ = tiles
    reference = tmp_path / "applycal.ms"
    shutil.copytree(four, reference)
    task = casa.Task(
        "applycal",
        {"vis": str(reference), "gaintable": [str(path) for path in calibrated.paths], "calwt": [False],
         "interp": ["linear,linearflag", "linear"], "flagbackup": False, "applymode": "calflag"},
    )  # fmt: skip
    casa.run([task], tmp_path, tmp_path / "casa.log", 120)
    ours, flags = read(four, "CORRECTED_DATA", "FLAG")
    expected, expected_flags = read(reference, "CORRECTED_DATA", "FLAG")
    assert np.array_equal(flags, expected_flags)
    assert np.abs(ours - expected)[~flags].max() < 1e-5 * np.abs(expected[~flags]).max()


def test_image_of_four_products(tiles, calibrated, tmp_path):
    """The calibrator has its flux; cross hands of any size change nothing."""
    _, four, _ = tiles
    options = ImageOptions(size=512, pixel_arcsec=6.0, min_uv_klambda=0.0, padding=1.0, changing_sky=False)
    before = image(four, tmp_path / "before", options)
    match = next(match for match in before.matches if match.source.name == "3C48")
    assert match.flux_ratio == pytest.approx(1.0, abs=0.05)
    copy = tmp_path / "copy" / four.name
    shutil.copytree(four, copy)
    with table(str(copy), readonly=False, ack=False) as main:
        corrected = main.getcol("CORRECTED_DATA")
        corrected[..., 1:3] = 1e6
        main.putcol("CORRECTED_DATA", corrected)
    after = image(copy, tmp_path / "after", options)
    assert (after.peak_jy, after.rms_jy) == pytest.approx((before.peak_jy, before.rms_jy), rel=1e-5)


def test_missing_gain_of_one_receptor_flags_its_products():
    """Without g_y of antenna 1: XY and YY of baseline 0-1, YX and YY of baseline 1-2, nothing of baseline 0-2."""
    inverse = np.ones((3, 1, 2), np.complex64)
    inverse[1, 0, 1] = np.nan
    data, flags = np.ones((3, 1, 4), np.complex64), np.zeros((3, 1, 4), bool)
    ant1, ant2 = np.array([0, 1, 0], np.int32), np.array([1, 2, 2], np.int32)
    correct_rows(data, flags, ant1, ant2, inverse, np.array([*RECEPTORS.values()]))
    expected = [[False, True, False, True], [False, False, True, True], [False] * 4]
    assert flags[:, 0].tolist() == expected
    assert np.array_equal(data[:, 0] == 0, expected)
