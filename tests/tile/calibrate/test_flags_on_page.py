"""Bad antennas and flag pictures of a calibrated tile on its page."""

import io
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
    html = client.get(f"/groups/{group}").text
    for name, reason in BAD.items():
        assert re.search(rf"<b[^>]*>{name}</b> {re.escape(reason.replace('<', '&lt;').replace('>', '&gt;'))}", html)
    images = re.findall(r'<img src="([^"]*/flags/[^"]*)"[^>]* alt="([^"]+)"', html)
    assert [path.split("/")[-1].split(".")[0] for path, _ in images] == ["waterfall", "fractions"]
    assert all(len(text) > 40 for _, text in images)
    assert "MHz" in images[0][1]
    for path, _ in images:
        answer = client.get(path.replace("&amp;", "&"))
        assert (answer.status_code, answer.mimetype) == (200, "image/png")
        assert imread(io.BytesIO(answer.data), format="png").shape[1] == 1200
    assert client.get(f"/groups/{group}/flags/secrets.png").status_code == 404
    (tmp_path / "products" / "calibration" / "flags" / f"{group}.json").write_text("{}")
    without = client.get(f"/groups/{group}").text
    assert BAD["13"] in without
    assert "/flags/" not in without
