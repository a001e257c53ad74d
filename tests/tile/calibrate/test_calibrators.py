import importlib.util
from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from casacore.tables import table
from hypothesis import given
from hypothesis import strategies as st
from small_ms import make_ms

from contimg.formats.ms.info import read_ms_info
from contimg.instrument.bundled_data import casa_data_directory
from contimg.instrument.calibrators import FLUX_SCALE, SPECTRA, Calibrator, catalogue
from contimg.instrument.coordinates import separation_rad
from contimg.tile.calibrate.selection import select_calibrators

BY_ALIAS = {calibrator.alias: calibrator for calibrator in catalogue()}


@pytest.mark.parametrize(
    ("name", "expected"), [("3C48", 16.209), ("3C138", 8.547), ("3C147", 22.111), ("3C286", 15.057), ("3C295", 22.431)]
)
def test_flux_scale_at_1405_mhz(name, expected):
    assert BY_ALIAS[name].flux_jy(1.405e9) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("name", sorted(SPECTRA))
def test_flux_scale_equals_the_table_that_casa_carries(name):
    path = casa_data_directory() / "nrao/VLA/standards/PerleyButler2017Coeffs"
    with table(str(path), ack=False) as standards:
        coefficients = np.ravel(standards.getcell(f"{name}_coeffs", standards.nrows() - 1))
    assert SPECTRA[name] == pytest.approx(coefficients[: len(SPECTRA[name])], abs=1e-6)
    assert not np.any(coefficients[len(SPECTRA[name]) :])


def test_catalogue_position_of_3c48():
    calibrator = BY_ALIAS["3C48"]
    expected = SkyCoord("01h37m41.299431s", "+33d09m35.132990s")
    assert np.rad2deg([calibrator.ra_rad, calibrator.dec_rad]) == pytest.approx(
        [expected.ra.deg, expected.dec.deg], abs=1e-7
    )
    assert calibrator.scale == FLUX_SCALE


def test_variable_calibrator_has_its_list_flux():
    blazar = BY_ALIAS["3C454.3"]
    assert blazar.flux_jy(1.45e9) == pytest.approx(10.0)
    assert blazar.scale != FLUX_SCALE


def test_resolved_sources_are_not_usable_but_the_flux_scale_is():
    assert not any(
        calibrator.usable for calibrator in catalogue() if calibrator.quality == "X" and calibrator.alias not in SPECTRA
    )
    assert BY_ALIAS["3C295"].usable


def test_apparent_flux_of_calibrator_in_beam(corrupted):
    selected = select_calibrators(read_ms_info(corrupted.path), 0.5, 3.0)
    assert [candidate.calibrator.label for candidate in selected] == ["3C48"]
    # 0.4 deg from the pointing; a Gaussian of the beam's stated width, 2.67 deg at 1.403 GHz, is good to a per cent
    away = np.hypot((24.422 - 24.0) * np.cos(np.deg2rad(33.3)), 33.1598 - 33.4)
    assert selected[0].pb_response == pytest.approx(np.exp(-4 * np.log(2) * (away / 2.67) ** 2), abs=0.01)


def test_in_beam_thresholds_and_brightest_first(corrupted):
    tile = read_ms_info(corrupted.path)
    assert select_calibrators(tile, 0.99, 3.0) == []
    assert select_calibrators(tile, 0.5, 20.0) == []
    ra, dec = tile.pointing_rad[0]
    faint, bright = (Calibrator(f"s{flux}", "", ra, dec, flux, -0.7, "P") for flux in (4.0, 9.0))
    antipode = Calibrator("antipode", "", ra + np.pi, -dec, 1e6, 0.0, "P")
    assert [candidate.calibrator for candidate in select_calibrators(tile, 0.5, 3.0, [faint, antipode, bright])] == [
        bright,
        faint,
    ]


def test_no_calibrator_far_from_all(tmp_path):
    path = make_ms(tmp_path / "empty.ms", centre=(40.0, 33.4), sources=[]).path
    assert select_calibrators(read_ms_info(path), 0.5, 3.0) == []


angles = st.tuples(st.floats(0, 2 * np.pi), st.floats(-1.5, 1.5))


@given(angles, angles)
def test_separation_agrees_with_astropy(first, second):
    expected = SkyCoord(*first, unit="rad").separation(SkyCoord(*second, unit="rad")).rad
    assert separation_rad(first, second) == pytest.approx(expected, abs=1e-8)


LIST = """\
0137+331   J2000  B 01h37m41.299431s  33d09'35.132990"  Aug01  3C48
0134+329   B1950  B 01h34m49.826400s  32d54'20.259000"
-----------------------------------------------------
BAND        A B C D    FLUX(Jy)    UVMIN(kL)  UVMAX(kL)
=====================================================
 20cm L  X P S P      16.50                       40   visplot
 6cm C  X S P P       5.48                       40   visplot

0003-174   J2000  T 00h03m21.9969s   -17d27'11.781"
-----------------------------------------------------
 20cm    L  X X X S        2.2                        7

0004+462   J2000  A 00h04m16.127651s  46d15'17.970010"  Aug01
-----------------------------------------------------
0.7cm    Q  W W W W       0.12
"""


def test_build_script_reads_the_manuals_list():
    script = Path(__file__).parents[3] / "scripts" / "build_calibrators.py"
    spec = importlib.util.spec_from_file_location("build_calibrators", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    first, second = module.entries(LIST)
    assert (first["name"], first["aliases"], first["quality"]) == ("0137+331", "3C48 0134+329", "S")
    assert float(first["spectral_index"]) == pytest.approx(np.log(5.48 / 16.5) / np.log(4.86 / 1.45), abs=0.01)
    assert float(second["dec_deg"]) == pytest.approx(-(17 + 27 / 60 + 11.781 / 3600))
    assert second["quality"] == "X"
