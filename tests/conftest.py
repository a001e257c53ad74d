"""Fixtures of all tests: the files made by pyuvsim, judges, and an offline Astropy."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from astropy.config import set_temp_cache
from astropy.utils.data import conf
from deployment import Deployment
from hypothesis import settings
from judges import require
from postgres_server import PostgresServer, running_postgres

from contimg.instrument.bundled_data import use_bundled_iers

HERE = Path(__file__).parent
DRIFT_SIM = HERE / "data" / "drift_sim" / "g2_8ant_6t_768ch"
DRIFT_SIM_SOURCES = (
    # right ascension and declination (ICRS, degrees), flux (Jy)
    (24.422080962, 33.159759164, 16.0),
    (24.0, 33.5, 3.0),
    (25.0, 32.8, 1.5),
)

use_bundled_iers()
# The first example of a test may load numba's cache, and the machine may be busy: no limit per example.
settings.register_profile("contimg", deadline=None)
settings.load_profile("contimg")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test marked `judge(name, …)` where a judge is missing; fail it in CI."""
    for marker in item.iter_markers("judge"):
        for name in marker.args:
            require(name)


@pytest.fixture(scope="session", autouse=True)
def empty_astropy_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Run without the network and with an empty Astropy cache, as on the machine of a new user."""
    with set_temp_cache(tmp_path_factory.mktemp("astropy")), conf.set_temp("allow_internet", False):
        yield


@pytest.fixture(scope="session")
def drift_sim_files() -> Mapping[int, Path]:
    """The 16 subband files made by pyuvsim, by subband."""
    files = {int(path.stem[-2:]): path for path in DRIFT_SIM.glob("*.hdf5")}
    assert len(files) == 16
    return files


@pytest.fixture(scope="session")
def drift_sim_sources() -> tuple[tuple[float, float, float], ...]:
    """Right ascension, declination (ICRS, degrees) and flux (Jy) of the sources in those files."""
    return DRIFT_SIM_SOURCES


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    """A deployment whose commands and processes a test starts."""
    (tmp_path / "incoming").mkdir()
    return Deployment(tmp_path)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL of the tests' own."""
    with running_postgres() as server:
        yield server
