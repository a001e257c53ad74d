"""The systemd units, checked by systemd-analyze as installed, and their settings file."""

import configparser
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from deployment_files import check_command, variables_in

UNITS = ("broker", "stream", "worker@image", "api", "flower", "agent")
SERVICE_NAMES = tuple(f"contimg-{unit}.service" for unit in UNITS)
FLOWER_VARIABLES = {"FLOWER_BASIC_AUTH", "FLOWER_URL_PREFIX"}
systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed here")


def service_section(unit: Path) -> configparser.SectionProxy:
    """Return the [Service] section."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(unit, encoding="utf-8")
    return parser["Service"]


def unit_file(checkout: Path, unit: str) -> Path:
    """Return the file of a unit, or of its template."""
    return checkout / "ops/systemd" / f"contimg-{re.sub('@.*', '@', unit)}.service"


@pytest.fixture
def machine(checkout: Path, tmp_path: Path) -> Path:
    """Create a root directory with the units installed and the paths of the program replaced."""
    units_directory = tmp_path / "etc/systemd/system"
    shutil.copytree(checkout / "ops/systemd", units_directory)
    for file in units_directory.glob("*.service"):
        text = file.read_text(encoding="utf-8")
        file.write_text(text.replace("/opt/contimg/bin", str(Path(sys.executable).parent)), encoding="utf-8")
    return tmp_path


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze."""
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)


@systemd
@pytest.mark.parametrize("name", [*SERVICE_NAMES, "contimg.target"])
def test_units_are_valid(machine: Path, name: str) -> None:
    outcome = analyze("verify", "--man=no", str(machine / "etc/systemd/system" / name))
    assert (outcome.returncode, outcome.stderr) == (0, "")


@systemd
@pytest.mark.parametrize("name", SERVICE_NAMES)
def test_exposure_is_low(machine: Path, name: str) -> None:
    outcome = analyze("security", "--offline=true", f"--root={machine}", "--threshold=39", name)
    assert outcome.returncode == 0, outcome.stdout


@pytest.mark.parametrize("unit", UNITS)
def test_the_command_parses(checkout: Path, unit: str) -> None:
    command = service_section(unit_file(checkout, unit))["ExecStart"]
    for placeholder, replacement in (("%i", "image"), ("%%", "%"), ("${CONCURRENCY}", "2")):
        command = command.replace(placeholder, replacement)
    check_command(shlex.split(command))


def test_restarts_are_not_limited(checkout: Path) -> None:
    common = configparser.ConfigParser(strict=False, interpolation=None)
    common.read(checkout / "ops/systemd/contimg-.service.d/10-common.conf", encoding="utf-8")
    assert common["Service"]["Restart"] == "on-failure"
    assert common["Unit"]["StartLimitIntervalSec"] == "0"
    assert common["Service"]["EnvironmentFile"] == "/etc/contimg/contimg.env"


def test_stop_outlasts_the_soft_shutdown(checkout: Path) -> None:
    worker = service_section(unit_file(checkout, "worker@image"))
    assert worker["KillMode"] == "mixed"
    assert int(worker["TimeoutStopSec"]) > 30


def test_the_target_holds_every_unit(checkout: Path) -> None:
    for unit in UNITS:
        assert "WantedBy=contimg.target" in unit_file(checkout, unit).read_text(encoding="utf-8")
    assert "PartOf=contimg.target" in (checkout / "ops/systemd/contimg-.service.d/10-common.conf").read_text()


def test_the_settings_are_known(checkout: Path, known_variables: frozenset[str]) -> None:
    assert not variables_in(checkout / "ops/systemd/contimg.env.example") - known_variables - FLOWER_VARIABLES


def test_nothing_listens_to_the_network_by_default(checkout: Path) -> None:
    text = (checkout / "ops/systemd/contimg.env.example").read_text(encoding="utf-8")
    assert re.findall(r"^CONTIMG_WEB_HOST=(.*)$", text, re.MULTILINE) == ["127.0.0.1"]
    assert re.findall(r"^CONTIMG_TOKEN=(.*)$", text, re.MULTILINE) == [""]
