"""`--json` of the command line and the API give one model: each command's records against the API's, field by field."""

import json
import re
import time
from typing import Any

import click
import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient
from observing_night import Night

from contimg.cli import COMMANDS, Access, contimg
from contimg.settings import Settings
from contimg.settings.changes import change

# Command, request, and the key of the answer that has its records; "" for the whole answer.
SAME = {
    "groups list": ("/api/groups?limit=20", "groups"),
    "groups show": ("/api/groups/{group}", ""),
    "images list": ("/api/images?limit=20", "images"),
    "images show": ("/api/images/{image}", ""),
    "calibrations list": ("/api/calibrations?limit=30", "calibrations"),
    "alerts list": ("/api/alerts?limit=20", "alerts"),
    "alerts maintenance list": ("/api/maintenance?limit=20", "silences"),
    "attention list": ("/api/attention", "items"),
    "events": ("/api/events/list?limit=30", "events"),
    "config show": ("/api/streaming/config", ""),
    "config history": ("/api/streaming/config/changes", "changes"),
}
# Commands whose records are parts of an answer, or have no request.
OTHERS = {
    "beam show",
    "status",
    "calibrations show",
    "workers",
    "calibrators",
    "config check",
    "db current",
    "doctor",
    "plan",
}
ARGUMENTS = {"groups show": "{group}", "images show": "{image}", "calibrations show": "{set}",
             "calibrators": "--dec 33", "plan": "--cores 2"}  # fmt: skip
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def reading_commands() -> set[str]:
    """The words of the reading commands that have `--json`; all but `completion` do."""
    words = set()
    for section in COMMANDS.values():
        for name, (_, mark) in section.items():
            subcommands = {name: mark} if isinstance(mark, Access) else {f"{name} {key}": mark[key] for key in mark}
            words |= {text for text, access in subcommands.items() if access is Access.READ}
    return words - {"completion"}


@pytest.fixture
def names(full_night: Night, settings: Settings) -> dict[str, object]:
    """Names of records of the night; the configuration has been changed once."""
    change(settings, {"max_workers": 3}, "Vera")
    store = full_night.store
    store.alerts.update("disk", "disk: 1 GB free", level="error")
    store.silences.add(None, until=time.time() + 60.0, reason="new disks", by="Vera")
    image = store.products.images(limit=1)[0]
    return {"group": image.group, "image": image.id, "set": store.registry.sets(1)[0].name}


def answer_of(command: str, names: dict[str, object], settings: Settings) -> Any:
    words = f"{command} {ARGUMENTS.get(command, '')}".format(**names).split()
    outcome = CliRunner().invoke(contimg, ["--state-dir", str(settings.state_dir), *words, "--json"])
    assert outcome.exception is None or outcome.exit_code == 1, outcome.output
    if command == "events":  # a line for each event, the newest last
        return [json.loads(line) for line in reversed(outcome.stdout.splitlines())]
    return json.loads(outcome.stdout)


def times(value: Any, name: str = "") -> list[str]:
    """The texts of all fields that are named like a time."""
    if isinstance(value, dict):
        return [text for key in value for text in times(value[key], key)]
    if isinstance(value, list):
        return [text for member in value for text in times(member, name)]
    return [str(value)] if name.endswith("_at") and value is not None else []


def test_every_reading_command_is_compared():
    assert reading_commands() == set(SAME) | OTHERS
    for words in reading_commands():
        command: click.Command = contimg
        for word in words.split():
            assert isinstance(command, click.Group)
            subcommand = command.get_command(click.Context(command), word)
            assert subcommand is not None
            command = subcommand
        assert any("--json" in option.opts for option in command.params), words


@pytest.mark.parametrize("command", SAME)
def test_records_equal_the_answers_of_the_api(command, client: FlaskClient, names, settings):
    address, key = SAME[command]
    answer = client.get(address.format(**names)).get_json()
    records = answer_of(command, names, settings)
    assert records == (answer[key] if key else answer)
    assert records
    assert all(TIME.fullmatch(text) for text in times(records)), times(records)


def test_status_has_the_fields_of_the_api(client: FlaskClient, names, settings):
    api, status = client.get("/api/status").get_json(), answer_of("status", names, settings)
    assert set(api) <= set(status)
    # The panel of the tests has another service, and time goes on between the two answers.
    volatile = {"at", "oldest_pending_s", "scan_age_s", "rates", "service", "condition"}
    assert {key: status[key] for key in set(api) - volatile} == {key: api[key] for key in set(api) - volatile}
    assert set(status["condition"]) == set(api["condition"])
    for key in ("rates", "service"):
        assert set(status[key]) == set(api[key])
    assert TIME.fullmatch(status["at"])


@pytest.mark.parametrize("command", sorted(OTHERS - {"beam show", "status", "workers", "doctor"}))
def test_other_commands_print_json(command, names, settings):
    records = answer_of(command, names, settings)
    assert records
    assert all(TIME.fullmatch(text) for text in times(records)), times(records)
