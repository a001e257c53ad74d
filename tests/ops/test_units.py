"""The systemd units, judged by systemd itself, and their settings file."""

import configparser
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from deployment_files import check_command, variables_in

UNITS = ("contimg-stream", "contimg-web")
systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed here")


def service_section(unit: Path) -> configparser.SectionProxy:
    """The [Service] section."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(unit, encoding="utf-8")
    return parser["Service"]


@systemd
@pytest.mark.parametrize("unit", UNITS)
def test_systemd_finds_no_fault(checkout: Path, tmp_path: Path, unit: str) -> None:
    text = (checkout / f"ops/systemd/{unit}.service").read_text(encoding="utf-8")
    installed = tmp_path / f"{unit}.service"
    installed.write_text(text.replace("/opt/contimg/bin/contimg", str(Path(sys.executable).with_name("contimg"))))
    outcome = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(installed)], capture_output=True, text=True, check=False
    )
    assert (outcome.returncode, outcome.stderr) == (0, "")


@systemd
@pytest.mark.parametrize("unit", UNITS)
def test_exposure_is_low(checkout: Path, unit: str) -> None:
    outcome = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=30", f"ops/systemd/{unit}.service"],
        cwd=checkout, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert outcome.returncode == 0, outcome.stdout


@pytest.mark.parametrize("unit", UNITS)
def test_the_command_is_the_programs_own(checkout: Path, unit: str) -> None:
    check_command(shlex.split(service_section(checkout / f"ops/systemd/{unit}.service")["ExecStart"]))


@pytest.mark.parametrize("unit", UNITS)
def test_a_crash_restarts_and_a_stop_outlasts_the_soft_shutdown(checkout: Path, unit: str) -> None:
    service = service_section(checkout / f"ops/systemd/{unit}.service")
    assert service["Restart"] == "on-failure"
    assert service["EnvironmentFile"] == "/etc/contimg/contimg.env"
    if unit == "contimg-stream":
        assert service["KillMode"] == "mixed"
        assert int(service["TimeoutStopSec"]) > 30


def test_the_settings_are_ones_that_are_read(checkout: Path, known_variables: frozenset[str]) -> None:
    assert not variables_in(checkout / "ops/systemd/contimg.env.example") - known_variables


def test_nothing_listens_to_the_network_by_default(checkout: Path) -> None:
    text = (checkout / "ops/systemd/contimg.env.example").read_text(encoding="utf-8")
    assert re.findall(r"^CONTIMG_WEB_HOST=(.*)$", text, re.MULTILINE) == ["127.0.0.1"]
    assert re.findall(r"^CONTIMG_TOKEN=(.*)$", text, re.MULTILINE) == [""]
