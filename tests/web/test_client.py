"""The Python client against a live panel: records, tables, tokens, errors."""

import http.server
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from running_service import TOKEN
from survey import TILES, Survey

from contimg.client import PanelClient, Records
from contimg.common.errors import BadInput, Misconfigured, Transient


@pytest.fixture(scope="module")
def client(survey: Survey) -> PanelClient:
    return PanelClient(survey.url, TOKEN)


def test_images_are_read_over_pages(client: PanelClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("contimg.client.PAGE_ENTRIES", 7)
    images = client.images()
    assert len(images) == TILES == len({image["id"] for image in images})
    assert len(client.images(limit=10)) == 10
    bad = client.images(grade="bad", calibrated=False)
    assert {image["verdict"] for image in bad} == {"bad"}
    assert client.status()["states"]["completed"] == TILES


def test_columns_and_tables_have_units_and_masks(client: PanelClient) -> None:
    images = client.images()
    mjd = images.column("mjd")
    assert mjd.dtype == np.float64
    assert (np.diff(mjd) < 0).all()
    ratio = images.column("catalogue_flux_ratio")
    assert np.isnan(ratio).sum() == len(client.images(calibrated=False)) > 0
    table = images.table()
    assert (str(table["rms_jy"].unit), str(table["ra_deg"].unit), table["mjd"].unit) == ("Jy", "deg", "d")
    assert table["catalogue_flux_ratio"].mask.tolist() == np.isnan(ratio).tolist()
    assert "verdict_reasons" not in table.colnames
    with pytest.raises(BadInput, match="rms_mjy"):
        images.column("rms_mjy")
    assert len(Records().table()) == 0


def test_token_and_address_are_of_the_environment(survey: Survey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTIMG_URL", survey.url)
    monkeypatch.setenv("CONTIMG_TOKEN", TOKEN)
    assert PanelClient().images(limit=1)
    monkeypatch.setenv("CONTIMG_TOKEN", "wrong")
    with pytest.raises(Misconfigured, match="401"):
        PanelClient()._call("/api/groups/x/retry", {})


def test_errors_are_of_their_classes(client: PanelClient) -> None:
    with pytest.raises(BadInput, match="400"):
        client.images(grade="splendid")
    with pytest.raises(BadInput, match="404"):
        client.read_file("/api/images/999.fits")
    assert client.read_file(client.images(limit=1)[0]["fits_url"]).startswith(b"SIMPLE")
    with pytest.raises(Misconfigured, match="not the address"):
        PanelClient("file:///etc/passwd")
    with pytest.raises(Transient, match="no answer"):
        PanelClient("http://127.0.0.1:9", timeout_s=1).status()


@pytest.fixture
def elsewhere() -> Iterator[tuple[str, list[str | None]]]:
    """A server that redirects to itself, and the tokens that it has received at the end of the redirection."""
    tokens: list[str | None] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/api"):
                self.send_response(302)
                self.send_header("Location", "/elsewhere")
                self.end_headers()
            else:
                tokens.append(self.headers.get("Authorization"))
                self.send_error(200)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", tokens
    server.shutdown()
    server.server_close()


def test_token_is_not_redirected(elsewhere: tuple[str, list[str | None]]) -> None:
    url, tokens = elsewhere
    with pytest.raises(Misconfigured, match="302"):
        PanelClient(url, "secret").status()
    assert tokens == []
