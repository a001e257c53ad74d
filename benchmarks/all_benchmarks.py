"""Run all benchmarks and write their figures as a table, a JSON file and a plot.

    make bench                                      about an hour; simulates an hour of observing, 28 GB in the cache
    make bench ARGS="--out figures --tiles 4 --only convert --only stream"

Each benchmark is a program of its own with its own limits. When a benchmark exceeds a limit or fails, the others still
run and the exit status is 1. Files in the directory of `--out`: bench.json (with the machine), bench.md and bench.png.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
from all_figures import rows, table
from all_plot import draw
from machine import machine

DIRECTORY = Path(__file__).parent
NAMES = ("convert", "calibrate", "image", "overhead", "stream")


@click.command()
@click.option("--out", default=Path("benchmarks/figures"), show_default=True, type=click.Path(path_type=Path))
@click.option("--cache", default=Path.home() / ".cache" / "contimg-bench", type=click.Path(path_type=Path))
@click.option("--tiles", default=12, show_default=True, help="Number of tiles of the stream; 12 are an hour.")
@click.option("--only", multiple=True, type=click.Choice(NAMES), help="Run this benchmark only; may be repeated.")
def main(out: Path, cache: Path, tiles: int, only: tuple[str, ...]) -> None:
    """Run the benchmarks one after another and write their figures."""
    out.mkdir(parents=True, exist_ok=True)
    extra_options = {"stream": ["--tiles", str(tiles), "--cache", str(cache)]}
    figures: dict[str, Any] = {"machine": machine(), "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    failed = []
    for name in only or NAMES:
        click.echo(f"== {name}")
        benchmark_figures, status = _run(name, extra_options.get(name, []))
        figures[name] = benchmark_figures
        if status:
            failed.append(f"{name}: exit status {status}")
        (out / "bench.json").write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    markdown = table(figures)
    (out / "bench.md").write_text(markdown, encoding="utf-8")
    draw(rows(figures), out / "bench.png")
    click.echo(f"\n{markdown}\nin {out}: bench.json, bench.md, bench.png")
    sys.exit("; ".join(failed) or 0)


def _run(name: str, options: list[str]) -> tuple[dict[str, Any] | None, int]:
    """Run a benchmark; return its figures, None when it wrote none, and its exit status."""
    with tempfile.TemporaryDirectory(prefix="contimg-bench-") as directory:
        figures_path = Path(directory) / "figures.json"
        command = [sys.executable, str(DIRECTORY / f"bench_{name}.py"), "--json", str(figures_path), *options]
        status = subprocess.run(command, check=False).returncode
        return json.loads(figures_path.read_text()) if figures_path.exists() else None, status


if __name__ == "__main__":
    main()
