"""`/api/history`: the numbers behind the charts, down-sampled by the store."""

from flask import Blueprint, Response, request

from web.activity.history import CHARTS
from web.context import current_panel
from web.http.activity_models import ChartAnswer, ChartLine
from web.http.answers import respond
from web.http.errors import RequestError
from web.http.parameters import Span

history = Blueprint("history_api", __name__, url_prefix="/api/history")


@history.get("/<name>")
def read(name: str) -> Response:
    """One chart's series between two times: `?since=&until=&points=`, epoch seconds."""
    chart = next((one for one in CHARTS if one.name == name), None)
    if chart is None:
        raise RequestError(404, f"{name[:40]}: no such chart", f"there are {', '.join(one.name for one in CHARTS)}")
    query = Span.model_validate(request.args.to_dict())
    metrics, lines = current_panel().store.metrics, []
    for one in chart.lines:
        found = metrics.series(one.series, query.since, query.until, query.points)
        lines.append(
            ChartLine(
                name=one.word,
                points=tuple(
                    (step.at, step.mean * one.factor, step.least * one.factor, step.most * one.factor) for step in found
                ),
            )
        )
    return respond(ChartAnswer(name=chart.name, title=chart.title, unit=chart.unit, lines=tuple(lines)))
