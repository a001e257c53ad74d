"""A sky simulated by pyuvsim and written as a Measurement Set by pyuvdata: none of it is the package's own work."""

from pathlib import Path

import numpy as np
import pytest
from astropy.utils import iers
from casacore.tables import table
from pyuvdata import UVData

from contimg.tile.image import ImageOptions, image
from contimg.tile.image.sources.photometry import measure_source

FILES = Path(__file__).parents[2] / "data" / "drift_sim" / "g2_8ant_6t_768ch"
SKY = ((24.422080962, 33.159759164, 16.0), (24.0, 33.5, 3.0), (25.0, 32.8, 1.5))
CENTRE_DEG = (24.3, 33.2)

OPTIONS = ImageOptions(size=1024, pixel_arcsec=6.0, iterations=1000, average=False, changing_sky=False)


@pytest.fixture(scope="module")
def judge_ms(tmp_path_factory):
    iers.conf.auto_download, iers.conf.auto_max_age = False, None
    whole = None
    for path in sorted(FILES.glob("*.hdf5"), reverse=True):  # the last subband is the lowest
        part = UVData()
        part.read(path, file_type="uvh5", run_check=False)
        fringe = np.exp(2j * np.pi * part.uvw_array[:, 2:3].astype(float) * part.freq_array / 299792458.0)
        part.data_array = (part.data_array * fringe[..., None])[:, ::-1]
        part.freq_array, part.channel_width = part.freq_array[::-1], np.abs(part.channel_width)
        whole = part if whole is None else _above(whole, part)
    whole.Nfreqs = whole.freq_array.size
    whole.spw_array, whole.flex_spw_id_array = np.array([0]), np.zeros(whole.Nfreqs, int)
    whole.set_uvws_from_antenna_positions()
    whole.set_lsts_from_time_array()
    whole.phase(ra=np.deg2rad(CENTRE_DEG[0]), dec=np.deg2rad(CENTRE_DEG[1]), cat_name="tile")
    path = tmp_path_factory.mktemp("judge") / "judge.ms"
    whole.write_ms(str(path), run_check=False)
    with table(f"{path}::POINTING", ack=False, readonly=False) as pointing:  # in azimuth and elevation there
        pointing.removerows(range(pointing.nrows()))
    return path


def _above(whole, part):
    for name in ("data_array", "flag_array", "nsample_array"):
        setattr(whole, name, np.concatenate([getattr(whole, name), getattr(part, name)], axis=1))
    for name in ("freq_array", "channel_width"):
        setattr(whole, name, np.concatenate([getattr(whole, name), getattr(part, name)]))
    return whole


def test_sources_of_the_outside_simulator(judge_ms, tmp_path):
    # The sky was seen through a uniform beam, in which no source changes.
    tile_image = image(judge_ms, tmp_path, OPTIONS)
    for ra, dec, flux in SKY:
        measured = measure_source(tile_image.products.fits, ra, dec)
        assert measured.offset_beams < 0.05
        assert measured.apparent_jy == pytest.approx(flux, rel=0.025)
