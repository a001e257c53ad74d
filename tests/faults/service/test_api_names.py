"""Names and paths that reach the panel from outside: refused with their reason, and nothing is touched."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from contimg.settings import Settings, load
from web import create_app

TOKEN = "correct horse battery staple"
OPERATOR = {"Authorization": f"Bearer {TOKEN}"}
BAD_NAMES = (
    ".", "..", "../x", "/etc", "a/b", ".hidden", "-rf", "a b", "a\x1b[31m", "a\nb", "é", "*", "a'b", "x" * 300,
    "a\x00b",
)  # fmt: skip


@pytest.fixture
def client(tmp_path: Path) -> Iterator[FlaskClient]:
    settings = Settings(state_dir=tmp_path / "state", token=TOKEN)
    table = load(settings).output_dir / "calibration" / "solved" / "solved.bcal"
    table.mkdir(parents=True)
    (table / "table.dat").write_text("data", encoding="utf-8")
    yield create_app(settings, fresh_s=0.0).test_client()
    assert (table / "table.dat").read_text(encoding="utf-8") == "data"
    assert [path.name for path in table.parents[1].iterdir()] == ["solved"]
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "scratch") == ["products", "state"]


def table_of(client: FlaskClient, tmp_path: Path) -> str:
    return str(tmp_path / "products" / "calibration" / "solved" / "solved.bcal")


@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
def test_bad_set_name_is_refused(client: FlaskClient, tmp_path: Path, name: str) -> None:
    body = {"tables": [table_of(client, tmp_path)], "name": name}
    answer = client.post("/api/calibrations/import", json=body, headers=OPERATOR)
    assert answer.status_code == 400
    assert "name" in answer.get_json()["error"]
    assert set(answer.get_json()) >= {"error", "hint"}


@pytest.mark.parametrize("name", ["..", "../x", "-rf", "a\x1b[31m"], ids=ascii)
def test_bad_set_name_is_refused_by_page(client: FlaskClient, tmp_path: Path, name: str) -> None:
    client.post("/sign-in", data={"token": TOKEN, "name": "Vera"})
    csrf = re.search(r'name="csrf" content="([^"]+)"', client.get("/calibration").text)
    assert csrf
    form = {"csrf": csrf[1], "tables": table_of(client, tmp_path), "name": name}
    answer = client.post("/calibration/import", data=form)
    assert answer.status_code == 400
    assert "name" in answer.text


@pytest.mark.parametrize(
    "table", ["/etc", "products/../..", "products/none.bcal", "a\x00b", "products/\x1b", "x" * 5000, "", "~root"],
    ids=lambda text: ascii(text[:20]),
)  # fmt: skip
def test_bad_table_path_is_refused(client: FlaskClient, tmp_path: Path, table: str) -> None:
    path = str(tmp_path / table) if table.startswith("products") else table
    answer = client.post("/api/calibrations/import", json={"tables": [path], "name": "set"}, headers=OPERATOR)
    assert answer.status_code == 400
    assert answer.get_json()["error"]


@pytest.mark.parametrize(
    "path",
    [
        "/api/logs/{}.log", "/api/groups/{}", "/groups/{}", "/api/calibrations/{}/phase.png", "/api/history/{}",
        "/static/{}",
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["..%2f..%2fstate%2fsession.key", "%2e%2e", "%ff", "%00", "%1b%5b31m", "x" * 3000])
def test_name_in_address_leads_nowhere(client: FlaskClient, path: str, name: str) -> None:
    answer = client.get(path.format(name))
    assert answer.status_code in (400, 404)
    assert "\x1b" not in answer.text
    assert len(answer.get_data()) < 20_000


@pytest.mark.parametrize("path", ["/api/calibrations/{}/retire", "/api/groups/{}/retry", "/api/groups/{}/discard"])
@pytest.mark.parametrize("name", ["..%2fx", "%ff", "%00", "%1b%5b31m"])
def test_command_for_unknown_name(client: FlaskClient, path: str, name: str) -> None:
    assert client.post(path.format(name), json={}, headers=OPERATOR).status_code == 404
