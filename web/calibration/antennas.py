"""The antennas over time, for the API and the pages."""

from contimg.instrument.time import unix_to_mjd
from contimg.store import AntennaHistory
from web.context import current_panel
from web.http.errors import RequestError

DEFAULT_DAYS = 7.0
_AFTER_DAYS = 1e-6  # the span excludes its end, and includes the newest tile


def span_mjd(since_s: float | None, until_s: float | None) -> tuple[float, float]:
    """Return a span of observation, MJD days; a limit that is not given is that of the last seven days with tiles.

    Parameters
    ----------
    since_s, until_s : limits, epoch seconds, or None.
    """
    store = current_panel().store
    newest_mjd = store.antennas.newest_mjd()
    end = unix_to_mjd(store.database.clock()) if newest_mjd is None else newest_mjd + _AFTER_DAYS
    until_mjd = end if until_s is None else unix_to_mjd(until_s)
    return until_mjd - DEFAULT_DAYS if since_s is None else unix_to_mjd(since_s), until_mjd


def read_antenna(antenna: str, since_mjd: float, until_mjd: float) -> AntennaHistory:
    """Return an antenna's history; raises RequestError, 404, for an antenna that is in no tile.

    Parameters
    ----------
    antenna : its name.
    since_mjd, until_mjd : the span, days, UTC.
    """
    store = current_panel().store
    history = store.antennas.history(antenna, since_mjd, until_mjd)
    if not history.measurements and not store.antennas.history(antenna, 0.0, 1e6, 1).measurements:
        raise RequestError(404, f"antenna {antenna[:40]}: in no tile", "GET /api/antennas lists the antennas")
    return history
