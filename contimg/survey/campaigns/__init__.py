"""Campaigns: a span of time processed again under a name of its own, beside the products of the stream."""

from contimg.common.files.staging import MARK, remove
from contimg.common.units import format_utc
from contimg.settings import StreamingConfig
from contimg.store import CampaignRecord, NewCampaign, Store
from contimg.store.survey.campaigns.campaigns import BEFORE, check_campaign_name
from contimg.survey.campaigns.directories import campaign_directory
from contimg.survey.campaigns.presets import write_preset

PRESET_FILE = "preset.toml"


def start_campaign(store: Store, config: StreamingConfig, new: NewCampaign, by: str) -> CampaignRecord:
    """Create a campaign with its jobs, and write its preset beside the products to come.

    Parameters
    ----------
    store : the store.
    config : names the directory of products.
    new : the campaign; the stream's dispatcher sends its jobs.
    by : who creates it.

    Raises
    ------
    BadInput : the name cannot be used or is in use, or there is no tile.
    OSError : the directory cannot be written; the campaign is cancelled then.
    """
    directory = campaign_directory(config.output_dir, check_campaign_name(new.name))
    record = store.campaigns.create(new, by)
    comments = (
        f"preset {new.preset_name} of the campaign {new.name}: what differs from the settings of the stream",
        f"stage {new.stage}, tiles from {format_utc(new.from_s)} to {format_utc(new.to_s)}, created by {by}",
    )
    try:
        write_preset(directory / PRESET_FILE, new.preset, comments)
    except OSError:
        store.campaigns.cancel(new.name, by)
        raise
    return record


def drop_campaign(store: Store, config: StreamingConfig, name: str, by: str) -> int:
    """Delete the products of a campaign and then its rows; it may be called again after a process was killed.

    The campaign is first marked in the store, so that nothing of it runs or is listed as complete; files that products
    of the stream need, because the campaign was promoted, stay.

    Parameters
    ----------
    store : the store.
    config : names the directory of products.
    name : of the campaign.
    by : who deletes it.

    Returns
    -------
    number of products whose files were deleted.

    Raises
    ------
    BadInput : there is no such campaign, or it still runs.
    """
    output_dir = config.output_dir.resolve()
    paths = store.promotion.begin_drop(name, by)
    inside = [path for path in paths if path.resolve().is_relative_to(output_dir)]
    directory = campaign_directory(config.output_dir, name)
    needed = set(store.promotion.paths_of_others(name, directory)) if directory.exists() else set()
    for path in inside:
        if path.is_dir() or path.suffix == ".ms":
            remove(path)
            continue
        for file in path.parent.glob(f"{path.stem}.*"):
            if MARK not in file.name:
                remove(file)
    if not needed and not name.startswith(BEFORE):
        remove(directory)
    store.promotion.finish_drop(name, by)
    return len(inside)


__all__ = ["PRESET_FILE", "campaign_directory", "drop_campaign", "start_campaign"]
