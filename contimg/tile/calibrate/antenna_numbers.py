"""Health of the antennas of a tile, from what the stage has computed: flags, faults, and the gains solved on it."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from contimg.formats.caltables.caltable_set import CaltableSet
from contimg.formats.caltables.solutions import read_solutions
from contimg.formats.ms.info import MSInfo
from contimg.quality.antennas import AntennaNumbers, AntennaState
from contimg.tile.calibrate.assessment import read_gains
from contimg.tile.calibrate.sky_gains.gains import SkyGains
from contimg.tile.flag.run import FlagResult

_CROSSED_REASON = "receptors crossed"  # how the reasons of `antenna_faults` begin


def describe_tile_antennas(
    ms: MSInfo,
    flagged: FlagResult,
    bad: Mapping[str, str],
    caltable_set: CaltableSet | None,
    sky_gains: SkyGains | None = None,
) -> tuple[AntennaNumbers, ...]:
    """Describe the antennas of a tile, each with its polarisations.

    Parameters
    ----------
    ms : metadata of the tile.
    flagged : result of flagging it.
    bad : names of the antennas without usable data, dead ones included, and why.
    caltable_set : the set applied, or solved on the tile; None: none.
    sky_gains : gains of the tile from the sky, on top of those of the set; None: none were solved.
    """
    dead = {ms.antenna_names[slot] for slot in flagged.dead}
    unsolved, fractions = _list_unsolved_receptors(caltable_set), flagged.summary.after.by_antenna
    rows = []
    for slot in ms.antennas:
        name = ms.antenna_names[slot]
        for receptor, letter in enumerate(_polarisations(ms)):
            reason, state = bad.get(name), AntennaState.GOOD
            if reason is not None:
                state = _state_of_reason(reason, name in dead)
            elif f"{name} {letter}" in unsolved:
                reason, state = f"{letter} has no solution", AntennaState.UNSOLVED
            gain = _describe_sky_gain(sky_gains, name, receptor)
            rows.append(AntennaNumbers(name, letter, state, float(fractions[slot]), reason, *gain))
    return tuple(rows)


def _describe_sky_gain(
    sky_gains: SkyGains | None, name: str, receptor: int
) -> tuple[float | None, float | None, float | None]:  # fmt: skip
    """Give amplitude, mean phase (degrees) and signal to noise of a receptor's gain; None without a solution."""
    if sky_gains is None or name not in sky_gains.antennas:
        return None, None, None
    i = sky_gains.antennas.index(name)
    snr = float(sky_gains.snr[i, receptor])
    if snr <= 0:
        return None, None, None
    phasor = np.exp(1j * np.deg2rad(sky_gains.phase_deg[:, i, receptor])).mean()
    return float(sky_gains.amplitude[i, receptor]), float(np.rad2deg(np.angle(phasor))), snr


def describe_set_antennas(caltable_set: CaltableSet, ms: MSInfo) -> tuple[AntennaNumbers, ...]:
    """Describe the antennas of a caltable set, each with its polarisations.

    Parameters
    ----------
    caltable_set : solved on a tile.
    ms : metadata of the tile, of which the antennas are those that had unflagged data.

    Raises
    ------
    BadInput : a caltable is missing, unreadable or without any solution.
    """
    names = [ms.antenna_names[slot] for slot in ms.antennas]
    _, gains = read_gains(caltable_set, names)
    reasons: Mapping[str, str] = caltable_set.quality.get("without_fringes", {})
    tables = [read_solutions(path).select_antennas(names) for path in caltable_set.paths]
    return tuple(
        _describe_receptor(
            name, letter, gains[i, :, receptor], [table.snr[:, i, :, receptor] for table in tables], reasons
        )
        for i, name in enumerate(names)
        for receptor, letter in enumerate(_polarisations(ms)[: gains.shape[2]])
    )


def _describe_receptor(
    name: str,
    letter: str,
    gains: NDArray[np.complex128],
    snr: Sequence[NDArray[np.float64]],
    reasons: Mapping[str, str],
) -> AntennaNumbers:
    """Describe a receptor by its gains, shape (channels,), and the signal to noise of each caltable's solutions."""
    solved = np.flatnonzero(np.isfinite(gains))
    fraction = float(1.0 - solved.size / gains.size)
    if not solved.size:
        reason = reasons.get(name, "no solution")
        return AntennaNumbers(name, letter, _state_of_reason(reason, False), fraction, reason)
    middle = solved[np.argmin(np.abs(solved - gains.size // 2))]
    channel_snr = [float(np.median(values[values > 0])) for values in snr if (values > 0).any()]
    return AntennaNumbers(
        name, letter, AntennaState.GOOD, fraction, amplitude=float(np.median(np.abs(gains[solved]))),
        phase_deg=float(np.rad2deg(np.angle(gains[middle]))), snr=min(channel_snr, default=None),
    )  # fmt: skip


def _polarisations(ms: MSInfo) -> str:
    return "XY" if int(ms.receptors.max()) else "I"


def _state_of_reason(reason: str, is_dead: bool) -> AntennaState:
    if is_dead:
        return AntennaState.DEAD
    return AntennaState.CROSSED if reason.startswith(_CROSSED_REASON) else AntennaState.UNSOLVED


def _list_unsolved_receptors(caltable_set: CaltableSet | None) -> Collection[str]:
    """List the receptors (`103 X`) that a set has no solution for, from its numbers."""
    tables = caltable_set.quality.get("tables", {}).values() if caltable_set else ()
    return {receptor for table in tables for receptor in table.get("dead_receptors", ())}
