"""`contimg config`, `db` and `groups`, as typed."""

import json

import pytest

from contimg.config import load, settings_from
from contimg.errors import BadInput, Misconfigured
from contimg.store import Stage, Store
from contimg.subbands import SubbandName

GROUP = "2026-02-22T23:17:51"


@pytest.fixture
def store(run):
    opened = Store.of(load(settings_from()))
    for subband in range(16):
        name = SubbandName.parse(f"{GROUP}_sb{subband:02d}.hdf5")
        opened.arrivals.register_file(settings_from().base_dir / str(name), 1, 1.0, name)
    yield opened
    opened.close()


def test_config_is_shown_checked_and_set(run, monkeypatch):
    assert json.loads(run("config", "show"))["expected_subbands"] == 16
    assert "max_workers  5  (file " in run("config", "set", "max_workers=5", "monitoring=no")
    assert json.loads(run("config", "show"))["monitoring"] is False
    monkeypatch.setenv("CONTIMG_TOKEN", "open sesame")
    checked = run("config", "check")
    assert "sesame" not in checked
    rows = {row["key"]: row for row in json.loads(run("config", "check", "--json"))}
    assert rows["max_workers"]["source"].startswith("file ")
    assert rows["token"]["source"] == "environment CONTIMG_TOKEN"
    with pytest.raises(Misconfigured, match="give KEY=VALUE"):
        run("config", "set", "max_workers")


def test_the_database_says_where_it_stands(run):
    assert "revision none" in run("db", "current")
    assert "revision 0001" in run("db", "upgrade")
    assert "up to date" in run("db", "current")


def test_a_group_is_listed_shown_discarded_and_retried(run, store):
    assert run("groups", "list") == f"{GROUP}  pending convert        16 subbands\n"
    lease = store.leases.claim(GROUP, Stage.CONVERT, "host:1")
    store.leases.fail(lease, "no such axis", permanent=True)
    store.arrivals.set_aside(lease.files[3], "NaN")
    shown = run("groups", "show", GROUP)
    for part in ("failed convert", "no such axis", "_sb03.hdf5  set_aside: NaN", "host:1", "15 subbands"):
        assert part in shown
    as_json = json.loads(run("groups", "show", GROUP, "--json"))
    assert (as_json["state"], len(as_json["files"]), as_json["runs"][0]["outcome"]) == ("failed", 16, "failed")
    assert json.loads(run("groups", "list", "--state", "failed", "--json"))[0]["id"] == GROUP
    assert "pending convert" in run("groups", "retry", GROUP)
    assert "discarded" in run("groups", "discard", GROUP)
    assert run("groups", "list", "--state", "failed") == "no group is failed\n"
    with pytest.raises(BadInput, match="group nowhere: not in the store"):
        run("groups", "show", "nowhere")
