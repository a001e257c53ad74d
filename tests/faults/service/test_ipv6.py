"""Panel and Flower at an IPv6 address."""

import socket

import pytest

from contimg.common.errors import Misconfigured
from contimg.settings import Settings
from workers.service.plan import Extras, check_ports, extra_plans


@pytest.fixture
def settings() -> Settings:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6) as probe:
            port = probe.getsockname()[1]
    except OSError:
        pytest.skip("this machine has no IPv6")
    return Settings(web_host="::1", web_port=port, flower_port=0)


def test_free_port_is_accepted(settings: Settings) -> None:
    check_ports(Extras(web=True, flower=False), settings)
    assert settings.web_address(settings.web_port) == f"[::1]:{settings.web_port}"


def test_taken_port_is_named(settings: Settings) -> None:
    with (
        socket.create_server(("::1", settings.web_port), family=socket.AF_INET6),
        pytest.raises(Misconfigured, match=rf"\[::1\]:{settings.web_port}"),
    ):
        check_ports(Extras(web=True, flower=False), settings)


@pytest.mark.parametrize(("host", "address"), [("::1", "[::1]"), ("::", "127.0.0.1"), ("10.0.0.1", "10.0.0.1")])
def test_link_to_flower(host: str, address: str) -> None:
    settings = Settings(web_host=host, flower_port=5555)
    web = next(
        plan for plan in extra_plans(Extras(web=True, flower=True), "redis://h", settings, {}) if plan.name == "web"
    )
    assert web.environ["CONTIMG_FLOWER_URL"].startswith(f"http://{address}:5555/")
