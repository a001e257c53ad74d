"""An existing client and its monitor against a stream that runs and makes an image, through all eight endpoints."""

import ast
import io
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
import pytest
from astropy.io import fits
from deployment import Deployment
from earlier_client import Monitor, StreamClient
from waiting import until

from contimg.common.files.processes import free_port

pytestmark = pytest.mark.long
TOKEN = "operator of the test"
CONFIGURATION = {
    "queue_db": None, "registry_db": None, "expected_subbands": 16, "log_level": "debug", "use_subprocess": True,
    "monitoring": True, "monitor_interval": 60.0, "max_workers": 2, "stage_to_tmpfs": False,
    "tmpfs_path": "/dev/shm", "scratch_dir": None,
}  # fmt: skip


@pytest.fixture
def deployed(tmp_path: Path) -> Iterator[tuple[Deployment, StreamClient]]:
    """`contimg run` with its panel on a free port."""
    deployment = Deployment(tmp_path, {"CONTIMG_TOKEN": TOKEN})
    deployment.incoming.mkdir()
    port = free_port()
    process = deployment.start_process(*deployment.command("run", "--port", str(port)), log="run.log")
    client = StreamClient(f"http://127.0.0.1:{port}", TOKEN)
    try:
        until(lambda: answers(client), 60, "the panel answers")
        yield deployment, client
    finally:
        process.terminate()
        process.wait(60)


def answers(client: StreamClient) -> bool:
    try:
        return client.call("/api/health").body == {"status": "ok"}
    except URLError:
        return False


def test_client_knows_names_alone() -> None:
    """The client and the monitor import nothing of contimg."""
    tree = ast.parse((Path(__file__).parent / "earlier_client.py").read_text(encoding="utf-8"))
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert not {module for module in modules if module and module.split(".")[0] in ("contimg", "workers", "web")}


def test_existing_client_runs_stream(
    deployed: tuple[Deployment, StreamClient], drift_sim_files: Mapping[int, Path]
) -> None:
    deployment, client = deployed
    until(lambda: client.status()["running"], 60, "the stream runs")
    with Monitor(client) as monitor:
        refused = client.start()
        assert (refused.status, refused.body["success"]) == (200, False)
        assert refused.body["pid"] == client.status()["pid"]
        stopped = client.stop()
        assert (stopped.status, stopped.body["success"]) == (200, True), stopped
        assert client.status()["running"] is False
        assert client.health()["healthy"] is False
        assert client.metrics()["service_running"] is False
        again = client.stop()
        assert (again.status, again.body["success"]) == (200, False)
        wrong = client.start({"bogus": 1})
        assert (wrong.status, wrong.body["detail"]) == (400, wrong.body["error"])
        assert client.status()["running"] is False

        started = client.start(CONFIGURATION)
        assert (started.status, started.body["success"]) == (200, True), started
        until(lambda: client.health()["healthy"], 60, "healthy after the start")
        config = client.config()
        assert (config["log_level"], config["monitor_interval"], config["max_workers"]) == ("DEBUG", 60.0, 2)
        for path in drift_sim_files.values():
            shutil.copy(path, deployment.incoming / path.name)
        until(lambda: client.overall()["queue"]["completed"] == 1, 300, "an image of the group")

        until(lambda: client.metrics()["queue_stats"]["completed"] == 1, 10, "the metrics' snapshot is read again")
        assert client.metrics()["processing_rate_per_hour"] == 1
        (group,) = client.overall()["recent_groups"]
        assert (group["state"], group["subbands_present"], group["expected_subbands"]) == ("completed", 16, 16)
        pid = client.status()["pid"]
        restarted = client.restart({"max_workers": 3})
        assert (restarted.status, restarted.body["success"], restarted.body["pid"]) == (200, True, pid), restarted
        assert client.config()["max_workers"] == 3
        changed = client.set_config({"log_level": "Info"})
        assert (changed.status, changed.body["success"]) == (200, True), changed
        until(lambda: client.health()["healthy"], 60, "healthy after the change")
        assert client.config()["log_level"] == "INFO"
    assert monitor.faults == []
    assert monitor.rounds > 10
    assert "completed" in monitor.states_seen
    assert len(monitor.states_seen) > 1  # the loop has followed the group
    check_products(client, group["group_id"])


def check_products(client: StreamClient, group: str) -> None:
    """The products of a real stage: image over the primary beam, a part of it, and flagged fractions."""
    image = client.call(f"/api/groups/{group}").body["image"]
    (listed,) = client.call("/api/images?limit=1").body["images"]
    assert listed["id"] == image["id"]
    apparent, corrected = (fits.getdata(io.BytesIO(urlopen(f"{client.url}{image[name]}").read()))
                           for name in ("fits_url", "pbcor_fits_url"))  # fmt: skip
    response = fits.getdata(io.BytesIO(urlopen(f"{client.url}{image['beam_fits_url']}").read()))
    inner = response > 0.1
    assert np.allclose(corrected[inner] * response[inner], apparent[inner], rtol=1e-3, atol=1e-6)
    query = f"ra={image['ra_deg']}&dec={image['dec_deg']}&size=0.1"
    part = fits.getdata(io.BytesIO(urlopen(f"{client.url}/api/images/{image['id']}/cutout.fits?{query}").read()))
    middle = apparent.shape[-1] // 2
    assert part[0, 0, part.shape[2] // 2, part.shape[3] // 2] == apparent[0, 0, middle, middle]
    flags = client.call(f"/api/groups/{group}/flags").body
    assert 0 <= flags["before"] <= flags["after"] <= 1
    assert len(flags["by_channel"]) == len(flags["freqs_hz"]) == 768
    assert client.call("/api/groups?incomplete=true").body["total"] == 0
