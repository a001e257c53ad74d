"""Every option of every stage and process is checked before anything starts; names that CASA cannot use are refused."""

import subprocess
import sys
from typing import Literal, get_origin

import pytest
from click.testing import CliRunner

from contimg import settings
from contimg.cli import contimg
from contimg.common.errors import Misconfigured
from contimg.settings import tree

SECTIONS = list(settings.section_classes(tree.SECTION_MODULES))
CHECKED = [
    variable
    for section in SECTIONS
    for name, variable in section.variables().items()
    if section.model_fields[name].annotation in (int, float, bool)
    or get_origin(section.model_fields[name].annotation) is Literal
]
WORKER = ("-m", "celery", "-A", "workers.app", "worker", "-Q", "convert")


def test_sections_of_all_stages_are_checked():
    assert len(CHECKED) > 60
    for prefix in ("CONVERT", "CALIBRATE", "SOLUTIONS", "SELFCAL", "IMAGE", "QUALITY", "SERVICE"):
        assert any(variable.startswith(f"CONTIMG_{prefix}_") for variable in CHECKED), prefix


@pytest.mark.parametrize("variable", sorted(set(CHECKED) - {"CONTIMG_EXPECTED_SUBBANDS"}))
def test_wrong_value_is_refused(deployment, variable):
    deployment.more[variable] = "no such value"
    with pytest.raises(Misconfigured, match=variable):
        settings.check_all(settings.Settings.from_environment(deployment.environ), deployment.environ)


@pytest.mark.long
@pytest.mark.parametrize(
    "command",
    [("-m", "contimg", "run", "--no-web"), ("-m", "contimg", "start"), ("-m", "contimg", "producer"),
     ("-m", "contimg", "web"), ("-m", "contimg", "broker"), WORKER],
)  # fmt: skip
def test_process_with_a_wrong_stage_option_does_not_start(deployment, command):
    deployment.more["CONTIMG_IMAGE_SIZE"] = "many"
    outcome = subprocess.run(
        [sys.executable, *command],
        env=deployment.environ,
        cwd=deployment.root,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert outcome.returncode in (1, 2)
    assert "CONTIMG_IMAGE_SIZE='many'" in outcome.stderr
    assert outcome.stderr.count("\n") == 1, outcome.stderr
    assert not (deployment.root / "state/broker").exists()


def test_config_check_lists_stage_options(deployment, monkeypatch):
    monkeypatch.setenv("PIPELINE_STATE_DIR", str(deployment.root / "state"))
    monkeypatch.setenv("CONTIMG_IMAGE_SIZE", "512")
    rows = {row.key: row for row in settings.explain(settings.Settings.from_environment())}
    assert (rows["image_size"].value, rows["image_size"].source) == (512, "environment CONTIMG_IMAGE_SIZE")
    shown = CliRunner().invoke(contimg, ["config", "check"]).output
    variables = {variable for section in SECTIONS for variable in section.variables().values()}
    keys = {variable.removeprefix("CONTIMG_").lower() for variable in variables if variable.startswith("CONTIMG_")}
    assert keys <= {line.split()[0] for line in shown.splitlines()}


@pytest.mark.parametrize("character", ["'", '"', "[", "]", "{", "*", "?", "\\", "$", "`"])
@pytest.mark.parametrize("key", ["PIPELINE_STATE_DIR", "CONTIMG_OUTPUT_DIR", "CONTIMG_SCRATCH_DIR"])
def test_name_of_a_directory_that_casa_cannot_use_is_refused(deployment, key, character):
    deployment.more[key] = str(deployment.root / f"my{character}data")
    with pytest.raises(Misconfigured, match=key) as caught:
        settings.load(settings.Settings.from_environment(deployment.environ), deployment.environ)
    assert character in str(caught.value)


@pytest.mark.parametrize("part", ["my\u00a0data", "my\udcffdata", "my\ndata", "/".join(["x" * 100] * 9)])
@pytest.mark.parametrize("is_of_state", [False, True])
def test_directory_whose_path_the_store_cannot_hold_is_refused(deployment, part, is_of_state):
    key = "PIPELINE_STATE_DIR" if is_of_state else "CONTIMG_INPUT_DIR"
    deployment.more[key] = str(deployment.root / part)
    with pytest.raises(Misconfigured, match=key) as caught:
        settings.load(settings.Settings.from_environment(deployment.environ), deployment.environ)
    assert str(caught.value).isprintable()


def test_blanks_and_umlauts_are_accepted(deployment):
    deployment.more["CONTIMG_OUTPUT_DIR"] = str(deployment.root / "my data #1 (100% ü&;)")
    config = settings.load(settings.Settings.from_environment(deployment.environ), deployment.environ)
    assert config.output_dir.name == "my data #1 (100% ü&;)"
