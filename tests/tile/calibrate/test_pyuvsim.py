"""Files that pyuvsim made, converted and solved: perfect antennas must come out as such, with 3C48 off the centre."""

from pathlib import Path

import numpy as np

from contimg.formats.caltables.solutions import read_solutions
from contimg.formats.ms.info import read_ms_info
from contimg.tile.calibrate.options import CalibrateOptions
from contimg.tile.calibrate.run import calibrate
from contimg.tile.convert import ConvertOptions, convert

DRIFT_SIM = Path(__file__).parents[2] / "data" / "drift_sim" / "g2_8ant_6t_768ch"


def test_perfect_antennas_need_no_gains(tmp_path):
    """Phases within 2 degrees; amplitudes within what two sources that are not in the model leave to eight antennas.

    3C48 is 16 Jy there with a uniform beam and a flat spectrum, 16.2 Jy times 0.99 in the model.
    """
    files = {int(path.stem[-2:]): path for path in DRIFT_SIM.glob("*.hdf5")}
    converted = convert(files, tmp_path / "2026-02-22T23:17:51.ms", ConvertOptions())
    tile = read_ms_info(converted.path)
    done = calibrate(converted.path, [], tmp_path / "calibration", CalibrateOptions())
    bandpass, gains = (read_solutions(path).gains[0] for path in done.new_set.paths)
    product = (bandpass * gains)[tile.antennas].mean(axis=1)
    assert done.flagged_fraction < 0.01
    assert np.rad2deg(np.abs(np.angle(product))).max() < 2.0
    assert abs(np.median(np.abs(product)) - 1) < 0.01
    assert np.abs(np.abs(product) - 1).max() < 0.1
