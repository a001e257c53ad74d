"""Two panels on one host: browsers send a cookie to every port, so that each panel has a cookie of its own name."""

import re
from pathlib import Path

import pytest
from panels import TOKEN

from contimg.settings import Settings
from web import create_app


@pytest.mark.parametrize(("directories", "shared"), [(("a", "b"), False), (("a", "a"), True)])
def test_sign_in_ends_no_session_of_another_panel(tmp_path: Path, directories: tuple[str, str], shared: bool) -> None:
    """Panels of one state directory share their sessions; others do not touch them."""
    jar: dict[str, str] = {}
    panels = [create_app(Settings(state_dir=tmp_path / name, token=TOKEN), fresh_s=0.0) for name in directories]
    clients = [panel.test_client(use_cookies=False) for panel in panels]
    for client in clients:
        header = {"Cookie": "; ".join(f"{name}={value}" for name, value in jar.items())}
        answer = client.post("/sign-in", data={"token": TOKEN, "name": "Vera"}, headers=header)
        name, value = answer.headers["Set-Cookie"].split(";")[0].split("=", 1)
        jar[name] = value
        assert TOKEN not in name
        assert re.fullmatch(r"[a-z_0-9]+", name)
    assert len(jar) == (1 if shared else 2)
    header = {"Cookie": "; ".join(f"{name}={value}" for name, value in jar.items())}
    for client in clients:
        assert "Sign out" in client.get("/", headers=header).text
