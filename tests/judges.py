"""Programs and data that tests judge with: where they are, and what becomes of a test where one is missing.

A missing judge skips its tests with the way to install it. With CI=true in the environment a judge that the set-up
(`scripts/setup.sh tests`, `.ci/run`) installs must be there, and its absence fails them.
"""

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("CONTIMG_TEST_SHARED", ROOT.parent / "shared" / "data"))
READERS = Path(os.environ.get("CONTIMG_READERS", ROOT / ".venv-readers")) / "bin" / "python"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@dataclass(frozen=True)
class Judge:
    """A program, package or file; `in_setup` says whether the set-up of the tests installs it."""

    is_present: Callable[[], bool]
    remedy: str
    in_setup: bool = True


def postgresql_programs() -> Path | None:
    """The directory of the newest PostgreSQL server's programs."""
    servers = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    return max((path.parent for path in servers), key=lambda path: int(path.parts[-2]), default=None)


def _has_compose() -> bool:
    words = ["docker", "compose", "version"]
    return shutil.which("docker") is not None and not subprocess.run(words, capture_output=True, check=False).returncode


def _has_aladin() -> bool:
    from web.pages.aladin import find_script  # imports the panel

    return find_script() is not None


def _program(name: str) -> Judge:
    return Judge(lambda: shutil.which(name) is not None, f"apt-get install {name}")


def _package(module: str) -> Judge:
    return Judge(lambda: importlib.util.find_spec(module) is not None, "scripts/setup.sh installs it")


JUDGES = {
    "wsclean": _program("wsclean"),
    "aoflagger": _program("aoflagger"),
    "chromium": Judge(lambda: CHROMIUM is not None, "apt-get install chromium"),
    "nginx": Judge(lambda: NGINX is not None, "apt-get install nginx-light", in_setup=False),
    "postgresql": Judge(lambda: postgresql_programs() is not None, "apt-get install postgresql"),
    "readers": Judge(READERS.exists, "scripts/setup_readers.sh installs them"),
    "real arrivals": Judge((SHARED / "real_arrivals.csv.gz").exists, f"set CONTIMG_TEST_SHARED; not in {SHARED}"),
    "bdsf": _package("bdsf"),
    "playwright": _package("playwright"),
    "axe": _package("axe_playwright_python"),
    "schemathesis": _package("schemathesis"),
    "flower": _package("flower"),
    "aladin": Judge(_has_aladin, "`contimg viewer install` installs Aladin Lite"),
    "reproject": _package("reproject"),
    "pyvo": _package("pyvo"),
    "lxml": _package("lxml"),
    "docker compose": Judge(_has_compose, "apt-get install docker-compose-v2 or docker-compose-plugin", in_setup=False),
}


def require(name: str, *, allow_module_level: bool = False) -> None:
    """Skip the test where a judge is missing; fail it where CI's set-up should have installed that judge."""
    judge = JUDGES[name]
    if judge.is_present():
        return
    reason = f"{name} is not installed: {judge.remedy}"
    if judge.in_setup and os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(f"{reason}; in CI a missing judge is a failure", pytrace=False)
    pytest.skip(reason, allow_module_level=allow_module_level)
