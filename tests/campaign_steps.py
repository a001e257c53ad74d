"""Campaigns in a store of imaged tiles, for tests of several packages."""

from dataclasses import replace
from pathlib import Path

from epoch_steps import image_tile
from store_play import Telescope
from store_steps import IMAGE, commit

from contimg.instrument.time import unix_to_mjd
from contimg.store import CampaignRecord, NewCampaign, Stage, State, Store

SPAN = (0.0, 4e9)
PRESET = {"CONTIMG_IMAGE_SIZE": "3000"}


def image_tiles(telescope: Telescope, number: int) -> list[str]:
    """Let tiles arrive and process them; returns their groups."""
    return [image_tile(telescope, tile, rms_jy=0.002, verdict="suspect") for tile in range(number)]


def create_campaign(store: Store, name: str = "deep", stage: Stage = Stage.IMAGE, **changes) -> CampaignRecord:
    """Create a campaign of every tile."""
    values = {"from_s": SPAN[0], "to_s": SPAN[1], "preset_name": "deep", "preset": PRESET, **changes}
    return store.campaigns.create(NewCampaign(name=name, stage=stage, **values), "vera")


def image_campaign(store: Store, name: str = "deep", limit: int = 1000, **fields) -> list[str]:
    """Send and commit the images of a campaign as workers do; returns the groups in that order."""
    done = []
    while len(done) < limit and (jobs := store.jobs.take_unsent(99, lambda jobs: jobs)):
        for job in jobs:
            live = store.products.image_of(job.key)
            path = Path(f"/products/campaigns/{name}/images/{job.key}.fits")
            at = {"ra_deg": live.ra_deg, "dec_deg": live.dec_deg, "mjd": unix_to_mjd(live.observed_at)}
            values = {"rms_jy": 0.001, "verdict": "good", **at, **fields}
            commit(store, job.id, Stage.IMAGE, replace(IMAGE, fits_path=path, **values))
            done.append(job.key)
    if not store.campaigns.campaign(name).tile_states.get(State.PENDING):
        discard_epochs(store, name)
    return done


def discard_epochs(store: Store, processing: str) -> None:
    """Discard the epochs of a processing, whose mosaics are not of interest."""
    for epoch in store.epochs.list_epochs(100, processing=processing).epochs:
        if epoch.state is not State.DISCARDED:
            store.jobs.discard(epoch.job_id)
