"""The panel behind reverse proxies: sign-in, links, cookie, addresses; in process, and behind a real nginx."""

import re
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from judges import NGINX, ROOT
from panels import TOKEN, panel_process, send

from contimg.common.errors import Misconfigured
from contimg.settings import Settings, load
from contimg.store import Store
from web import create_app

NAME = "telescope.example"
PUBLIC = {"Host": f"{NAME}:8443", "Origin": f"https://{NAME}:8443", "Sec-Fetch-Site": "same-origin"}
FORWARDED = {
    "X-Forwarded-For": "192.0.2.7",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": NAME,
    "X-Forwarded-Prefix": "/contimg",
}
LINK = re.compile(r'\b(?:href|src|action|data-events|data-call)="([^"#]+)')


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.of(load(Settings(state_dir=tmp_path / "state")))
    yield opened
    opened.close()


def open_panel(tmp_path: Path, store: Store, **changed: Any) -> FlaskClient:
    settings = Settings(state_dir=tmp_path / "state", token=TOKEN, web_names=NAME, **changed)
    return create_app(settings, store, fresh_s=0.0).test_client()


def sign_in(client: FlaskClient, headers: dict[str, str], address: str = "127.0.0.1") -> Any:
    return client.post(
        "/sign-in", data={"token": TOKEN, "name": "Vera"}, headers=headers, environ_overrides={"REMOTE_ADDR": address}
    )


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        # nginx without proxy_set_header sends the address of the panel as Host; the browser compared the addresses
        ({"Host": "127.0.0.1:8080", "Origin": f"http://{NAME}:8443", "Sec-Fetch-Site": "same-origin"}, 303),
        ({"Host": NAME, "Origin": f"http://{NAME}:8443", "Sec-Fetch-Site": "same-origin"}, 303),  # `Host $host`
        ({"Host": f"{NAME}:8443", "Origin": f"http://{NAME}:8443"}, 303),  # `Host $http_host`, no TLS
        ({"Host": "127.0.0.1:8080", "Origin": f"http://{NAME}:8443"}, 403),
        ({**PUBLIC, "Sec-Fetch-Site": "cross-site"}, 403),
        ({**PUBLIC, "Sec-Fetch-Site": "same-site"}, 403),
        ({"Host": "127.0.0.1:8080", "Origin": "null"}, 403),
        ({**PUBLIC, "Host": "other.example"}, 421),
    ],
)
def test_sign_in_by_host_and_origin(tmp_path: Path, store: Store, headers: dict[str, str], status: int) -> None:
    answer = sign_in(open_panel(tmp_path, store), headers)
    assert answer.status_code == status
    if status == 403 and "Sec-Fetch-Site" not in headers:  # over plain HTTP: the addresses, and the setting to change
        assert headers["Host"] in answer.text
        assert headers["Origin"] in answer.text
        assert "CONTIMG_WEB_PROXIES" in answer.text


@pytest.mark.parametrize(
    ("changed", "headers", "address", "prefix", "secure", "client_address"),
    [
        ({}, {}, "127.0.0.1", "", True, "127.0.0.1"),  # the origin's scheme is https
        ({}, FORWARDED, "127.0.0.1", "", True, "127.0.0.1"),
        ({"web_proxies": 1}, FORWARDED, "127.0.0.1", "/contimg", True, "192.0.2.7"),
        ({"web_proxies": 1}, FORWARDED, "198.51.100.1", "", True, "198.51.100.1"),  # not the proxy's address
        ({"web_proxies": 1, "web_proxy_addresses": "198.51.100.0/24"}, FORWARDED, "198.51.100.1", "/contimg", True,
         "192.0.2.7"),
        ({"web_proxies": 2}, {**FORWARDED, "X-Forwarded-For": "203.0.113.9, 192.0.2.7, 10.0.0.1"}, "127.0.0.1",
         "", True, "192.0.2.7"),  # one value of the other headers is not two
        ({"web_prefix": "/contimg/", "web_scheme": "https"}, {}, "127.0.0.1", "/contimg", True, "127.0.0.1"),
        ({"web_proxies": 1}, {**FORWARDED, "X-Forwarded-Prefix": "//other.example"}, "127.0.0.1", "", True,
         "192.0.2.7"),
        ({}, {"Host": "127.0.0.1", "Origin": "http://127.0.0.1"}, "127.0.0.1", "", False, "127.0.0.1"),
    ],
)  # fmt: skip
def test_prefix_cookie_and_client_address(
    tmp_path: Path, store: Store, changed: dict[str, Any], headers: dict[str, str], address: str, prefix: str,
    secure: bool, client_address: str,
) -> None:  # fmt: skip
    client = open_panel(tmp_path, store, **changed)
    answer = sign_in(client, {**PUBLIC, **headers}, address)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{prefix}/")
    cookie = answer.headers["Set-Cookie"]
    assert ("Secure" in cookie) == secure
    assert f"Path={prefix or '/'};" in cookie
    assert client_address in store.events.last(1)[0].text
    page = client.get("/groups", headers={**PUBLIC, **headers}, environ_overrides={"REMOTE_ADDR": address}).text
    links = LINK.findall(page)
    assert len(links) > 10
    assert all(link.startswith(f"{prefix}/") and not link.startswith("//") for link in links), links


def test_prefix_left_in_path_is_removed(tmp_path: Path, store: Store) -> None:
    client = open_panel(tmp_path, store, web_prefix="/contimg")
    for path in ("/contimg", "/contimg/", "/contimg/groups", "/groups", "/contimg/static/live.js", "/contimg/healthz"):
        assert client.get(path).status_code == 200, path
    assert client.get("/contimgx").status_code == 404
    assert client.get("/contimg/openapi.json").get_json()["servers"] == [{"url": "/contimg"}]


def test_shared_page_is_not_shared_between_prefixes(tmp_path: Path, store: Store) -> None:
    settings = Settings(state_dir=tmp_path / "state", token=TOKEN, web_proxies=1)
    client = create_app(settings, store, fresh_s=3600.0).test_client()
    for prefix in ("/first", "/second", ""):
        links = LINK.findall(client.get("/", headers={"X-Forwarded-Prefix": prefix}).text)
        assert all(link.startswith(f"{prefix}/") for link in links), (prefix, links)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CONTIMG_WEB_PREFIX", "contimg"),
        ("CONTIMG_WEB_PREFIX", "//other.example"),
        ("CONTIMG_WEB_PROXY_ADDRESSES", "nginx"),
        ("CONTIMG_WEB_PROXIES", "-1"),
        ("CONTIMG_WEB_SCHEME", "ftp"),
    ],
)
def test_wrong_proxy_settings_are_named(variable: str, value: str) -> None:
    """The settings themselves are refused, before any process starts."""
    with pytest.raises(Misconfigured, match=variable):
        Settings.from_environment({variable: value})


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@contextmanager
def nginx(directory: Path, panel: str) -> Iterator[tuple[int, ssl.SSLContext]]:
    """Run nginx with the example of ops/nginx in a TLS server; yield its port and a context that trusts it."""
    port = free_port()
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days",
         "2", "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME},IP:127.0.0.1"],
        cwd=directory, check=True, capture_output=True,
    )  # fmt: skip
    example = (ROOT / "ops" / "nginx" / "contimg.conf").read_text(encoding="utf-8")
    (directory / "contimg.conf").write_text(example.replace("127.0.0.1:8080", panel), encoding="utf-8")
    temporary = " ".join(f"{name}_temp_path {directory}/{name};" for name in ("proxy", "fastcgi", "uwsgi", "scgi"))
    (directory / "nginx.conf").write_text(
        f"daemon off; pid {directory}/pid; error_log {directory}/error.log; events {{}}\n"
        f"http {{ access_log off; client_body_temp_path {directory}/body; {temporary}\n"
        f"server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {directory}/cert.pem;\n"
        f"ssl_certificate_key {directory}/key.pem; include {directory}/contimg.conf; }} }}\n",
        encoding="utf-8",
    )
    process = subprocess.Popen([str(NGINX), "-c", str(directory / "nginx.conf")], stderr=subprocess.PIPE, text=True)
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.1)
        yield port, ssl.create_default_context(cafile=str(directory / "cert.pem"))
    finally:
        process.terminate()
        process.communicate(timeout=20)


@pytest.mark.judge("nginx")
def test_example_for_nginx(tmp_path: Path) -> None:
    """Every page that a link leads to, signing in, a command and a live event, through the example's location."""
    variables = {"CONTIMG_WEB_PROXIES": "1", "CONTIMG_WEB_NAMES": NAME}
    with panel_process(tmp_path / "state", **variables) as panel, nginx(tmp_path, panel) as (port, context):
        address, own = f"127.0.0.1:{port}", {"Origin": f"https://127.0.0.1:{port}", "Sec-Fetch-Site": "same-origin"}
        entered = send(address, "/contimg/sign-in", {"token": TOKEN, "name": "Vera"}, own, context)
        assert (entered.status, entered.headers["Location"]) == (303, "/contimg/")
        cookie = entered.headers["Set-Cookie"]
        assert "Secure" in cookie
        assert "Path=/contimg;" in cookie
        headers = {**own, "Cookie": cookie.split(";")[0]}
        pending, reached = ["/contimg/"], set[str]()
        while pending:
            path = pending.pop().replace("&amp;", "&")
            if path in reached or path.endswith("/api/events"):
                continue
            reached.add(path)
            answer = send(address, path, headers=headers, context=context)
            assert answer.status in (200, 405), path  # 405: the address of a form
            if answer.headers.get_content_type() == "text/html":
                links = LINK.findall(answer.text)
                assert all(link.startswith("/contimg/") for link in links), (path, links)
                pending += [link for link in links if "{" not in link and "/api/" not in link]
        assert len(reached) > 30
        csrf = re.search(r'name="csrf" content="([^"]+)"', send(address, "/contimg/", None, headers, context).text)
        assert csrf
        with (
            socket.create_connection(("127.0.0.1", port), timeout=20) as plain,
            context.wrap_socket(plain, server_hostname=NAME) as live,
        ):
            live.sendall(f"GET /contimg/api/events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
            received = live.recv(4096)
            form = {"csrf": csrf[1], "confirmed": "1"}
            assert send(address, "/contimg/streaming/pause", form, headers, context).status == 303
            while b"Vera" not in received:
                received += live.recv(4096)
