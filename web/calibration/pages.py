"""The page of caltable sets: validity, quality, retiring one, importing one."""

from collections.abc import Sequence
from dataclasses import dataclass

from flask import Blueprint, render_template, request, url_for
from werkzeug.wrappers import Response

from contimg.instrument.time import mjd_to_unix, unix_to_mjd
from contimg.store import StoredCaltableSet
from web.calibration.service import PLOTS, find_set, import_tables, plots_of, retire_set
from web.context import current_panel
from web.http.bodies import ImportRequest, RetireRequest
from web.pages.filters import utc
from web.pages.layout import confirm, needs_confirmation, report
from workers.service.records import CommandOutcome

calibration = Blueprint("calibration", __name__, url_prefix="/calibration")
MAX_LISTED, MAX_DRAWN, WIDTH = 30, 16, 1000.0
_LABEL_WIDTH = 60.0  # of a tick, in the units of WIDTH


@dataclass(frozen=True)
class ValidityBar:
    """A set on the time axis: the validity of its bandpass and of its gains, and its calibrator's observation."""

    set: StoredCaltableSet
    x: float
    width: float
    observed_x: float
    gains_x: float
    gains_width: float


@calibration.get("")
def show() -> str:
    """Show the newest sets, the latest observed first."""
    store = current_panel().store
    sets = store.registry.sets(MAX_LISTED)
    bars, ticks = _draw_validity(sets[:MAX_DRAWN], unix_to_mjd(store.database.clock()))
    return render_template(
        "calibration/page.html", sets=sets, bars=bars, ticks=ticks, plot_titles=PLOTS,
        plots={caltable_set.name: plots_of(caltable_set) for caltable_set in sets},
    )  # fmt: skip


@calibration.post("/<name>/retire")
def retire(name: str) -> Response | str:
    """Retire a set, after confirmation."""
    find_set(name)
    reason = RetireRequest(reason=" ".join(request.form.get("reason", "").split())[:200]).reason
    if needs_confirmation():
        question = "Tiles calibrated from now on use another set. The caltables are kept."
        return confirm(f"Retire {name}?", question, "Retire", "grave", url_for("calibration.show"), reason=reason)
    return report(CommandOutcome(True, retire_set(name, reason)), "", "calibration.show")


@calibration.post("/import")
def import_set() -> Response:
    """Import caltables that were solved elsewhere."""
    order = ImportRequest(
        tables=tuple(request.form.get("tables", "").split()), name=request.form.get("name", "").strip(),
        replace="replace" in request.form,
    )  # fmt: skip
    message = import_tables(order.tables, order.name, replace=order.replace)
    return report(CommandOutcome(True, message), "", "calibration.show")


def _draw_validity(
    sets: Sequence[StoredCaltableSet], now_mjd: float
) -> tuple[tuple[ValidityBar, ...], tuple[tuple[float, str], ...]]:
    """Return the sets as bars on a time axis, and the axis' ticks with their labels; the last tick is now."""
    if not sets:
        return (), ()
    start_mjd = min(caltable_set.valid_from_mjd for caltable_set in sets)
    end_mjd = max(min(caltable_set.valid_to_mjd, caltable_set.mjd + 7) for caltable_set in sets)
    end_mjd = max(end_mjd, now_mjd if now_mjd - start_mjd < 60 else start_mjd)
    scale = WIDTH / max(end_mjd - start_mjd, 1e-6)
    bars = tuple(
        ValidityBar(
            caltable_set,
            (caltable_set.valid_from_mjd - start_mjd) * scale,
            max(2.0, (min(caltable_set.valid_to_mjd, end_mjd) - caltable_set.valid_from_mjd) * scale),
            (caltable_set.mjd - start_mjd) * scale,
            ((caltable_set.gains_valid_from_mjd or caltable_set.mjd) - start_mjd) * scale,
            ((caltable_set.gains_valid_to_mjd or 0.0) - (caltable_set.gains_valid_from_mjd or 0.0)) * scale,
        )
        for caltable_set in sets
    )
    days = range(int(start_mjd) + 1, int(end_mjd) + 1, max(1, round((end_mjd - start_mjd) / 8)))
    ticks = [((mjd - start_mjd) * scale, utc(mjd_to_unix(float(mjd)), "%-d %b")) for mjd in days]
    now_x = (now_mjd - start_mjd) * scale
    return bars, (*((x, label) for x, label in ticks if abs(x - now_x) > _LABEL_WIDTH), (now_x, "now"))
