"""Checksums at birth, copies as jobs, flipped bytes, places that are away, kills and restoring: both databases."""

import hashlib
import shutil
import subprocess
from dataclasses import replace

import pytest
from archived_night import NIGHT
from store_steps import MS

from contimg.common.errors import BadInput
from contimg.common.files.checksums import checksum
from contimg.settings import RetentionRules
from contimg.store import ARCHIVE, Lease, Outcome, Stage, State
from contimg.store.survey.archive.product_files import LocalState
from contimg.survey.archive.copying import check_places, copy_night, open_place, verify_files
from contimg.survey.archive.places import MARKER, PlaceAway
from contimg.survey.archive.restoring import restore_files
from contimg.tile.products import CalibratedMS
from workers.execution.attempt import execute_stage
from workers.housekeeping.archive import archive_problem
from workers.housekeeping.cleanup import delete_expired

DAY_S = 86400.0
on_both = pytest.mark.parametrize("location", ["sqlite", "postgresql"], indirect=True)
on_both_in_long_tests = pytest.mark.parametrize(
    "location", ["sqlite", pytest.param("postgresql", marks=pytest.mark.long)], indirect=True
)


def problems(night) -> set[tuple[str, str | None, str]]:
    return {(problem.path.name, problem.place, problem.state) for problem in night.store.archive_overview.problems()}


def restore(night, **options):
    places = check_places(night.store, night.rules)
    directories = (night.deployment.config.output_dir, night.deployment.config.input_dir)
    return restore_files(night.store, places, directories, "", "", (), **options)


@on_both_in_long_tests
def test_commit_stores_checksums_that_sha256sum_confirms(night):
    files = {file.path: file for file in night.store.archive.files()}
    assert sorted(file.kind for file in files.values()) == sorted(2 * (["image"] * 3 + ["ms"] + ["raw"] * 4))
    image, ms = files[night.image()], files[night.ms()]
    assert image.sha256 == hashlib.sha256(night.image().read_bytes()).hexdigest()
    assert (image.size_bytes, image.night, image.name) == (4000, NIGHT, f"images/{night.image().name}")
    command = "find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum"
    listed = subprocess.run(command, shell=True, cwd=night.ms(), capture_output=True, text=True, check=True)
    assert (ms.sha256, ms.size_bytes) == (listed.stdout.split()[0], 15000)
    assert {file.sha256 for file in files.values() if file.kind == "raw"} == {None}
    image_row = night.store.products.image_of(night.groups[0])
    with night.store.database.read() as session:
        from contimg.store.tables import ProductFile

        assert session.get(ProductFile, image.id).product_id == image_row.id


@on_both
def test_round_copies_and_verifies_every_file(night):
    done = night.run()
    assert (done.completed, done.unfinished, done.away) == (2, 0, ())
    assert (night.counts("vault"), night.counts("attic")) == ({"verified": 16}, {"verified": 6})
    assert (night.vault / "images" / night.image().name).read_bytes() == night.image().read_bytes()
    assert checksum(night.vault / night.ms().name) == checksum(night.ms())
    assert {file.sha256 is None for file in night.store.archive.files(kinds=["raw"])} == {False}
    assert not list(night.vault.rglob("*.writing-*"))
    job = night.store.archive.due_jobs(["vault"])
    assert (job, night.run().completed) == ((), 0)


def test_jobs_of_archive_get_no_message_and_end_as_others(night):
    night.store.archive.plan("vault", ["image"], 60)
    (job,) = night.store.archive.due_jobs(["vault"])
    assert (job.kind, job.key, job.stage, job.state) == ("archive", f"vault/{NIGHT}", Stage.COPY, State.PENDING)
    assert night.store.jobs.take_unsent(99, lambda jobs: jobs) == ()
    assert night.store.jobs.waiting(0) == ()
    for stage in ARCHIVE.stages:
        assert execute_stage(night.context, stage, job.id)
    assert [run.outcome for run in night.store.jobs.runs(job.id)] == [Outcome.COMMITTED] * 2
    night.add_tile(5)
    night.store.archive.plan("vault", ["image"], 60)
    assert night.store.archive.due_jobs(["vault"])[0].id == job.id


def test_archive_continues_while_disk_is_full_and_not_while_operator_pauses(night):
    from contimg.store.jobs.records import DISK_WATCH

    night.store.jobs.pause("an operator")
    assert night.run().completed == 0
    night.store.jobs.resume("an operator")
    night.store.jobs.pause(DISK_WATCH)
    assert night.run().completed == 2


@on_both_in_long_tests
def test_flipped_byte_of_copy_is_named_and_copied_again(night, flip):
    night.run()
    flip(night.vault / "images" / night.image().name)
    flip(night.vault / night.ms(1).name / "ANTENNA" / "table.dat")
    (night.vault / "raw" / sorted(path.name for path in night.deployment.incoming.iterdir())[0]).unlink()
    places = list(check_places(night.store, night.rules).values())
    result = verify_files(night.store, places, NIGHT, NIGHT, ())
    assert (result.files, result.copies, result.wrong) == (16, 22, 3)
    named = problems(night)
    assert {(night.image().name, "vault", "corrupt"), (night.ms(1).name, "vault", "corrupt")} < named
    assert sorted(state for *_, state in named) == ["corrupt", "corrupt", "missing"]
    text = archive_problem(night.store, night.rules, night.clock())
    assert night.image().name in text
    assert any(night.image().name in event.text for event in night.store.events.last(level="error"))
    assert night.run().completed == 1
    assert (problems(night), night.counts()) == (set(), {"verified": 16})


@on_both_in_long_tests
def test_flipped_byte_of_local_file_is_named_not_copied_and_restored(night, flip):
    night.run()
    before, good = night.image().read_bytes(), night.image(1).stat()
    flip(night.image())
    shutil.rmtree(night.ms(1))
    result = verify_files(night.store, [], "", "", ())
    assert (result.files, result.copies, result.wrong) == (16, 0, 2)
    assert problems(night) == {(night.image().name, None, "corrupt"), (night.ms(1).name, None, "missing")}
    listed = restore(night, dry_run=True)
    assert night.image().read_bytes() != before
    restored = restore(night)
    assert [file.path for file in restored] == [file.path for file in listed] == [night.image(), night.ms(1)]
    assert night.image().read_bytes() == before
    assert checksum(night.ms(1)).sha256 == checksum(night.vault / night.ms(1).name).sha256
    assert (night.image(1).stat().st_ino, problems(night), restore(night)) == (good.st_ino, set(), ())


def test_file_changed_before_its_first_copy_never_reaches_a_place(night, flip):
    flip(night.image())
    night.run()
    assert problems(night) == {(night.image().name, None, "corrupt")}
    assert not (night.vault / "images" / night.image().name).exists()
    assert night.counts() == {"pending": 1, "verified": 15}


def test_restore_keeps_file_that_differs_nowhere_and_refuses_corrupt_copy(night, flip):
    night.run()
    flip(night.vault / night.ms().name / "table.f1")
    shutil.rmtree(night.ms())
    (outcome,) = restore(night)
    assert (outcome.path, outcome.place, night.ms().exists()) == (night.ms(), None, False)
    assert (night.ms().name, "vault", "corrupt") in problems(night)
    assert not list(night.ms().parent.glob("*.writing-*"))


def test_restore_into_another_directory(night, tmp_path):
    night.run()
    shutil.rmtree(night.deployment.config.output_dir)
    into = tmp_path / "new machine"
    restored = restore(night, into=into)
    assert len(restored) == 16
    assert checksum(into / night.ms().name).sha256 == checksum(night.vault / night.ms().name).sha256
    assert not night.deployment.config.output_dir.exists()


def test_restore_writes_outside_of_no_directory(night, tmp_path):
    night.run()
    shutil.rmtree(night.deployment.config.output_dir / "images")
    (tmp_path / "elsewhere").mkdir()
    (night.deployment.config.output_dir / "images").symlink_to(tmp_path / "elsewhere")
    assert {file.place for file in restore(night)} == {None}
    assert not list((tmp_path / "elsewhere").iterdir())


def test_remade_product_is_copied_again(night):
    night.run()
    group, ms = night.groups[0], night.ms()
    night.store.jobs.retry(group, stage=Stage.CALIBRATE)
    (ms / "table.f1").write_bytes(b"calibrated again")
    night.commit(group, Stage.CALIBRATE, CalibratedMS(None, "none", 0.0), ms)
    assert night.counts() == {"pending": 1, "verified": 15}
    assert night.run().completed == 0, "its job is not completed"
    night.commit(group, Stage.IMAGE, night_image(night), None)
    night.run()
    assert checksum(night.vault / ms.name) == checksum(ms)
    assert night.counts() == {"verified": 16}


def night_image(night):
    from store_steps import IMAGE

    return replace(IMAGE, fits_path=night.image(), beam_fits_path=None, png_path=None)


def test_reconverted_unchanged_subband_files_keep_their_checksums(night):
    night.run()
    before = {file.path: file.sha256 for file in night.store.archive.files(kinds=["raw"])}
    night.store.jobs.retry(night.groups[0], stage=Stage.CONVERT)
    night.commit(night.groups[0], Stage.CONVERT, replace(MS, path=night.ms()), None)
    assert {file.path: file.sha256 for file in night.store.archive.files(kinds=["raw"])} == before


def test_nothing_is_written_below_mount_point_that_is_not_mounted(night):
    (night.vault / MARKER).unlink()
    done = night.run()
    assert (done.away, night.counts(), list(night.vault.iterdir())) == (("vault",), {}, [])
    assert night.counts("attic") == {"verified": 6}
    (night.vault / MARKER).write_text("another\n")
    with pytest.raises(PlaceAway, match="another"):
        open_place(night.rules[0]).check()
    with pytest.raises(BadInput, match="another"):
        open_place(night.rules[0]).prepare()


@on_both
def test_with_place_away_nothing_is_deleted_and_alert_gives_the_time(night):
    night.run()
    rules = RetentionRules(
        keep_ms_days=1, keep_images_days=1, keep_raw_days=1, keep_last=0, require_verified="ms=1 image=2 raw=1"
    )
    night.clock.advance(3 * DAY_S)
    assert delete_expired(night.store, rules) == (), "no place was checked for days"
    (night.vault / MARKER).rename(night.vault / "away")
    night.run()
    away_at = night.clock()
    night.clock.advance(600)
    night.run()
    assert delete_expired(night.store, rules) == ()
    assert (night.image().exists(), night.ms().exists()) == (True, True)
    text = archive_problem(night.store, night.rules, 0.0)
    assert "vault is away since 2026-02-25 23:34:31Z" in text, away_at
    (night.vault / "away").rename(night.vault / MARKER)
    night.run()
    assert archive_problem(night.store, night.rules, 0.0) is None
    deleted = delete_expired(night.store, rules)
    assert sorted(item.product.kind for item in deleted) == sorted(2 * ["Measurement Set", "image", "subband files"])
    assert (night.image().exists(), night.ms().exists(), list(night.deployment.incoming.iterdir())) == (
        False,
        False,
        [],
    )
    assert {file.state for file in night.store.archive.files()} == {LocalState.RETIRED}
    assert delete_expired(night.store, rules) == ()
    assert (night.run().completed, problems(night), restore(night)) == (0, set(), ())


def test_retention_keeps_what_is_not_verified(night, flip):
    night.run()
    flip(night.vault / "images" / night.image().with_suffix(".png").name)
    verify_files(night.store, [open_place(night.rules[0])], "", "", ())
    night.clock.advance(DAY_S + 1)
    check_places(night.store, night.rules)
    due = night.store.retention.due(RetentionRules(keep_images_days=1, keep_last=0, require_verified="image=2"))
    assert [(product.group, product.lacking_copies) for product in due] == [(night.groups[0], 1), (night.groups[1], 0)]
    deleted = delete_expired(night.store, RetentionRules(keep_images_days=1, keep_last=0, require_verified="image=2"))
    assert [item.product.group for item in deleted] == [night.groups[1]]
    assert (night.image().exists(), night.image(1).exists()) == (True, False)


def test_subband_files_are_never_deleted_without_their_own_rule(night):
    night.clock.advance(400 * DAY_S)
    delete_expired(night.store, RetentionRules(keep_ms_days=1, keep_images_days=1, keep_last=0))
    assert len(list(night.deployment.incoming.iterdir())) == 8
    assert delete_expired(night.store, RetentionRules(keep_raw_days=1, keep_last=0)) == (), "no copy is verified"
    assert len(delete_expired(night.store, RetentionRules(keep_raw_days=1, keep_last=1, require_verified="raw=0"))) == 1
    assert len(list(night.deployment.incoming.iterdir())) == 4


@on_both_in_long_tests
def test_kill_between_copy_and_verification_loses_nothing(night):
    """The lease of a worker that was killed after it copied two files ends; another worker continues there."""
    night.store.archive.plan("vault", ["image"], 60)
    (job,) = night.store.archive.due_jobs(["vault"])
    assert isinstance(night.store.leases.claim(job.id, Stage.COPY, "killed:1:1:1"), Lease)
    place, written = open_place(night.rules[0]), []

    class Killed(BaseException):
        pass

    copy = place.copy

    def copy_two(*arguments):
        if len(written) == 2:
            raise Killed
        written.append(arguments)
        return copy(*arguments)

    place.copy = copy_two
    with pytest.raises(Killed):
        copy_night(night.store, place, NIGHT)
    assert night.counts() == {"pending": 4, "copied": 2}
    assert night.run().completed == 1, "attic; the lease is still held"
    night.clock.advance(1000)
    night.store.leases.expire()
    night.clock.advance(1000)
    assert night.run().completed == 1
    assert [run.outcome for run in night.store.jobs.runs(job.id)].count(Outcome.COMMITTED) == 2
    assert set(night.counts()) == {"verified"}


def test_audit_reads_what_was_read_longest_ago(night, flip):
    night.run()
    flip(night.vault / "images" / night.image().name)
    flip(night.ms() / "table.dat")
    assert night.run(audits=True).audited == 0, "all was read today"
    night.clock.advance(31 * DAY_S)
    assert night.run(audits=True).audited == 16 + 22
    assert problems(night) == {(night.image().name, "vault", "corrupt"), (night.ms().name, None, "corrupt")}
