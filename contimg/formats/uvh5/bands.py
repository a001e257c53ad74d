"""Band plans of other arrays: from a setting, or from the files of a group."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from contimg.common.errors import BadFile, Misconfigured
from contimg.instrument.dsa110 import BAND, BandPlan

if TYPE_CHECKING:  # the settings check a band plan without HDF5
    from contimg.formats.uvh5.header import SubbandHeader

EDGE_TOLERANCE_HZ = 1.0


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


def infer_band_plan(headers: "Mapping[int, SubbandHeader]") -> BandPlan:
    """Return the plan that the files of a group fill: equal, contiguous subbands in one direction.

    Parameters
    ----------
    headers : by the subband in the file's name, with equal numbers and directions of channels.

    Raises
    ------
    BadFile : the channels of a file do not continue those of the others.
    """
    subbands = np.array(list(headers))
    lower_hz, upper_hz = np.array([_edges_hz(header) for header in headers.values()]).T
    freqs_hz = next(iter(headers.values())).freqs_hz
    width_hz = float(np.median(upper_hz - lower_hz))
    channels_rise = bool(freqs_hz[-1] > freqs_hz[0])
    directions = (channels_rise, not channels_rise) if len(headers) > 1 else (channels_rise,)
    outer_hz = {rising: lower_hz - subbands * width_hz if rising else upper_hz + subbands * width_hz
                for rising in directions}  # fmt: skip
    # Of subband 0 according to each file; those of the largest cluster agree.
    agreeing = {rising: _largest_cluster(edges_hz) for rising, edges_hz in outer_hz.items()}
    rising = max(directions, key=lambda direction: agreeing[direction].size)
    edge_hz = float(np.median(agreeing[rising]))
    for subband, excess_hz in zip(headers, outer_hz[rising] - edge_hz, strict=True):
        if abs(excess_hz) > EDGE_TOLERANCE_HZ:
            raise BadFile(
                headers[subband].path,
                f"its channels are {excess_hz / 1e6:+.6f} MHz from subband {subband} of this group",
            )
    count = int(subbands.max()) + 1
    return BandPlan(edge_hz + count * width_hz if rising else edge_hz, width_hz, count, freqs_hz.size, rising)


def _edges_hz(header: "SubbandHeader") -> tuple[float, float]:
    freqs_hz = header.freqs_hz
    low, high = float(freqs_hz.min()), float(freqs_hz.max())
    step = (high - low) / (freqs_hz.size - 1) if freqs_hz.size > 1 else header.channel_width_hz
    return low - 0.5 * step, high + 0.5 * step


def _largest_cluster(edges_hz: NDArray[np.float64]) -> NDArray[np.float64]:
    near = np.abs(edges_hz - edges_hz[:, np.newaxis]) <= EDGE_TOLERANCE_HZ
    return np.asarray(edges_hz[near[np.argmax(near.sum(axis=1))]])
