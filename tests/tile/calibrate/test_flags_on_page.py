"""Bad antennas and flag pictures of a calibrated tile on its page."""

import io
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from matplotlib.image import imread
from store_steps import register_file

from contimg.formats.uvh5.grouping import seconds_of, subband_file_name
from contimg.settings import Settings, load, save
from contimg.store import RunFigures, Stage, Store
from contimg.tile.products import ConvertedMS
from web import create_app

BAD = {"13": "no signal: amplitude 0.01 of the median", "24": "no <fringes> of 3C48"}


@pytest.fixture
def client(tmp_path, calibrated):
    settings = Settings(state_dir=tmp_path / "state")
    save(settings, {"output_dir": str(tmp_path / "products")})
    store = Store.of(load(settings))
    ms, products = calibrated.truth.path, tmp_path / "products"
    shutil.copytree(calibrated.directory / "flags", products / "calibration" / "flags")
    for subband in range(16):
        name = subband_file_name(seconds_of(ms.stem), subband)
        group = register_file(store, tmp_path / "incoming" / name, 1000, store.database.clock()).file.group
    converted = ConvertedMS(products / ms.name, 61093.97, 61093.98, 24.4, 33.2, 24, 96, 12, (), 0.1, 1000)
    for stage, product in ((Stage.CONVERT, converted), (Stage.CALIBRATE, replace(calibrated.done, bad_antennas=BAD))):
        lease = store.leases.claim(group, stage, "host:1", task_id="task")
        store.leases.commit(lease, [product], RunFigures(1.0, 1, 1, 1))
    yield create_app(settings, store, fresh_s=0.0).test_client()
    store.close()


def test_bad_antennas_and_flag_pictures(client: FlaskClient, calibrated, tmp_path: Path) -> None:
    group = calibrated.truth.path.stem
    figures = tmp_path / "products" / "calibration" / "flags" / f"{group}.json"
    flags = json.loads(figures.read_text())
    name = next(iter(flags["by_antenna"]))
    flags["by_antenna"][name], flags["by_channel"][3], flags["freqs_hz"][3] = (0.0, 0.4), (0.0, 1.0), 1.4127e9
    figures.write_text(json.dumps(flags))
    html = client.get(f"/groups/{group}").text
    for bad, reason in BAD.items():
        assert re.search(rf"<b[^>]*>{bad}</b> {re.escape(reason.replace('<', '&lt;').replace('>', '&gt;'))}", html)
    images = re.findall(r'<img src="([^"]*/flags[^"]*)"[^>]* alt="([^"]+)"', html)
    assert [path.split("/")[-1].split("?")[0] for path, _ in images] == ["flags.waterfall.png", "flags.png"]
    assert all(len(text) > 40 for _, text in images)
    assert f"{name} (40.0 %)" in images[0][1]
    assert "1412.7 MHz (100.0 %)" in images[0][1]
    for path, _ in images:
        answer = client.get(path.replace("&amp;", "&"))
        assert (answer.status_code, answer.mimetype) == (200, "image/png")
        assert imread(io.BytesIO(answer.data), format="png").shape[1] == 1200
    figures.write_text("{}")
    without = client.get(f"/groups/{group}").text
    assert BAD["13"] in without
    assert "flags.png" not in without
