"""The predictor against pyuvsim's files, its kernel against plain NumPy, its noise against the radiometer equation."""

from pathlib import Path

import numpy as np
import pytest

from contimg.simulation import SimulateOptions, plan_tiles
from contimg.simulation.array import Array, build_array
from contimg.simulation.corruption import draw_corruption
from contimg.simulation.plan import TilePlan
from contimg.simulation.sky import power_law
from contimg.simulation.visibilities import Run, subband_visibilities
from contimg.uvh5 import SubbandReader, read_header

JUDGE = Path(__file__).parents[1] / "data" / "drift_sim" / "g2_8ant_6t_768ch"
JUDGE_SKY = (
    power_law("3C48", 24.422080962, 33.159759164, 16.0),
    power_law("north", 24.0, 33.5, 3.0),
    power_law("south", 25.0, 32.8, 1.5),
)


def perfect_run(options: SimulateOptions) -> Run:
    array = build_array(options.antennas)
    return Run(options, array, draw_corruption(options, array), plan_tiles(options)[0].mid_jd)


@pytest.mark.parametrize("subband", [0, 7, 15])
def test_predicts_what_pyuvsim_wrote(subband: int) -> None:
    header = read_header(next(JUDGE.glob(f"*_sb{subband:02d}.hdf5")))
    with SubbandReader(header) as reader:
        truth, _, _ = reader.read(0, header.rows)
    stations = np.unique(header.antenna_1) + 1
    first, second = (np.searchsorted(stations - 1, numbers) for numbers in (header.antenna_1, header.antenna_2))
    positions_m = build_array(8).positions_m
    array = Array(stations, positions_m, first, second)
    options = SimulateOptions(
        groups=1, channels=768, beam="uniform", noise=False, corrupt=False, integrations=header.times_jd.size
    )
    plan = TilePlan(0, "", 0.0, header.times_jd, header.pointing_dec_rad, 0.0, 0.0, JUDGE_SKY)
    run = Run(options, array, draw_corruption(options, array), 0.0)
    ours = subband_visibilities(run, plan, subband)[:, 0]
    worst = np.abs(ours - truth).max() / 16.0
    print(f"sb{subband:02d}: largest difference {worst:.2e} of the calibrator")
    assert worst < 1e-5
