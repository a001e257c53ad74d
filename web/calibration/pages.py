"""The calibration page: which sets were in force when, how good they are, retiring one, bringing one in."""

from collections.abc import Sequence
from dataclasses import dataclass

from flask import Blueprint, Response, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from contimg.instrument.time import mjd_to_unix, unix_to_mjd
from contimg.store import CalibrationSetRecord
from web.calibration.service import PLOTS, find_set, import_tables, plots_of, retire_set
from web.context import current_panel
from web.http.api import json_response
from web.http.errors import wants_json
from web.http.parameters import ImportRequest
from web.pages.filters import day
from workers.service.records import CommandOutcome

calibration = Blueprint("calibration", __name__, url_prefix="/calibration")
SHOWN, DRAWN, WIDTH = 30, 16, 1000.0


@dataclass(frozen=True)
class Validity:
    """A set on the time line: from where to where it holds, and when its calibrator was observed."""

    set: CalibrationSetRecord
    x: float
    width: float
    observed: float


@calibration.get("")
def show() -> str:
    """Every set, the latest observed first."""
    store = current_panel().store
    sets, now_mjd = store.registry.sets(SHOWN), unix_to_mjd(store.database.clock())
    lines, days = _time_line(sets[:DRAWN], now_mjd)
    return render_template(
        "calibration/page.html", sets=sets, lines=lines, days=days, plot_words=PLOTS,
        plots={one.name: plots_of(one) for one in sets}, mjd_to_unix=mjd_to_unix,
    )  # fmt: skip


@calibration.post("/<name>/retire")
def retire(name: str) -> AnyResponse | str:
    """Take a set out of force."""
    find_set(name)
    reason = " ".join(request.form.get("reason", "").split())[:200]
    if not request.form.get("confirmed"):
        return render_template(
            "confirm.html", word=f"Retire {name}?", button="Retire", tone="grave", action=request.path,
            question="Tiles calibrated from now on take another set. The tables stay where they are.",
            back=url_for("calibration.show"), kept={"reason": reason},
        )  # fmt: skip
    return _done(retire_set(name, reason))


@calibration.post("/import")
def take_in() -> AnyResponse:
    """Bring in tables that were solved elsewhere."""
    order = ImportRequest(
        tables=tuple(request.form.get("tables", "").split()), name=request.form.get("name", "").strip()
    )
    return _done(import_tables(order.tables, order.name))


def _done(message: str) -> Response | AnyResponse:
    if wants_json():
        return json_response(CommandOutcome(True, message))
    flash(message)
    return redirect(url_for("calibration.show"), 303)


def _time_line(
    sets: Sequence[CalibrationSetRecord], now_mjd: float
) -> tuple[tuple[Validity, ...], tuple[tuple[float, str], ...]]:
    """The sets as bars over the days that they hold, and the marks of the days; the last mark is now."""
    if not sets:
        return (), ()
    begin = min(one.valid_from_mjd for one in sets)
    end = max(max(min(one.valid_to_mjd, one.mjd + 7) for one in sets), now_mjd if now_mjd - begin < 60 else begin)
    scale = WIDTH / max(end - begin, 1e-6)
    lines = tuple(
        Validity(
            one,
            (one.valid_from_mjd - begin) * scale,
            max(2.0, (min(one.valid_to_mjd, end) - one.valid_from_mjd) * scale),
            (one.mjd - begin) * scale,
        )
        for one in sets
    )
    step = max(1, round((end - begin) / 8))
    marks = [((one - begin) * scale, _day(one)) for one in range(int(begin) + 1, int(end) + 1, step)]
    return lines, (*marks, ((now_mjd - begin) * scale, "now"))


def _day(mjd: int) -> str:
    return day(mjd_to_unix(float(mjd)))
