"""`--json` of the command line and the API give one model: each command's records against the API's, field by field."""

import json
import re
import time
from typing import Any

import click
import pytest
from campaign_steps import create_campaign
from click.testing import CliRunner
from flask.testing import FlaskClient
from observing_night import Night

from contimg.cli import COMMANDS, Access, contimg
from contimg.quality.antennas import AntennaNumbers, AntennaState
from contimg.settings import Settings
from contimg.settings.changes import change
from contimg.sky.catalogue import SURVEY, CatalogueSources, Provenance, write_catalogue
from contimg.sky.catalogue.catalogue import catalogue_path
from contimg.store import CandidateKind, Selection, Stage
from contimg.tile.products import CalibratedMS

# Command, request, and the key of the answer that has its records; "" for the whole answer.
SAME = {
    "groups list": ("/api/groups?limit=20", "groups"),
    "groups show": ("/api/groups/{group}", ""),
    "images list": ("/api/images?limit=20", "images"),
    "images show": ("/api/images/{image}", ""),
    "calibrations list": ("/api/calibrations?limit=30", "calibrations"),
    "campaigns list": ("/api/campaigns", "campaigns"),
    "campaigns show": ("/api/campaigns/{campaign}", ""),
    "epochs list": ("/api/epochs?limit=20", "epochs"),
    "sources list": ("/api/sources?limit=20", "sources"),
    "sources candidates": ("/api/candidates?limit=20", "candidates"),
    "antennas list": ("/api/antennas", ""),
    "antennas show": ("/api/antennas/{antenna}", ""),
    "alerts list": ("/api/alerts?limit=20", "alerts"),
    "alerts maintenance list": ("/api/maintenance?limit=20", "silences"),
    "attention list": ("/api/attention", "items"),
    "events": ("/api/events/list?limit=30", "events"),
    "config show": ("/api/streaming/config", ""),
    "config history": ("/api/streaming/config/changes", "changes"),
}
# Commands whose records are parts of an answer, or have no request.
OTHERS = {
    "archive status",  # /api/archive gives the last nights
    "beam show",
    "campaigns compare",  # /api/campaigns/<campaign>/comparison is cut into pages
    "campaigns presets",
    "db sizes",  # measured by the command, recorded once a day in /api/store
    "status",
    "calibrations show",
    "epochs show",  # /api/epochs/<epoch>, /api/mosaics/<mosaic> and the attempts
    "sources show",  # /api/sources/<source>/lightcurve adds the light curves of neighbours
    "catalogue list",  # /api/catalogues adds what each catalogue covers of the newest tile's declination
    "catalogue show",
    "catalogue query",
    "catalogue check",
    "workers",
    "calibrators",
    "config check",
    "db current",
    "doctor",
    "plan",
}
ARGUMENTS = {"groups show": "{group}", "images show": "{image}", "calibrations show": "{set}",
             "campaigns show": "{campaign}", "campaigns compare": "{campaign}",
             "epochs show": "{epoch}", "sources show": "{source}", "antennas show": "{antenna}",
             "catalogue query": "24 33 5",
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
    """Names of records of the night; the configuration has been changed once, and a catalogue is installed."""
    change(settings, {"max_workers": 3}, "Vera")
    store = full_night.store
    store.alerts.update("disk", "disk: 1 GB free", level="error")
    store.silences.add(None, until=time.time() + 60.0, reason="new disks", by="Vera")
    sources = CatalogueSources.of(1.4e9, ["a"], [24.4], [33.2], 0.1)
    provenance = Provenance(name="north", kind=SURVEY, frequency_hz=1.4e9, beam_deg=0.0125, flux_limit_jy=0.01)
    write_catalogue(catalogue_path(settings.state_dir, "north"), sources, provenance)
    observe_antennas(full_night)
    source = store.sky.add_source(24.4, 33.2, by="Vera")
    store.sky.record_candidates([Selection(source.id, CandidateKind.NEW, "not seen before", {"snr": 9.0}, 61093.1)])
    image = store.products.images(limit=1)[0]
    return {
        "group": image.group, "image": image.id, "set": store.registry.sets(1)[0].name, "antenna": "23",
        "epoch": store.epochs.list_epochs(1).epochs[0].id, "source": source.name,
        "campaign": create_campaign(store).name,
    }  # fmt: skip


def observe_antennas(night: Night) -> None:
    """Process a tile in which antenna 23 is dead."""
    mjd = 40587.0 + night.at / 86400
    group = night.files()
    night.run(group, Stage.CONVERT, [night._measurement_set(group, mjd)])
    numbers = AntennaNumbers("23", "X", AntennaState.DEAD, 1.0, "amplitude is zero")
    night.run(group, Stage.CALIBRATE, [CalibratedMS(None, "no set is valid", 0.05, antenna_numbers=(numbers,))])


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
