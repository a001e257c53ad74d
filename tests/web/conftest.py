"""The panel over a real store in a temporary directory, and over a real server on a free port."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery_words import everybody
from flask import Flask
from flask.testing import FlaskClient
from measured_sky import SkyPanel, measure_sky
from observing_night import Night, whole_night
from running_service import TOKEN, RunningService
from served_panel import serving
from survey import Survey, observe

from contimg.settings import Settings, load, save
from contimg.store import Store
from web import create_app
from web.context import EXTENSION, Panel


@pytest.fixture(scope="session")
def empty_deployment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with an empty store: making the tables once is enough for all tests."""
    deployment = tmp_path_factory.mktemp("empty")
    open_night(deployment, time.time()).store.close()
    return deployment


@pytest.fixture(scope="session")
def full_deployment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the store and the products of a whole night that ends now."""
    deployment = tmp_path_factory.mktemp("full")
    night = open_night(deployment, time.time())
    whole_night(night, time.time())
    night.store.close()
    return deployment


def open_night(deployment: Path, at: float) -> Night:
    """The writing side of a directory: what producer and workers do to its store."""
    config = load(Settings(state_dir=deployment / "state"))
    return Night(Path(config.queue_db), config.input_dir, config.output_dir, at)


@pytest.fixture
def deployment(request: pytest.FixtureRequest, tmp_path: Path, empty_deployment: Path) -> Path:
    """A copy of the empty deployment, or of the full one for tests that ask for `full_night`."""
    full = "full_night" in request.fixturenames
    source: Path = request.getfixturevalue("full_deployment") if full else empty_deployment
    copy = tmp_path / "deployment"
    shutil.copytree(source / "state", copy / "state")
    if full:  # its products stay where they are
        settings = Settings(state_dir=copy / "state")
        save(settings, {"output_dir": str(source / "products")})
    return copy


@pytest.fixture
def settings(deployment: Path) -> Settings:
    return Settings(state_dir=deployment / "state", token=TOKEN)


@pytest.fixture
def night(deployment: Path) -> Iterator[Night]:
    night = open_night(deployment, time.time())
    yield night
    night.store.close()


@pytest.fixture
def full_night(night: Night) -> Night:
    """The night is over; the producer has just scanned once more."""
    night.store.activity.beat("producer.scan")
    return night


@pytest.fixture
def store(settings: Settings, night: Night) -> Iterator[Store]:
    """The panel's own opening of the same store."""
    opened = Store.of(load(settings))
    yield opened
    opened.close()


@pytest.fixture
def service(store: Store) -> RunningService:
    return RunningService(store)


@pytest.fixture
def app(settings: Settings, store: Store, service: RunningService) -> Flask:
    app = create_app(settings, store, service, inspect=everybody, fresh_s=0.0)
    panel: Panel = app.extensions[EXTENSION]
    while panel.inspector.latest() is None:
        time.sleep(0.001)
    return app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def operator() -> dict[str, str]:
    """The header of somebody who may change things."""
    return {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def url(app: Flask) -> Iterator[str]:
    """The panel behind a real waitress; its address without the last slash."""
    with serving(app) as address:
        yield address


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Survey]:
    """A panel over the nights of `survey.observe`."""
    deployment = tmp_path_factory.mktemp("survey")
    settings = Settings(state_dir=deployment / "state", token=TOKEN)
    night = open_night(deployment, time.time())
    observe(night)
    store = Store.of(load(settings))
    app = create_app(settings, store, RunningService(store), inspect=everybody, fresh_s=0.0)
    with serving(app) as address:
        yield Survey(address, app.test_client(), store)
    store.close()
    night.store.close()


@pytest.fixture(scope="module")
def sky_panel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SkyPanel]:
    """A panel over the light curves of `measured_sky.measure_sky`."""
    deployment = tmp_path_factory.mktemp("sky")
    settings = Settings(state_dir=deployment / "state", token=TOKEN)
    night = open_night(deployment, time.time())
    store = Store.of(load(settings))
    sky = measure_sky(night.store, load(settings).output_dir / "mosaics")
    app = create_app(settings, store, RunningService(store), inspect=everybody, fresh_s=0.0)
    with serving(app) as address:
        yield SkyPanel(address, app.test_client(), store, sky)
    store.close()
    night.store.close()
