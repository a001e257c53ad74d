import json
import logging

import pytest

from workers.logs import about, configure


@pytest.fixture
def root():
    """The root logger as it was, put back afterwards."""
    logger = logging.getLogger()
    before = logger.handlers[:], logger.level
    yield logger
    logger.handlers[:], level = before
    logger.setLevel(level)
    logging.captureWarnings(False)


def lines(capsys) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_text_names_the_group_and_stage(root, deployment, capsys):
    configure(deployment.settings, deployment.config)
    with about(group="2026-02-22T23:17:51", stage="convert"):
        logging.getLogger("workers.execution.attempt").info("attempt %d", 1)
    logging.getLogger("workers.execution.attempt").info("other")
    first, second = lines(capsys)
    assert first.endswith("Z INFO workers.execution.attempt [2026-02-22T23:17:51 convert] attempt 1")
    assert second.endswith("Z INFO workers.execution.attempt other")


def test_json_lines_hold_fields_and_traceback(root, deployment, capsys):
    deployment.more["CONTIMG_LOG_FORMAT"] = "json"
    configure(deployment.settings, deployment.config)
    with about(group="g", stage="image"), about(task="t"):
        try:
            raise ValueError("two\nlines")
        except ValueError:
            logging.getLogger("x").exception("failed")
    (line,) = lines(capsys)
    fields = json.loads(line)
    assert {key: fields[key] for key in ("level", "logger", "message", "group", "stage", "task")} == {
        "level": "ERROR", "logger": "x", "message": "failed", "group": "g", "stage": "image", "task": "t",
    }  # fmt: skip
    assert "ValueError: two\nlines" in fields["traceback"]


def test_configured_level_applies(root, deployment, capsys):
    deployment.more["CONTIMG_LOG_LEVEL"] = "WARNING"
    configure(deployment.settings, deployment.config)
    logging.getLogger("x").info("unheard")
    logging.getLogger("x").warning("heard")
    assert [line.split()[-1] for line in lines(capsys)] == ["heard"]
