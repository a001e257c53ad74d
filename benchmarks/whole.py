"""All benchmarks in one run: a table, a JSON file and a picture of what a night's hour costs at full scale.

    make bench                                      about an hour; simulates an hour of sky, 28 GB in the cache
    make bench ARGS="--out figures --tiles 4 --only convert --only stream"

Each benchmark is a program of its own, is run by itself, and keeps its own bounds; one that breaks them, or fails,
makes this one fail when all have run. Written to the directory of `--out`: bench.json (with the machine), bench.md and
bench.png.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
from machine import machine
from whole_figures import rows, table
from whole_plot import draw

HERE = Path(__file__).parent
NAMES = ("convert", "calibrate", "image", "overhead", "stream")


@click.command()
@click.option("--out", default=Path("benchmarks/figures"), show_default=True, type=click.Path(path_type=Path))
@click.option("--cache", default=Path.home() / ".cache" / "contimg-bench", type=click.Path(path_type=Path))
@click.option("--tiles", default=12, show_default=True, help="Tiles of the stream; 12 are an hour.")
@click.option("--only", multiple=True, type=click.Choice(NAMES), help="Only these; may be repeated.")
def main(out: Path, cache: Path, tiles: int, only: tuple[str, ...]) -> None:
    """Run the benchmarks one after the other and write what they found."""
    out.mkdir(parents=True, exist_ok=True)
    more = {"stream": ["--tiles", str(tiles), "--cache", str(cache)]}
    figures: dict[str, Any] = {"machine": machine(), "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    failed = []
    for name in only or NAMES:
        click.echo(f"== {name}")
        found, status = _run(name, more.get(name, []))
        figures[name] = found
        if status:
            failed.append(f"{name}: exit status {status}")
        (out / "bench.json").write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    lines = table(figures)
    (out / "bench.md").write_text(lines, encoding="utf-8")
    draw(rows(figures), out / "bench.png")
    click.echo(f"\n{lines}\nin {out}: bench.json, bench.md, bench.png")
    sys.exit("; ".join(failed) or 0)


def _run(name: str, options: list[str]) -> tuple[dict[str, Any] | None, int]:
    """One benchmark's figures, None where it wrote none, and its exit status."""
    with tempfile.TemporaryDirectory(prefix="contimg-bench-") as room:
        record = Path(room) / "figures.json"
        command = [sys.executable, str(HERE / f"bench_{name}.py"), "--json", str(record), *options]
        status = subprocess.run(command, check=False).returncode
        return json.loads(record.read_text()) if record.exists() else None, status


if __name__ == "__main__":
    main()
