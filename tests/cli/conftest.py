"""`contimg` as typed, in a state directory of the test's own."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from contimg.cli import contimg


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Runs one command and returns what it printed; raises what it raised."""
    monkeypatch.setenv("PIPELINE_STATE_DIR", str(tmp_path / "state"))

    def runs(*words: str) -> str:
        result = CliRunner().invoke(contimg, words, standalone_mode=False)
        if result.exception:
            raise result.exception
        return result.output

    return runs
