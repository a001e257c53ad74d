"""An epoch through the real broker, producer and workers: ready, killed, made once, made again, kept by retention."""

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from deployment import Deployment
from epoch_steps import commit_images, products_at
from store_steps import commit
from waiting import until

sys.path += [str(Path(__file__).parents[2] / "benchmarks")]

from tile_images import SMALL, random_sky, strip, write_strip

from contimg.common.files.staging import temporaries
from contimg.settings import RetentionRules, queue_rules
from contimg.store import EPOCH, Outcome, Stage, State, Store, StoredMosaic
from workers.execution.processes import ProcessName

pytestmark = [pytest.mark.long, pytest.mark.timeout(420)]
T0 = 1_771_802_271.0  # 2026-02-22T23:17:51
OLD = RetentionRules(keep_images_days=1, keep_last=0, keep_flagged=False)
KILLS = 2
STAGES = len(EPOCH.stages)


class Stream:
    """The stream with an epoch of three tile images.

    Attributes
    ----------
    store : in which the tiles were imaged two days ago.
    images : the tile images.
    """

    def __init__(self, root: Path) -> None:
        self.deployment = Deployment(
            root, {"CONTIMG_EPOCH_STEP_MIN": "60", "CONTIMG_MAX_ATTEMPTS": "9", "CONTIMG_LEASE_S": "15"}
        )
        self.deployment.incoming.mkdir(parents=True)
        self.mosaics = self.deployment.config.output_dir / "mosaics"
        directory = self.deployment.config.output_dir / "images"
        directory.mkdir(parents=True)
        self.images = write_strip(directory, strip(80.0, 20.0, 3, **SMALL), random_sky(80.0, 20.0, 6.0, 3.2, 30))
        rules = queue_rules(self.deployment.config, self.deployment.environ)
        past = Store.open(self.deployment.config.queue_db, rules, clock=lambda: time.time() - 2 * 86400)
        commit_images(past, self.deployment.incoming, self.images, T0, 20.0)
        past.close()
        self.store = Store.open(self.deployment.config.queue_db, rules)
        (self.key,) = (epoch.id for epoch in self.store.epochs.list_epochs().epochs)
        self.job_id = self.store.epochs.epoch(self.key).job_id
        self.process = self.deployment.start_process(*self.deployment.command("run", "--no-web"), log="run.log")

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(60)
        self.store.close()

    def kill_worker(self) -> None:
        """Kill the process that makes the mosaic, as soon as it writes."""
        before = set(self.mosaics.glob("*.writing-*"))
        until(lambda: set(self.mosaics.glob("*.writing-*")) - before, 120, "a mosaic is being written")
        owner = self.store.jobs.job(self.job_id).lease_owner
        name = ProcessName.parse(owner or "")
        assert name is not None, owner
        os.kill(name.pid, signal.SIGKILL)
        until(lambda: name.is_dead and self.store.jobs.job(self.job_id).lease_owner != owner, 60, "its lease has ended")

    def wait_for_mosaic(self, after_s: float = 0.0) -> StoredMosaic:
        """Wait for the mosaic of the epoch that was committed after a time."""

        def is_complete() -> bool:
            mosaic = self.store.mosaics.mosaic_of(self.job_id)
            state = self.store.epochs.epoch(self.key).state
            return mosaic is not None and mosaic.created_at > after_s and state == State.COMPLETED

        until(is_complete, 180, "the epoch has its mosaic")
        mosaic = self.store.mosaics.mosaic_of(self.job_id)
        assert mosaic is not None
        return mosaic

    def image_again(self, number: int) -> str:
        """Commit the image of a tile once more, before a worker takes the stage."""
        path = self.images[number]
        group = self.store.epochs.epoch(self.key).tiles[number].group
        _, image = products_at(group, T0 + 309 * number + 154.5, 20.0)
        self.store.jobs.retry(group, stage=Stage.IMAGE)
        commit(self.store, group, Stage.IMAGE, replace(image, fits_path=path))
        return group


@pytest.fixture
def stream(tmp_path: Path) -> Iterator[Stream]:
    stream = Stream(tmp_path / "stream")
    yield stream
    stream.close()


def due_images(store: Store) -> int:
    return sum(product.kind == "image" for product in store.retention.due(OLD))


def count_outcomes(stream: Stream) -> Counter[Outcome | None]:
    return Counter(run.outcome for run in stream.store.jobs.runs(stream.job_id))


def test_mosaic_appears_once_in_spite_of_kills(stream: Stream) -> None:
    store = stream.store
    assert due_images(store) == 0, "the open window keeps its tiles"
    for _ in range(KILLS):
        stream.kill_worker()
    first = stream.wait_for_mosaic()
    assert [member.fits_path for member in first.members] == stream.images
    assert first.fits_path == stream.mosaics / f"{stream.key}.fits"
    assert count_outcomes(stream) == {Outcome.FAILED: KILLS, Outcome.COMMITTED: STAGES}
    assert due_images(store) == 3

    weight = first.weight_fits_path.read_bytes()
    group = stream.image_again(1)
    assert store.epochs.epoch(stream.key).state in (State.COLLECTING, State.PENDING, State.IN_PROGRESS)
    assert due_images(store) == 0, "the reopened window keeps them again"
    assert store.mosaics.mosaic_of(stream.job_id) == first, "until the new one is committed"
    second = stream.wait_for_mosaic(first.created_at)
    assert store.mosaics.list_mosaics().total == 1
    assert count_outcomes(stream) == {Outcome.FAILED: KILLS, Outcome.SUPERSEDED: STAGES, Outcome.COMMITTED: STAGES}
    assert second.weight_fits_path.read_bytes()[-2880:] == weight[-2880:]
    assert any(f"{group} was imaged" in event.text for event in store.events.after(0))
    until(lambda: temporaries(stream.mosaics) == [], 90, "the files of the killed workers are removed")
    suffixes = ("fits", "weight.fits", "rms.fits", "png", "thumb.png", "qa.png")
    assert {path.name for path in stream.mosaics.iterdir()} <= {f"{stream.key}.{suffix}" for suffix in suffixes}
