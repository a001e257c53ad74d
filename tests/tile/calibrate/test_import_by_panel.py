"""An operator brings real tables in through the panel: by its page and by its API, and sees the set there."""

import re
import shutil

import pytest

from contimg.formats.caltables.caltable_set import CaltableSet
from contimg.settings import Settings, load, save
from contimg.store import Store
from web import create_app

TOKEN = "correct horse battery staple"


@pytest.fixture
def panel(tmp_path, calibrated):
    """The panel of an empty stream, whose products hold the tables of a set that nobody has registered."""
    settings = Settings(state_dir=tmp_path / "state", token=TOKEN)
    save(settings, {"output_dir": str(tmp_path / "products")})
    for path in calibrated.done.new_set.paths:
        shutil.copytree(path, tmp_path / "products" / "from-elsewhere" / path.name)
    store = Store.of(load(settings))
    yield create_app(settings, store, fresh_s=0.0).test_client(), store, tmp_path / "products"
    store.close()


@pytest.mark.long
def test_import_on_calibration_page(panel, calibrated):
    client, store, products = panel
    assert "by-hand" not in client.get("/calibration").text
    client.post("/sign-in", data={"token": TOKEN, "name": "Vera"})
    csrf = re.search(r'name="csrf" content="([^"]+)"', client.get("/calibration").text)[1]
    tables = " ".join(str(products / "from-elsewhere" / path.name) for path in calibrated.done.new_set.paths)
    done = client.post("/calibration/import", data={"csrf": csrf, "tables": tables, "name": "by-hand"})
    assert (done.status_code, done.location) == (303, "/calibration"), done.text
    html = client.get("/calibration").text
    assert re.search(r"<h2[^>]*>.*by-hand", html)
    imported, new = store.registry.set_named("by-hand"), calibrated.done.new_set
    assert (imported.grade, imported.in_force) == ("good", True)
    assert imported.mjd == pytest.approx(new.mjd, abs=1e-3)
    assert [caltable.kind for caltable in imported.tables] == ["bandpass", "gain"]
    assert CaltableSet.read(imported.tables[0].path.parent).name == "by-hand"
    assert any("Vera" in event.text for event in store.events.last())
    body, operator = {"tables": tables.split(), "name": "by-hand"}, {"Authorization": f"Bearer {TOKEN}"}
    again = client.post("/api/calibrations/import", json=body, headers=operator)
    assert again.status_code == 409
    assert "by-hand" in again.get_json()["error"]
    replaced = client.post("/api/calibrations/import", json={**body, "replace": True}, headers=operator)
    assert replaced.status_code == 200, replaced.text


def test_refused_table_is_not_registered(panel, calibrated):
    client, store, products = panel
    gains = products / "from-elsewhere" / calibrated.done.new_set.paths[1].name
    order = {"tables": [str(gains)], "name": "gains-alone"}
    answer = client.post("/api/calibrations/import", json=order, headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 409
    assert str(gains) in answer.get_json()["error"]
    assert store.registry.sets() == ()
    assert not (products / "calibration" / "gains-alone").exists()
