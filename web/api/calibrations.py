"""`GET /api/calibrations`: the calibration registry."""

from flask import Blueprint, Response, request

from web.api.answers import respond
from web.models import CalibrationsAnswer, CalibrationSetAnswer, Listing
from web.stream import stream

calibrations = Blueprint("calibrations", __name__, url_prefix="/api")


@calibrations.get("/calibrations")
def read() -> Response:
    """Sets of tables, the latest observed first, superseded ones included; `?limit=`."""
    asked = Listing.model_validate(request.args.to_dict())
    found = stream().store.registry.sets(asked.limit)
    return respond(CalibrationsAnswer(calibrations=tuple(CalibrationSetAnswer.model_validate(one) for one in found)))
