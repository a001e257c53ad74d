"""`contimg demo`: the pipeline on a synthetic sky on one machine; `contimg simulate`: subband files of a known sky."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from contimg.cli.shared import PATH, as_json_option, print_json
from contimg.common.errors import BadInput, ContimgError, Transient
from contimg.common.files.processes import start_bound
from contimg.common.options import flags, from_flags
from contimg.simulation import SimulateOptions
from contimg.simulation import simulate as run_simulation
from contimg.simulation.demo.mosaic import follow_mosaic, queue_mosaic
from contimg.simulation.demo.report import check_image, follow, print_fluxes, print_products
from contimg.simulation.demo.scene import DemoOptions, Scene, Telescope, prepare_scene
from contimg.store import State, Store

_START_LIMIT_S = 60.0
_STOP_LIMIT_S = 30.0


@click.command()
@click.option("--directory", type=PATH, default=Path("demo"), show_default=True, help="Directory of the demo.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the panel.  [default: 8080, or a free one]")
@click.option("--stay/--no-stay", default=None, help="Keep the panel running at the end.  [default: on a terminal]")
@flags(DemoOptions)
def demo(directory: Path, port: int | None, stay: bool | None, **arguments: Any) -> None:
    """Process a simulated sky and compare the images with it.

    Ends with the mosaic of the images. Starts an embedded message broker, the producer, a Celery worker per queue and
    the panel; a synthetic telescope writes a transit of 3C48 and target tiles into DIRECTORY/incoming as the real one
    does.
    """
    options = from_flags(DemoOptions, arguments)
    console = Console()
    scene = prepare_scene(directory, port)
    telescope = Telescope(scene, options)
    console.print(f"contimg demo in {scene.directory}; the panel: {scene.url}", highlight=False, soft_wrap=True)
    service = _start_service(scene)
    try:
        store = Store.open(scene.settings.state_dir / "contimg.sqlite3")
        check = partial(_check, service, telescope, scene)
        _wait_for_producer(store, scene, check)
        telescope.start()
        names = [plan.group for plan in telescope.plans]
        began = time.monotonic()
        groups = follow(store, names, console, options.patience_s, check)
        console.print(f"\n{len(groups)} groups in {time.monotonic() - began:.0f} s", highlight=False)
        epoch = queue_mosaic(store)
        _report(console, scene, store)
        if epoch is not None:
            follow_mosaic(store, epoch, console, options.patience_s, check)
        failed = [group.id for group in groups if group.state is not State.COMPLETED]
        if failed:
            raise BadInput(f"{len(failed)} of {len(groups)} groups did not complete: {', '.join(failed)}")
        console.print(f"\nThe panel: {scene.url}", highlight=False)
        if stay if stay is not None else sys.stdin.isatty() and console.is_terminal:
            console.print("It runs until Ctrl-C.")
            service.wait()
        else:
            console.print(f"To start it again: contimg --state-dir {scene.settings.state_dir} web", soft_wrap=True)
    except KeyboardInterrupt:
        console.print("\nstopping")
    finally:
        _stop(service)


def _report(console: Console, scene: Scene, store: Store) -> None:
    """Print products and fluxes; BadInput when a source's flux or position is outside the tolerance."""
    images = store.products.images(limit=1000)[::-1]
    print_products(console, store, [image.group for image in images])
    truth = scene.incoming / "truth"
    checked = [source for image in images for source in check_image(image, truth / f"{image.group}.json")]
    print_fluxes(console, checked)
    off = [f"{source.name} in {source.group}" for source in checked if not source.is_within_tolerance]
    if off:
        raise BadInput(f"{len(off)} of {len(checked)} sources are off by more than 3 % or 0.2 beams: {', '.join(off)}")


def _start_service(scene: Scene) -> subprocess.Popen[bytes]:
    """Start `contimg run` on the scene with its output in a file; this process forwards Ctrl-C to it."""
    log = (scene.directory / "service.log").open("wb")
    command = [sys.executable, "-m", "contimg", "run", "--web", "--port", str(scene.port)]
    return start_bound(command, environ={**os.environ, **scene.environ}, stdout=log, stderr=subprocess.STDOUT)


def _wait_for_producer(store: Store, scene: Scene, check: Callable[[], None]) -> None:
    """Wait for the first scan: the group's id is the time of the file that arrives first, which names the truth too."""
    deadline = time.monotonic() + _START_LIMIT_S
    while store.activity.last_beat("producer.scan") is None:
        check()
        if time.monotonic() > deadline:
            raise Transient(f"the producer did not start; see {scene.settings.state_dir / 'logs'}")
        time.sleep(0.2)


def _check(service: subprocess.Popen[bytes], telescope: Telescope, scene: Scene) -> None:
    """Raise the telescope's error, or ContimgError when the service has ended."""
    if telescope.error:
        raise telescope.error
    if service.poll() is not None:
        log = scene.directory / "service.log"
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise ContimgError(f"the service ended ({lines[-1] if lines else service.returncode}); see {log}")


def _stop(service: subprocess.Popen[bytes]) -> None:
    service.send_signal(signal.SIGINT)
    try:
        service.wait(_STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        service.kill()


@click.command()
@click.argument("out", type=PATH)
@as_json_option
@flags(SimulateOptions)
def simulate(out: Path, as_json: bool, **arguments: Any) -> None:
    """Write subband files of a known sky.

    Groups of files are written into OUT, and the truth into OUT/truth. The first tile is a transit of 3C48, the others
    are targets. --antennas 96 --channels 768 is the whole telescope: 2.3 GB a group.
    """
    tiles = []
    for tile in run_simulation(from_flags(SimulateOptions, arguments), out):
        tiles.append({"group": tile.plan.group, "files": tile.files, "size_bytes": tile.size_bytes,
                      "sources": len(tile.plan.sources), "seconds": tile.seconds})  # fmt: skip
        if as_json:
            continue
        click.echo(
            f"{tile.plan.group}  {len(tile.files)} subbands  {tile.size_bytes / 1e6:.0f} MB  "
            f"{len(tile.plan.sources)} sources  {tile.seconds:.1f} s"
        )
    if as_json:
        print_json(tiles)
