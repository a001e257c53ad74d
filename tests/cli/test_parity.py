"""Whatever the panel can do, a command can: nobody needs a browser to run the stream."""

import contextlib
import json
import re

import click
import pytest

from contimg.cli import contimg
from contimg.common.errors import BadInput, Misconfigured, Transient
from contimg.settings import Settings, load
from contimg.settings.changes import history
from contimg.store import DiskPause, Store
from web import create_app

# Every address that changes something, and the command that does the same.
COMMANDS = {
    "/api/streaming/start": "start",
    "/api/streaming/stop": "stop",
    "/api/streaming/restart": "restart",
    "/api/streaming/pause": "pause",
    "/api/streaming/resume": "resume",
    "/streaming/<name>": "start",
    "/api/streaming/config": "config set",
    "/api/streaming/config/check": "config check",
    "/api/streaming/config/undo": "config undo",
    "/configuration": "config set",
    "/configuration/undo": "config undo",
    "/api/alerts/<int:id>/acknowledge": "alerts acknowledge",
    "/api/alerts/<int:id>/silence": "alerts silence",
    "/alerts/<int:alert_id>/silence": "alerts silence",
    "/alerts/maintenance": "alerts maintenance add",
    "/alerts/maintenance/<int:silence_id>/end": "alerts maintenance end",
    "/api/maintenance": "alerts maintenance add",
    "/api/maintenance/<int:id>/end": "alerts maintenance end",
    "/api/groups/<group>/retry": "groups retry",
    "/api/groups/<group>/discard": "groups discard",
    "/api/attention/<key>/retry": "attention retry",
    "/api/attention/<key>/discard": "attention discard",
    "/api/attention/<key>/acknowledge": "attention acknowledge",
    "/attention/<key>/<action>": "attention retry",
    "/alerts/<int:alert_id>/acknowledge": "alerts acknowledge",
    "/groups/<group>/retry": "groups retry",
    "/api/epochs/<epoch>/retry": "epochs retry",
    "/epochs/<epoch>/retry": "epochs retry",
    "/groups/<group>/discard": "groups discard",
    "/api/calibrations/<name>/retire": "calibrations retire",
    "/api/calibrations/import": "calibrations import",
    "/calibration/<name>/retire": "calibrations retire",
    "/calibration/import": "calibrations import",
    "/api/candidates/<int:candidate_id>": "sources decide",
    "/sources/candidates/<int:candidate_id>": "sources decide",
    "/api/campaigns/<name>/pause": "campaigns pause",
    "/api/campaigns/<name>/resume": "campaigns resume",
    "/api/campaigns/<name>/requeue": "campaigns resume",
    "/api/campaigns/<name>/cancel": "campaigns cancel",
    "/api/campaigns/<name>/promote": "campaigns promote",
    "/api/campaigns/<name>/drop": "campaigns drop",
    "/campaigns/<name>/<action>": "campaigns cancel",
    "/api/nights/<day>/notes": "night",
    "/nights/<day>/notes": "night",
}
OF_THE_BROWSER = {"/sign-in", "/sign-out"}


def test_every_panel_action_has_a_command(tmp_path):
    app = create_app(Settings(state_dir=tmp_path / "state"))
    actions = {rule.rule for rule in app.url_map.iter_rules() if "POST" in (rule.methods or ())}
    assert actions - OF_THE_BROWSER == set(COMMANDS)
    for words in COMMANDS.values():
        command: click.Command = contimg
        for word in words.split():
            assert isinstance(command, click.Group)
            subcommand = command.get_command(click.Context(command), word)
            assert subcommand is not None, words
            command = subcommand
        assert command.help


def test_config_change_is_recorded_and_undone(run):
    run("config", "set", "max_workers=5", "poll_interval=9", "--by", "Vera")
    run("config", "set", "max_workers=6", "--by", "Henrietta")
    assert load(Settings.from_environment()).max_workers == 6
    assert re.search(r"max_workers\W+5\b", run("config", "undo", "--by", "Vera"))
    assert load(Settings.from_environment()).max_workers == 5
    lines = run("config", "history").splitlines()
    expected = (
        r"\bVera\b.*max_workers 6\b.*\b5\b",
        r"\bHenrietta\b.*max_workers 5\b.*\b6\b",
        r"\bVera\b.*max_workers 2\b.*\b5\b.*poll_interval 5\.0\b.*\b9\.0\b",
    )
    assert len(lines) == 3
    assert all(re.search(pattern, line) for pattern, line in zip(expected, lines, strict=True)), lines
    assert [change.by for change in history(Settings.from_environment())] == ["Vera", "Henrietta", "Vera"]
    assert re.search(r"\bVera\b.*max_workers 6\b.*\b5\b", run("events"))
    run("config", "undo")
    with pytest.raises(BadInput):
        run("config", "undo")


def test_invalid_change_is_not_saved(run):
    with pytest.raises(Misconfigured, match="max_workers"):
        run("config", "set", "max_workers=0")
    history_lines = run("config", "history").splitlines()
    assert len(history_lines) == 1, "one line that there is no change"
    assert "max_workers" not in history_lines[0]


def test_alerts_and_events_are_listed(run):
    store = Store.of(load(Settings.from_environment()))
    assert "stall" not in run("alerts")
    store.alerts.update("stall", "stall: nothing moves", level="error")
    assert re.search(r"\berror\b.*stall: nothing moves$", run("alerts", "--on").rstrip())
    store.alerts.update("stall", None, end_text="it moves")
    assert "stall" not in run("alerts", "--on")
    assert "stall: nothing moves" in run("alerts")
    assert run("alerts", "list") == run("alerts")
    lines = run("events").splitlines()
    assert [line.split("  ")[-1].strip() for line in lines] == ["stall: nothing moves", "it moves"]
    assert run("events", "--level", "error").count("\n") == 1
    store.close()


def test_alerts_are_acknowledged_and_silenced(run):
    with contextlib.closing(Store.of(load(Settings.from_environment()))) as store:
        store.alerts.update("no data", "no data: no file for 20 min", level="error")
        (alert,) = store.alerts.active()
        assert "Vera" in run("alerts", "acknowledge", str(alert.id), "--by", "Vera", "--note", "cable")
        with pytest.raises(BadInput):
            run("alerts", "acknowledge", str(alert.id))
        run("alerts", "silence", "no data", "--until", "8h", "--reason", "cable", "--by", "Vera")
        run("alerts", "maintenance", "add", "--since", "2h", "--until", "1h", "--reason", "power", "--by", "Vera")
        silence, window = store.silences.current_and_planned()
        assert (silence.rule, silence.reason, silence.created_by) == ("no data", "cable", "Vera")
        assert silence.ends_at - silence.begins_at == pytest.approx(8 * 3600)
        assert window.ends_at - window.begins_at == pytest.approx(3600)
        assert run("alerts", "--on").count("Vera") == 1
        assert len(json.loads(run("alerts", "maintenance", "list", "--json"))) == 2
        run("alerts", "maintenance", "end", str(silence.id), "--by", "Vera")
        assert store.silences.current_and_planned() == (window,)
        with pytest.raises(click.BadParameter):
            run("alerts", "silence", "disk", "--until", "soon", "--reason", "power")


def test_status_and_resume_end_with_4_while_disk_is_full(run):
    with contextlib.closing(Store.of(load(Settings.from_environment()))) as store:
        store.activity.record_full_disk(DiskPause("/no/products", 96.5, 95.0, 90.0, 4 * 10**9, 10**9, 0.0))
        store.jobs.pause("the disk watch")
        for words in (("status",), ("status", "--json")):
            with pytest.raises(SystemExit) as ended:
                run(*words)
            assert ended.value.code == 4
        with pytest.raises(Transient, match="/no/products") as refused:
            run("resume")
        assert refused.value.exit_code == 4
        assert store.jobs.paused
        store.activity.record_full_disk(None)
        run("resume")
        run("status")
