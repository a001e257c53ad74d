"""`contimg config`, `db` and `groups`, as typed."""

import json
import re

import pytest
from store_steps import register_file

from contimg.common.errors import BadInput, Incomplete, Misconfigured
from contimg.settings import Settings, load
from contimg.store import Stage, State, Store, database

GROUP = "2026-02-22T23:17:51"


@pytest.fixture
def store(run):
    opened = Store.of(load(Settings.from_environment()))
    for subband in range(16):
        name = f"{GROUP}_sb{subband:02d}.hdf5"
        register_file(opened, Settings.from_environment().base_dir / name, 1, 1.0)
    yield opened
    opened.close()


def test_config_show_check_set(run, monkeypatch):
    assert json.loads(run("config", "show"))["expected_subbands"] == 16
    path = str(Settings.from_environment().config_path)
    (line,) = [line for line in run("config", "set", "max_workers=5", "monitoring=no").splitlines() if "max_w" in line]
    assert re.match(r"\s*max_workers\W+5\b", line)
    assert path in line
    assert json.loads(run("config", "show"))["monitoring"] is False
    monkeypatch.setenv("CONTIMG_TOKEN", "open sesame")
    checked = run("config", "check")
    assert "sesame" not in checked
    rows = {row["key"]: row for row in json.loads(run("config", "check", "--json"))}
    assert path in rows["max_workers"]["source"]
    assert "CONTIMG_TOKEN" in rows["token"]["source"]
    with pytest.raises(Misconfigured, match="KEY=VALUE"):
        run("config", "set", "max_workers")


def test_db_current_and_upgrade(run):
    with pytest.raises(Misconfigured, match="no store"):
        run("db", "current")
    assert database.HEAD in run("db", "upgrade")
    after = run("db", "current")
    assert database.HEAD in after
    assert "contimg db upgrade" not in after


def test_groups_list_show_discard_retry(run, store):
    assert re.fullmatch(rf"{GROUP}\s+pending\s+convert\s+16\b.*\n", run("groups", "list"))
    lease = store.leases.claim(GROUP, Stage.CONVERT, "host:1")
    store.leases.fail(lease, "no such axis", permanent=True)
    store.files.quarantine(lease.files[3], "NaN")
    shown = run("groups", "show", GROUP)
    for pattern in (
        r"\bfailed\b.*\bconvert\b",
        "no such axis",
        r"_sb03\.hdf5\b.*NaN",
        "host:1",
        r"subbands: 0, 1, 2, 4, ",
    ):
        assert re.search(pattern, shown), pattern
    as_json = json.loads(run("groups", "show", GROUP, "--json"))
    assert (as_json["state"], len(as_json["files"]), as_json["runs"][0]["outcome"]) == ("failed", 16, "failed")
    assert json.loads(run("groups", "list", "--state", "failed", "--json"))[0]["id"] == GROUP
    assert re.search(r"\bpending\b.*\bconvert\b", run("groups", "retry", GROUP, "--by", "Vera"))
    assert "discarded" in run("groups", "discard", GROUP, "--by", "Henrietta")
    texts = [event.text for event in store.events.last(10, group=GROUP)]
    assert any("Vera" in text for text in texts), texts
    assert any("discarded by Henrietta" in text for text in texts), texts
    assert GROUP not in run("groups", "list", "--state", "failed")
    with pytest.raises(BadInput, match="nowhere"):
        run("groups", "show", "nowhere")


def test_groups_list_filters_by_calibrator(run, store):
    """Without a Measurement Set the declination is not known, and no group has a calibrator."""
    assert [group["id"] for group in json.loads(run("groups", "list", "--no-calibrator", "--json"))] == [GROUP]
    assert json.loads(run("groups", "list", "--has-calibrator", "--json")) == []


def test_groups_retry_of_half_a_band_needs_force(run, store):
    lease = store.leases.claim(GROUP, Stage.CONVERT, "host:1")
    store.leases.fail(lease, "no such axis", permanent=True)
    for path in list(lease.files.values())[:8]:
        store.files.quarantine(path, "NaN")
    with pytest.raises(Incomplete, match=r"\b8 subbands.*12"):
        run("groups", "retry", GROUP)
    assert store.files.group(GROUP).state is State.FAILED
    record = json.loads(run("groups", "retry", GROUP, "--force", "--json"))
    assert (record["state"], record["id"], len(record["subbands"])) == ("pending", GROUP, 8)
