"""The configuration: what is in force, from where, and one clear line when it is wrong."""

import json
import re
from pathlib import Path
from typing import Literal

import click
import pytest
from click.testing import CliRunner

from contimg import settings as config
from contimg.common.errors import Misconfigured
from contimg.common.options import Options, flags, from_flags, option
from contimg.instrument.dsa110 import CADENCE_S
from contimg.settings import QueueRules, Settings, StreamingConfig

KEYS = ["input_dir", "output_dir", "queue_db", "registry_db", "scratch_dir", "expected_subbands", "chunk_duration"]
KEYS += ["log_level", "use_subprocess", "monitoring", "monitor_interval", "poll_interval", "worker_poll_interval"]
KEYS += ["max_workers", "stage_to_tmpfs", "tmpfs_path"]


@pytest.fixture
def settings(tmp_path):
    return Settings(state_dir=tmp_path / "state")


def write(settings, content):
    settings.state_dir.mkdir(exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    settings.config_path.write_text(text, encoding="utf-8")


def test_the_sixteen_keys():
    assert list(StreamingConfig.model_fields) == KEYS


def test_defaults_without_file_have_absolute_paths(settings, tmp_path):
    loaded = config.load(settings, {})
    assert (loaded.expected_subbands, loaded.chunk_duration) == (16, CADENCE_S / 60)
    assert loaded.input_dir == tmp_path / "incoming"
    assert loaded.queue_db == loaded.registry_db == str(tmp_path / "state" / "contimg.sqlite3")
    assert not settings.config_path.exists(), "reading writes nothing"


def test_environment_overrides_file_overrides_default(settings):
    write(settings, {"max_workers": 3, "poll_interval": 2, "input_dir": "/data/incoming"})
    loaded = config.load(settings, {"CONTIMG_MAX_WORKERS": "7", "CONTIMG_STAGE_TO_TMPFS": "yes"})
    assert (loaded.max_workers, loaded.poll_interval, loaded.stage_to_tmpfs) == (7, 2.0, True)
    assert loaded.input_dir == Path("/data/incoming")


def test_explain_lists_source_of_each_value(settings):
    write(settings, {"max_workers": 3, "chunk_duration": 6})
    environ = {"CONTIMG_MAX_WORKERS": "7", "CONTIMG_TOKEN": "t", "CONTIMG_MIN_SUBBANDS": "14"}
    entries = {entry.key: entry for entry in config.explain(settings, environ)}
    values = {key: entries[key].value for key in ("max_workers", "cadence_s", "min_subbands", "web_port")}
    assert values == {"max_workers": 7, "cadence_s": 360.0, "min_subbands": 14, "web_port": 8080}
    assert "CONTIMG_MAX_WORKERS" in entries["max_workers"].source
    assert str(settings.config_path) in entries["chunk_duration"].source
    assert str(settings.config_path) in entries["cadence_s"].source
    assert "CONTIMG_MIN_SUBBANDS" in entries["min_subbands"].source
    assert entries["web_port"].source == "default"
    assert entries["token"].secret
    assert set(KEYS) < set(entries)


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("{", ["JSON"]),
        ("[1]", ["list"]),
        ({"max_workers": "four"}, ["max_workers", "'four'", "integer"]),
        ({"max_workers": 0}, ["max_workers", "0", "1"]),
        ({"log_level": "LOUD"}, ["log_level", "'LOUD'", "'DEBUG'"]),
        ({"imput_dir": "/data"}, ["imput_dir", "input_dir", "output_dir"]),
        ({"registry_db": "/elsewhere.sqlite3"}, ["registry_db", "/elsewhere.sqlite3", "queue_db"]),
    ],
)
def test_invalid_file_error_names_file_and_key(settings, content, parts):
    write(settings, content)
    with pytest.raises(Misconfigured) as caught:
        config.load(settings, {})
    line = str(caught.value)
    assert line.startswith(f"{settings.config_path}: ")
    assert [part for part in parts if part not in line.removeprefix(str(settings.config_path))] == []
    assert "\n" not in line


def test_unreadable_file_is_refused(settings):
    settings.config_path.mkdir(parents=True)
    with pytest.raises(Misconfigured, match=r"streaming_config\.json: Is a directory"):
        config.load(settings, {})


def test_invalid_variable_is_named(settings):
    with pytest.raises(Misconfigured, match="CONTIMG_POLL_INTERVAL='soon'"):
        config.load(settings, {"CONTIMG_POLL_INTERVAL": "soon"})
    with pytest.raises(Misconfigured, match=r"CONTIMG_WEB_PORT=70000\b.*65535"):
        Settings.from_environment({"CONTIMG_WEB_PORT": "70000"})


def test_save_writes_only_set_keys(settings):
    write(settings, {"max_workers": 3})
    saved = config.save(settings, {"poll_interval": "2.5", "input_dir": "in"}, {})
    assert saved == config.load(settings, {})
    assert json.loads(settings.config_path.read_text()) == {"max_workers": 3, "poll_interval": 2.5, "input_dir": "in"}
    assert [path.name for path in settings.state_dir.iterdir()] == ["streaming_config.json"], "no temporary file stays"


def test_refused_change_leaves_file_unchanged(settings):
    write(settings, {"max_workers": 3})
    for wrong in ({"max_workers": 0}, {"no_such": 1}, {"_cli_parse_args": True}, {"registry_db": "/elsewhere"}):
        with pytest.raises(Misconfigured):
            config.save(settings, wrong, {})
    assert json.loads(settings.config_path.read_text()) == {"max_workers": 3}


@pytest.mark.parametrize("environ", [{}, {"CONTIMG_USE_SUBPROCESS": "no"}])
def test_unsupported_value_in_file_is_reported_and_replaced(settings, environ):
    write(settings, {"use_subprocess": False} if not environ else {})
    assert config.load(settings, environ).use_subprocess
    (message,) = config.ignored_values(settings, environ)
    assert "use_subprocess=false" in message
    assert ("CONTIMG_USE_SUBPROCESS" if environ else str(settings.config_path)) in message
    assert config.ignored_values(settings, {"CONTIMG_USE_SUBPROCESS": "yes"}) == []
    assert config.save(settings, {"max_workers": 3}, environ).use_subprocess


@pytest.mark.parametrize("value", [False, "false", "no"])
def test_unsupported_value_cannot_be_set(settings, value):
    with pytest.raises(Misconfigured, match="use_subprocess=false") as refusal:
        config.save(settings, {"max_workers": 3, "use_subprocess": value})
    assert "\n" not in str(refusal.value)
    assert not settings.config_path.exists()
    assert config.save(settings, {"use_subprocess": True}).use_subprocess


def test_passwords_are_masked(settings):
    url = "postgresql+psycopg://ops:secret@db/contimg"
    loaded = config.load(settings, {"CONTIMG_QUEUE_DB": url})
    assert loaded.queue_db == loaded.registry_db == url
    assert "secret" not in str(config.shown(loaded))
    assert "secret" not in str([entry.value for entry in config.explain(settings, {"CONTIMG_QUEUE_DB": url})])
    with pytest.raises(Misconfigured) as caught:
        config.load(settings, {"CONTIMG_QUEUE_DB": url, "CONTIMG_REGISTRY_DB": "/elsewhere"})
    assert "secret" not in str(caught.value)


def test_queue_rules_follow_configuration(settings):
    loaded = config.load(settings, {"CONTIMG_EXPECTED_SUBBANDS": "8", "CONTIMG_CHUNK_DURATION": "5.15"})
    rules = config.queue_rules(loaded, {})
    assert (rules.expected_subbands, rules.min_subbands, rules.cadence_s) == (8, 8, pytest.approx(309))
    with pytest.raises(Misconfigured, match=r"CONTIMG_GROUP_TOLERANCE_S=160\b.*\b309\b"):
        config.queue_rules(loaded, {"CONTIMG_GROUP_TOLERANCE_S": "160"})
    with pytest.raises(Misconfigured, match=r"CONTIMG_MIN_SUBBANDS=9\b.*expected_subbands\b.*\b8\b"):
        config.queue_rules(loaded, {"CONTIMG_MIN_SUBBANDS": "9"})


def test_cadence_from_telescope_key_or_variable(settings):
    assert QueueRules().cadence_s == config.queue_rules(config.load(settings, {}), {}).cadence_s == CADENCE_S
    write(settings, {"chunk_duration": 5.0})
    loaded = config.load(settings, {})
    assert config.queue_rules(loaded, {}).cadence_s == 300
    assert config.queue_rules(loaded, {"CONTIMG_CADENCE_S": "320"}).cadence_s == 320


def test_retry_delay_doubles_up_to_limit():
    rules = config.QueueRules(retry_delay_s=30, retry_delay_max_s=100)
    assert [rules.retry_after_s(attempts) for attempts in (1, 2, 3, 50)] == [30, 60, 100, 100]


class Sample(Options, env_prefix="CONTIMG_SAMPLE_"):
    size_px: int = option(2048, "Image size", unit="pixels", minimum=64)
    kind: Literal["full", "half"] = option("full", "Kind of image")


def test_flags_override_environment_overrides_default(monkeypatch):
    @click.command()
    @flags(Sample)
    def command(**arguments):
        click.echo(from_flags(Sample, arguments))

    def run(*words):
        return CliRunner().invoke(command, words)

    assert run().output.strip() == "size_px=2048 kind='full'"
    monkeypatch.setenv("CONTIMG_SAMPLE_SIZE_PX", "512")
    assert run("--kind", "half").output.strip() == "size_px=512 kind='half'"
    assert run("--size-px", "100").output.strip() == "size_px=100 kind='full'"
    assert re.match(r"--size-px=9: .*\b64$", str(run("--size-px", "9").exception))
    help_text = run("--help").output
    assert re.search(r"--size-px INTEGER\s+Image size \[pixels\] \(64 or more\)\s+\[default: 2048\]", help_text)
    assert "[full|half]" in help_text
    monkeypatch.setenv("CONTIMG_SAMPLE_SIZE_PX", "12")
    assert re.match(r"CONTIMG_SAMPLE_SIZE_PX=12: .*\b64$", str(run().exception))


def test_sections_have_unique_variables_and_help():
    variables = [variable for section in config.section_classes() for variable in section.variables().values()]
    shared = {variable for variable in variables if variables.count(variable) > 1}
    assert shared == {"CONTIMG_EXPECTED_SUBBANDS"}
    assert all(field.description for section in config.section_classes() for field in section.model_fields.values())


def test_replace_checks_limits():
    assert Sample().replace(size_px=64).size_px == 64
    with pytest.raises(Misconfigured, match=r"size_px=63\b.*\b64\b"):
        Sample().replace(size_px=63)
