"""Band plans of other arrays: from a setting, or from the files of a group themselves."""

from collections import Counter
from collections.abc import Mapping

import numpy as np

from contimg.errors import BadFile, Misconfigured
from contimg.formats.uvh5 import SubbandHeader
from contimg.instrument.dsa110 import BAND, BandPlan

SAME_EDGE_HZ = 1.0


def band_plan(text: str) -> BandPlan:
    """The plan of a setting `TOP_MHZ:SUBBAND_MHZ:SUBBANDS[:rising]`, the telescope's own for an empty one.

    Raises Misconfigured for anything else.
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
            "subband and their number, with :rising behind it when subband 0 is the lowest; for example 1500:12.5:16"
        )
    return plan


def plan_from(headers: Mapping[int, SubbandHeader]) -> BandPlan:
    """The plan that a group's files show: equal subbands, one after the other, in one direction.

    Raises BadFile for the file whose channels do not continue those of the others.
    """
    rising = Counter(bool(one.freqs_hz[-1] > one.freqs_hz[0]) for one in headers.values()).most_common(1)[0][0]
    channels = Counter(one.freqs_hz.size for one in headers.values()).most_common(1)[0][0]
    widths = [_width_hz(one) for one in headers.values() if one.freqs_hz.size == channels]
    width = float(np.median(widths))
    choices = [rising, not rising] if len(headers) > 1 else [rising]
    edges = {way: _edges_of_zero(headers, width, way) for way in choices}
    agreeing = {way: _most_common(list(found.values())) for way, found in edges.items()}
    way = max(choices, key=lambda one: len(agreeing[one]))
    edge = float(np.median(agreeing[way]))
    for subband, found in edges[way].items():
        if abs(found - edge) > SAME_EDGE_HZ:
            raise BadFile(
                headers[subband].path,
                f"its channels lie {(found - edge) / 1e6:+.6f} MHz from where subband {subband} of this group belongs",
            )
    subbands = max(headers) + 1
    top = edge + subbands * width if way else edge
    return BandPlan(top, width, subbands, channels, way)


def _width_hz(header: SubbandHeader) -> float:
    freqs = header.freqs_hz
    step = abs(freqs[-1] - freqs[0]) / (freqs.size - 1) if freqs.size > 1 else header.channel_width_hz
    return float(step * freqs.size)


def _edges_of_zero(headers: Mapping[int, SubbandHeader], width: float, rising: bool) -> dict[int, float]:
    """Where the outer edge of subband 0 lies, as each file has it."""
    found = {}
    for subband, header in headers.items():
        half = 0.5 * width / header.freqs_hz.size
        edge = header.freqs_hz.min() - half if rising else header.freqs_hz.max() + half
        found[subband] = float(edge - subband * width if rising else edge + subband * width)
    return found


def _most_common(values: list[float]) -> list[float]:
    return max(([other for other in values if abs(other - one) <= SAME_EDGE_HZ] for one in values), key=len)
