"""Settings of earlier versions: they are accepted with a warning that names the present one."""

import logging

import click
import pytest
from click.testing import CliRunner

from contimg.cli import contimg
from contimg.common import options
from contimg.common.errors import Misconfigured
from contimg.common.options import flags, from_flags
from contimg.tile.calibrate.options import CalibrateOptions

BEFORE, PRESENT = "CONTIMG_CALIBRATE_HOURS_BEFORE", "CONTIMG_CALIBRATE_BANDPASS_HOURS_BEFORE"


@pytest.fixture(autouse=True)
def _first_warning():
    options._warn_of_name.cache_clear()


def test_former_variable_is_accepted_with_one_warning(caplog):
    for _ in range(2):
        chosen = CalibrateOptions.from_environment({BEFORE: "9", "CONTIMG_CALIBRATE_HOURS_AFTER": "10.5"})
        assert (chosen.bandpass_hours_before, chosen.bandpass_hours_after, chosen.gains_hours) == (9.0, 10.5, 1.0)
    messages = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(messages) == 2
    assert BEFORE in messages[0]
    assert PRESENT in messages[0]
    assert CalibrateOptions.environment_sources({BEFORE: "9"}) == {"bandpass_hours_before": f"environment {BEFORE}"}


def test_present_variable_has_precedence(caplog):
    assert CalibrateOptions.from_environment({BEFORE: "9", PRESENT: "30"}).bandpass_hours_before == 30.0
    assert not caplog.records


def test_wrong_value_is_named_by_the_variable_that_has_it():
    with pytest.raises(Misconfigured, match=f"^{BEFORE}=-1"):
        CalibrateOptions.from_environment({BEFORE: "-1"})


def test_former_flag_is_accepted_and_not_listed(caplog):
    @click.command()
    @flags(CalibrateOptions)
    def command(**arguments):
        click.echo(from_flags(CalibrateOptions, arguments).bandpass_hours_before)

    result = CliRunner().invoke(command, ["--hours-before", "7"], catch_exceptions=False)
    assert result.output.split()[-1] == "7.0"
    assert "--bandpass-hours-before" in caplog.text
    shown = CliRunner().invoke(contimg, ["calibrate", "--help"]).output
    assert "--bandpass-hours-before" in shown
    assert " --hours-before" not in shown


def test_limit_in_jy_is_used_with_a_warning(caplog):
    chosen = CalibrateOptions.from_environment({"CONTIMG_CALIBRATE_MIN_APPARENT_JY": "3.7"})
    assert chosen.min_calibrator_jy(0.6, has_neighbours=True) == 3.7
    assert "CONTIMG_CALIBRATE_MIN_APPARENT_JY=3.7" in caplog.text
    caplog.clear()
    assert CalibrateOptions().min_calibrator_jy(0.6, has_neighbours=True) == 0.6
    assert not caplog.records
