"""Band plans of other arrays: from a setting, or from the files of a group."""

from collections import Counter
from collections.abc import Mapping
from typing import TypeVar

import numpy as np

from contimg.errors import BadFile, Misconfigured
from contimg.formats.uvh5.header import SubbandHeader
from contimg.instrument.dsa110 import BAND, BandPlan

EDGE_TOLERANCE_HZ = 1.0
Value = TypeVar("Value")


def parse_band_plan(text: str) -> BandPlan:
    """Return the band plan of a setting.

    Parameters
    ----------
    text : `TOP_MHZ:SUBBAND_MHZ:SUBBANDS[:rising]`; empty for the DSA-110's.

    Raises
    ------
    Misconfigured : it has another form.
    """
    if not text:
        return BAND
    parts = text.split(":")
    rising = parts[-1] == "rising"
    try:
        top_mhz, width_mhz, subbands = parts[:-1] if rising else parts
        plan = BandPlan(float(top_mhz) * 1e6, float(width_mhz) * 1e6, int(subbands), 1, rising)
    except ValueError:
        plan = None
    if plan is None or not (plan.bottom_hz > 0 and plan.subband_width_hz > 0 and plan.subbands > 0):
        raise Misconfigured(
            f"band plan {text!r}: expected TOP_MHZ:SUBBAND_MHZ:SUBBANDS, the upper edge of the band, the width of a "
            "subband and their number, followed by :rising when subband 0 is the lowest; for example 1500:12.5:16"
        )
    return plan


def infer_band_plan(headers: Mapping[int, SubbandHeader]) -> BandPlan:
    """Return the plan that the files of a group fill: equal, contiguous subbands in one direction.

    Parameters
    ----------
    headers : by the subband in the file's name.

    Raises
    ------
    BadFile : the channels of a file do not continue those of the others.
    """
    channels = _majority([header.freqs_hz.size for header in headers.values()])
    rising = _majority([bool(header.freqs_hz[-1] > header.freqs_hz[0]) for header in headers.values()])
    widths = [_width_hz(header) for header in headers.values() if header.freqs_hz.size == channels]
    width = float(np.median(widths))
    directions = [rising, not rising] if len(headers) > 1 else [rising]
    edges = {direction: _outer_edges_hz(headers, width, direction) for direction in directions}
    agreeing = {direction: _largest_cluster(list(edges[direction].values())) for direction in directions}
    rising = max(directions, key=lambda direction: len(agreeing[direction]))
    outer_edge = float(np.median(agreeing[rising]))
    for subband, edge in edges[rising].items():
        if abs(edge - outer_edge) > EDGE_TOLERANCE_HZ:
            raise BadFile(
                headers[subband].path,
                f"its channels are {(edge - outer_edge) / 1e6:+.6f} MHz from subband {subband} of this group",
            )
    subbands = max(headers) + 1
    top = outer_edge + subbands * width if rising else outer_edge
    return BandPlan(top, width, subbands, channels, rising)


def _majority(values: list[Value]) -> Value:
    return Counter(values).most_common(1)[0][0]


def _width_hz(header: SubbandHeader) -> float:
    freqs = header.freqs_hz
    step = abs(freqs[-1] - freqs[0]) / (freqs.size - 1) if freqs.size > 1 else header.channel_width_hz
    return float(step * freqs.size)


def _outer_edges_hz(headers: Mapping[int, SubbandHeader], width: float, rising: bool) -> dict[int, float]:
    """Outer edge of subband 0 according to each file."""
    edges = {}
    for subband, header in headers.items():
        half = 0.5 * width / header.freqs_hz.size
        edge = header.freqs_hz.min() - half if rising else header.freqs_hz.max() + half
        edges[subband] = float(edge - subband * width if rising else edge + subband * width)
    return edges


def _largest_cluster(edges_hz: list[float]) -> list[float]:
    clusters = ([edge for edge in edges_hz if abs(edge - centre) <= EDGE_TOLERANCE_HZ] for centre in edges_hz)
    return max(clusters, key=len)
