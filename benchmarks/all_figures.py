"""Figures of all benchmarks as rows: the step, its seconds, and the seconds of a peer program in the same run."""

from typing import Any, NamedTuple

PEERS = (
    ("convert", "contimg", ("plain copy", "pyuvdata, fast_concat", "pyuvdata")),
    ("convert", "contimg, flushed", ("plain copy, flushed",)),
    ("calibrate", "flag", ()),
    ("calibrate", "solve", ("CASA's solve",)),
    ("calibrate", "apply", ("CASA's applycal",)),
    ("image", "2048² at 6″", ("2048², WSClean, w-gridder", "2048², WSClean, default")),
    ("image", "4096² at 3″", ("4096², WSClean, w-gridder", "4096², WSClean, default")),
    ("image", "find sources", ()),
)
TILE = ("latency_s", "core_s", "convert", "calibrate", "image")


class Row(NamedTuple):
    """A step and its peer; `peer` and `peer_s` are None without a peer, `peak_gib` None when it was not measured."""

    stage: str
    what: str
    seconds: float
    peak_gib: float | None
    peer: str | None
    peer_s: float | None


def rows(figures: dict[str, Any]) -> list[Row]:
    """Return a row for each measured step and each of its measured peers."""
    table_rows = []
    for stage, what, peers in PEERS:
        measured = figures.get(stage) or {}
        if what not in measured:
            continue
        ours = measured[what]
        measured_peers = [peer for peer in peers if peer in measured] or [None]
        for peer in measured_peers:
            peer_s = measured[peer]["seconds"] if peer else None
            table_rows.append(Row(stage, what, ours["seconds"], ours.get("peak_gib"), peer, peer_s))
    return table_rows


def table(figures: dict[str, Any]) -> str:
    """Return all figures as Markdown."""
    host = figures["machine"]
    lines = [f"{host['processor']}, {host['cores']} cores, {host['memory_gib']} GiB; {figures['began']}", ""]
    lines += ["| stage | what | seconds | GiB | peer, in the same run | its seconds | times faster |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for row in rows(figures):
        memory = "" if row.peak_gib is None else f"{row.peak_gib:.2f}"
        peer = (
            ("", "", "") if row.peer_s is None else (row.peer, f"{row.peer_s:.1f}", f"{row.peer_s / row.seconds:.1f}")
        )
        lines.append(f"| {row.stage} | {row.what} | {row.seconds:.2f} | {memory} | {' | '.join(map(str, peer))} |")
    return "\n".join([*lines, *_stream(figures.get("stream")), *_overhead(figures.get("overhead"))]) + "\n"


def _stream(stream: dict[str, Any] | None) -> list[str]:
    if not stream:
        return []
    lines = ["", "| tile | from the last rename to the image, s | core seconds | convert | calibrate | image |"]
    lines += ["|---|---|---|---|---|---|"]
    for tile in stream["tiles"]:
        seconds = " | ".join(
            str(tile.get(name, "")) for name in ("latency_s", "core_s", "convert", "calibrate", "image")
        )
        lines.append(f"| {tile['kind']} | {seconds} |")
    return [
        *lines,
        "",
        f"{stream['together']} tiles at once: {stream['together_s']:.0f} s, real-time factor {stream['factor']:.1f}; "
        f"{stream['gib']['process']:.2f} GiB in one process, {stream['gib']['all']:.2f} GiB in all.",
    ]


def _overhead(overhead: dict[str, Any] | None) -> list[str]:
    if not overhead:
        return []
    figures = [f"{name} {value:.4g}" for name, value in overhead.items() if isinstance(value, int | float)]
    latency = overhead.get("latency_s", {})
    figures += [f"latency_s {name} {value:.3f}" for name, value in latency.items()]
    return ["", f"Orchestration of a group: {', '.join(figures)}."]
