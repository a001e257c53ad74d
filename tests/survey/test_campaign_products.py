"""Files of a campaign: beside those of the stream, and deleted with it, also after a kill."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from campaign_steps import SPAN, image_campaign, image_tiles
from store_play import RULES, Clock, Telescope
from store_steps import IMAGE, commit

from contimg.settings import StreamingConfig
from contimg.store import NewCampaign, Stage, Store
from contimg.survey.campaigns import PRESET_FILE, campaign_directory, drop_campaign, start_campaign
from workers.housekeeping.cleanup import finish_drops

PRESET = {"CONTIMG_IMAGE_SIZE": "1024"}
NEW = NewCampaign("deep", Stage.IMAGE, *SPAN, "mine", PRESET)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    opened = Store.open(tmp_path / "store.sqlite3", RULES, clock=clock)
    yield opened
    opened.close()


@pytest.fixture
def config(tmp_path: Path) -> StreamingConfig:
    return StreamingConfig(output_dir=tmp_path / "products")


def write_products(config: StreamingConfig, group: str, processing: str = "live") -> Path:
    """Write the files of an image; returns that of the image."""
    path = campaign_directory(config.output_dir, processing) / "images" / f"{group}.fits"
    path.parent.mkdir(parents=True, exist_ok=True)
    for suffix in (".fits", ".pbcor.fits", ".png"):
        path.with_suffix(suffix).write_text(processing)
    return path


def run_campaign(store: Store, config: StreamingConfig) -> list[str]:
    """Image two live tiles and those of a campaign, with files; returns the groups."""
    groups = image_tiles(Telescope(store), 2)
    for group in groups:  # the images of the stream, with files
        store.jobs.retry(group, stage=Stage.IMAGE)
        image = replace(IMAGE, fits_path=write_products(config, group), mjd=store.products.image_of(group).mjd)
        commit(store, group, Stage.IMAGE, image)
    start_campaign(store, config, NEW, "vera")
    while jobs := store.jobs.take_unsent(99, lambda jobs: jobs):
        for job in jobs:
            image = replace(IMAGE, fits_path=write_products(config, job.key, "deep"), rms_jy=0.001)
            commit(store, job.id, Stage.IMAGE, image)
    image_campaign(store)
    return groups


def files_below(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


def test_preset_is_beside_the_products(store, config):
    image_tiles(Telescope(store), 1)
    start_campaign(store, config, NEW, "vera")
    text = (config.output_dir / "campaigns" / "deep" / PRESET_FILE).read_text()
    assert 'CONTIMG_IMAGE_SIZE = "1024"' in text
    assert "vera" in text


def test_dropped_campaign_leaves_the_files_of_the_stream(store, config):
    groups = run_campaign(store, config)
    live = {f"images/{group}{suffix}" for group in groups for suffix in (".fits", ".pbcor.fits", ".png")}
    assert len(files_below(config.output_dir)) == 2 * len(live) + 1
    assert drop_campaign(store, config, "deep", "vera") == 2
    assert files_below(config.output_dir) == live
    assert not (config.output_dir / "campaigns" / "deep").exists()


def test_promoted_images_stay_when_the_campaign_is_dropped(store, config):
    groups = run_campaign(store, config)
    store.promotion.promote("deep", "vera")
    drop_campaign(store, config, "deep", "vera")
    for group in groups:
        image = store.products.image_of(group)
        assert image.fits_path.read_text() == "deep"
    drop_campaign(store, config, "before-deep", "vera")
    assert not any(path.startswith("images/") for path in files_below(config.output_dir))
    assert store.products.image_of(groups[0]).fits_path.read_text() == "deep"


def test_interrupted_drop_is_finished_by_the_service(store, config, clock, monkeypatch):
    run_campaign(store, config)

    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(store.promotion, "finish_drop", kill)
        with pytest.raises(KeyboardInterrupt):
            drop_campaign(store, config, "deep", "vera")
    assert store.campaigns.campaign("deep").state == "dropping"
    assert finish_drops(config, store) == (), "another process may be at it"
    clock.advance(2 * RULES.lease_s)
    assert finish_drops(config, store) == ("deep",)
    assert store.campaigns.campaigns().total == 0
    assert not (config.output_dir / "campaigns" / "deep").exists()
