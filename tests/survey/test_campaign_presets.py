"""Presets: found by name or path, checked by the options of the stages, written beside the products."""

import json

import pytest

from contimg.common.errors import BadInput, Misconfigured
from contimg.survey.campaigns.options import CampaignOptions
from contimg.survey.campaigns.presets import BUILT_IN, list_presets, read_preset, write_preset
from contimg.tile.image import ImageOptions


def test_built_in_presets_are_listed(tmp_path):
    assert [preset.name for preset in list_presets(tmp_path).presets] == list(BUILT_IN)
    deep = read_preset("deep", tmp_path)
    assert deep.source == "built-in"
    assert ImageOptions.from_environment(deep.options).local_noise is True


def test_own_preset_precedes_built_in_one(tmp_path):
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets" / "deep.json").write_text(json.dumps({"CONTIMG_IMAGE_SIZE": 512}))
    (tmp_path / "presets" / "faint.toml").write_text("CONTIMG_IMAGE_MASK_SIGMA = 4.0\nCONTIMG_IMAGE_PLOTS = true\n")
    assert read_preset("deep", tmp_path).options == {"CONTIMG_IMAGE_SIZE": "512"}
    assert read_preset("faint", tmp_path).options == {"CONTIMG_IMAGE_MASK_SIGMA": "4.0", "CONTIMG_IMAGE_PLOTS": "true"}
    assert [preset.name for preset in list_presets(tmp_path).presets] == [*BUILT_IN, "faint"]


def test_preset_by_path_is_for_the_command_line(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('CONTIMG_IMAGE_WEIGHTING = "natural"\n')
    assert read_preset(str(path), tmp_path).name == "mine"
    with pytest.raises(BadInput):
        read_preset(str(path), tmp_path, allow_path=False)


@pytest.mark.parametrize(
    ("text", "error", "part"),
    [
        ("CONTIMG_IMAGE_SIZE = 3", Misconfigured, "SIZE"),
        ("CONTIMG_IMAGE_SISE = 1024", Misconfigured, "CONTIMG_IMAGE_SIZE"),
        ("CONTIMG_TOKEN = 'x'", Misconfigured, "CONTIMG_TOKEN"),
        ("CONTIMG_MAX_WORKERS = 4", Misconfigured, "MAX_WORKERS"),
        ("size = ", BadInput, "TOML"),
        ("[image]\nsize = 1024", BadInput, "table"),
    ],
)
def test_wrong_presets_are_refused(tmp_path, text, error, part):
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(error, match=part):
        read_preset(str(path), tmp_path)


def test_unknown_preset_names_those_that_resemble_it(tmp_path):
    with pytest.raises(BadInput, match="deep"):
        read_preset("deeep", tmp_path)


def test_written_preset_is_read_back(tmp_path):
    options = {"CONTIMG_IMAGE_CATALOGUE": 'a "b" \\ c', "CONTIMG_IMAGE_SIZE": "1024"}
    write_preset(tmp_path / "campaigns" / "x" / "preset.toml", options, ["a comment"])
    assert read_preset(str(tmp_path / "campaigns" / "x" / "preset.toml"), tmp_path).options == options


@pytest.mark.parametrize(("jobs", "workers", "expected"), [(0, 1, 1), (0, 8, 4), (3, 8, 3)])
def test_campaigns_use_a_part_of_the_workers(jobs, workers, expected):
    assert CampaignOptions(jobs=jobs).jobs_at_once(workers) == expected
