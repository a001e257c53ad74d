"""`contimg archive` from the shell, its alert from housekeeping, and a worker's checksums."""

import json
import os
import shutil
import subprocess
import time

import pytest
from archived_night import NIGHT
from waiting import until

from contimg.common.errors import Misconfigured
from contimg.settings import RetentionRules
from contimg.survey.archive.options import ArchiveOptions, read_places
from contimg.survey.archive.places import MARKER
from contimg.survey.archive.remote import RemotePlace
from workers.housekeeping.archive import ArchiveRounds

ONE_PLACE = '[[place]]\nname = "vault"\nurl = "file://{root}/mnt/vault"\nkinds = ["ms", "image", "raw"]\n'


@pytest.mark.long
def test_commands_copy_verify_and_restore(night, flip):
    """`prepare`, `copy`, a flipped byte on each side, `verify`, `restore`, `status`; the memory place is left out."""
    (night.deployment.root / "archive.toml").write_text(ONE_PLACE.format(root=night.deployment.root))
    (night.vault / MARKER).unlink()
    contimg = night.deployment.contimg
    away = json.loads(contimg("archive", "copy", "--json").stdout)
    assert (away["round"]["away"], away["copies"]["vault"]["verified"]) == (["vault"], 0)
    assert contimg("archive", "prepare", "vault").returncode == 0
    copied = json.loads(contimg("archive", "copy", "--json").stdout)
    assert (copied["round"]["completed"], copied["copies"]["vault"]["verified"]) == (1, 16)
    flip(night.image())
    flip(night.vault / "images" / night.image(1).name)
    verified = contimg("archive", "verify", "--from", NIGHT, "--to", NIGHT, "--kind", "image", "--json")
    report = json.loads(verified.stdout)
    assert (verified.returncode, report["result"]["wrong"]) == (1, 2)
    assert {(row["path"], row["place"]) for row in report["problems"]} == {
        (str(night.image()), None), (str(night.image(1)), "vault"),
    }  # fmt: skip
    assert str(night.image()) in contimg("archive", "restore").stdout
    assert contimg("archive", "copy").returncode == 0
    assert contimg("archive", "verify").returncode == 0
    status = json.loads(contimg("archive", "status", "--json").stdout)
    assert (status["places"][0]["state"], status["nights"][0]["verified"], status["problems"]) == (
        "available", {"vault": 16}, [],
    )  # fmt: skip
    refused = contimg("archive", "copy", "--place", "cellar")
    assert (refused.returncode, "cellar" in refused.stderr, refused.stderr.count("\n")) == (3, True, 1)


def test_housekeeping_runs_rounds_and_alert_names_place_and_time(night):
    (night.deployment.root / "archive.toml").write_text(ONE_PLACE.format(root=night.deployment.root))
    rounds = ArchiveRounds(night.store, night.options, night.settings)
    assert rounds.check()
    until(lambda: not rounds.check(), 120, "the end of the round")
    assert night.counts() == {"verified": 16}
    (night.vault / MARKER).unlink()
    night.clock.now = time.time()
    night.run()
    rounds.check()
    (alert,) = night.store.alerts.active()
    assert alert.rule == "archive"
    assert "vault is away since 20" in alert.text
    (night.vault / MARKER).write_text("vault\n")
    night.run()
    rounds.check()
    assert night.store.alerts.active() == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("place = 1", "[[place]]"),
        ("[[place]]\nname = 'A B'\nurl = 'file:///a'", "name"),
        ("[[place]]\nname = 'a'\nurl = 'file:///a'\n" * 2, "second"),
        ("[[place]]\nname = 'a'\nurl = 'file://relative'", "url"),
        ("[[place]]\nname = 'a'\nurl = 'file:///a/../../etc'", "url"),
        ("[[place]]\nname = 'a'\nurl = 'ssh://-oProxyCommand=x/a'", "url"),
        ("[[place]]\nname = 'a'\nurl = 'ssh://host:22x/a'", "url"),
        ("[[place]]\nname = 'a'\nurl = 's3://Bucket'", "url"),
        ("[[place]]\nname = 'a'\nurl = 'http://host/a'", "url"),
        ("[[place]]\nname = 'a'\nurl = 'file:///a'\nkinds = ['images']", "images"),
        ("[[place]]\nname = 'a'\nurl = 'file:///a'\nkinds = ['raw']", "CONTIMG_ARCHIVE_KINDS"),
        ("[[place]]\nname = 'a'\nurl = 'file:///a'\npassword = 'b'", "password"),
    ],
)
def test_place_that_is_described_wrongly_is_refused(tmp_path, text, message):
    (tmp_path / "places.toml").write_text(text)
    with pytest.raises(Misconfigured) as refusal:
        read_places(ArchiveOptions(places="places.toml"), tmp_path)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_requirements_of_retention_are_checked():
    rules = RetentionRules.build({"require_verified": "ms=2 image=1"})
    assert rules.required_places == {"raw": 1, "ms": 2, "image": 1}
    for text in ("ms", "ms=-1", "caltables=1", "ms=1,image=1"):
        with pytest.raises(Misconfigured, match="CONTIMG_REQUIRE_VERIFIED"):
            RetentionRules.from_environment({"CONTIMG_REQUIRE_VERIFIED": text})


def remote_place(tmp_path, url: str) -> RemotePlace:
    (tmp_path / "places.toml").write_text(f"[[place]]\nname = 'campus'\nurl = '{url}'")
    (rule,) = read_places(ArchiveOptions(places="places.toml"), tmp_path)
    return RemotePlace(rule)


def test_remote_command_is_a_list_with_paths_after_the_options(tmp_path):
    place = remote_place(tmp_path, "ssh://archive@store.example.edu:2222/data/a;b $(c)")
    command = place.command(["/products/-rf.fits"], "archive@store.example.edu:/data/a;b $(c)/-rf.fits")
    assert (command[0], command[command.index("--") + 1 :]) == (
        "rsync", ["/products/-rf.fits", "archive@store.example.edu:/data/a;b $(c)/-rf.fits"],
    )  # fmt: skip
    assert "--protect-args" in command
    assert "--rsh=ssh -o BatchMode=yes -o ConnectTimeout=15 -p 2222" in command


@pytest.mark.skipif(shutil.which("rsync") is None, reason="rsync is not installed")
def test_remote_place_copies_reads_back_and_fetches(tmp_path, monkeypatch):
    """The real rsync on both sides; the program `ssh` is one that runs its command on this machine."""
    programs, source = tmp_path / "bin", tmp_path / "source"
    programs.mkdir()
    shell = programs / "ssh"
    shell.write_text('#!/bin/sh\nwhile [ "$1" != store ]; do shift; done; shift; exec "$@"\n')
    shell.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    (source / "a b.ms").mkdir(parents=True)
    (source / "a b.ms" / "table.dat").write_bytes(bytes(range(256)))
    (source / "T03:04:05.fits").write_bytes(b"image")
    place = remote_place(tmp_path, f"ssh://store{tmp_path}/remote $(touch x)")
    place.prepare()
    place.check()
    for name in ("a b.ms", "T03:04:05.fits"):
        digest = place.copy(source / name, f"new/{name}", None)
        assert place.read_back(f"new/{name}") == digest
        assert place.fetch(f"new/{name}", tmp_path / f"back {name}") == digest
    assert (tmp_path / "back T03:04:05.fits").read_bytes() == b"image"
    assert not list(tmp_path.rglob("x"))


def test_no_rsync_and_no_answer_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    place = remote_place(tmp_path, "ssh://store/data")
    with pytest.raises(Misconfigured, match="rsync"):
        place.check()


def test_checksum_of_tree_needs_no_shell_for_odd_names(tmp_path):
    from contimg.common.files.checksums import checksum

    for name in ("b", "a c", "a-b", "ä", "sub/x"):
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "tree" / "link").symlink_to("b")
    command = "find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum"
    listed = subprocess.run(command, shell=True, cwd=tmp_path / "tree", capture_output=True, text=True, check=True)
    assert checksum(tmp_path / "tree").sha256 == listed.stdout.split()[0]
