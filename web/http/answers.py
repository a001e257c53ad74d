"""Records of the store as answers of the API, and answers as responses."""

from datetime import UTC, datetime

from flask import Response, url_for
from pydantic import BaseModel

from contimg.instrument.time import mjd_to_unix
from contimg.store import Store, StoredImage
from web.context import StreamOverview
from web.http.models import (
    ConditionAnswer,
    EventAnswer,
    FailedGroup,
    FileAnswer,
    GroupAnswer,
    GroupDetailAnswer,
    ImageAnswer,
    MeasurementSetAnswer,
    RatesAnswer,
    RunningAnswer,
    ServiceAnswer,
    StageRunAnswer,
    StatusAnswer,
)


def respond(answer: BaseModel, status: int = 200) -> Response:
    """An answer as JSON."""
    return Response(answer.model_dump_json(), status, mimetype="application/json")


def time_of_mjd(mjd: float) -> datetime:
    """A Modified Julian Date (days, UTC) as a time."""
    return datetime.fromtimestamp(mjd_to_unix(mjd), UTC)


def image_answer(image: StoredImage) -> ImageAnswer:
    """An image with the addresses of its files."""
    return ImageAnswer.model_validate(
        {
            **vars(image),
            "observed_at": time_of_mjd(image.mjd),
            "calibrated": image.calibration_set is not None,
            "fits_url": url_for("images.fits", image_id=image.id),
            "png_url": url_for("images.png", image_id=image.id) if image.png_path else None,
            "thumbnail_url": url_for("images.thumbnail", image_id=image.id) if image.thumbnail_path else None,
        }
    )


def rates_answer(overview: StreamOverview) -> RatesAnswer:
    """The rates of a overview."""
    rates = overview.snapshot.rates
    return RatesAnswer(**vars(rates), real_time_factor=overview.real_time_factor)


def status_answer(overview: StreamOverview) -> StatusAnswer:
    """The whole of a overview."""
    snapshot = overview.snapshot
    return StatusAnswer.model_validate(
        {
            "at": snapshot.at,
            "condition": ConditionAnswer.model_validate(overview.condition),
            "service": ServiceAnswer.model_validate(overview.service),
            "states": snapshot.states,
            "waiting": snapshot.waiting,
            "running": [RunningAnswer.model_validate(one) for one in snapshot.running],
            "oldest_pending_s": snapshot.oldest_pending_s,
            "scan_age_s": overview.scan_age_s,
            "rates": rates_answer(overview),
            "set_aside_count": snapshot.set_aside_count,
            "set_aside": [FileAnswer.model_validate(one) for one in snapshot.set_aside],
            "failed": [FailedGroup(group=group, error=error) for group, error in snapshot.failed],
            "images": [image_answer(one) for one in snapshot.images],
            "warnings": [EventAnswer.model_validate(one) for one in snapshot.warnings],
        }
    )


def group_detail(store: Store, group: str) -> GroupDetailAnswer | None:
    """Everything that the store knows of a group, or None."""
    record = store.queue.group(group)
    if record is None:
        return None
    made, image = store.products.measurement_set(group), store.products.image_of(group)
    return GroupDetailAnswer(
        **dict(GroupAnswer.model_validate(record)),
        files=tuple(FileAnswer.model_validate(one) for one in store.arrivals.files_of(group)),
        runs=tuple(StageRunAnswer.model_validate(one) for one in store.queue.runs(group)),
        measurement_set=MeasurementSetAnswer.model_validate(made) if made else None,
        image=image_answer(image) if image else None,
        events=tuple(EventAnswer.model_validate(one) for one in store.events.last(50, group=group)),
    )
