"""`/api/streaming`: the service as a whole, read by anybody, commanded by the operator."""

from flask import Blueprint, Response

from web.access.auth import operator_only
from web.context import current_panel
from web.http.answers import rates_answer, respond
from web.http.models import HealthAnswer, MetricsAnswer, ServiceAnswer
from web.streaming.actions import run_command

streaming = Blueprint("streaming_api", __name__, url_prefix="/api/streaming")


@streaming.get("/status")
def read_status() -> Response:
    """The service's process, what it uses, and the configuration in force."""
    return respond(ServiceAnswer.model_validate(current_panel().service.status()))


@streaming.get("/health")
def read_health() -> Response:
    """Healthy while the stream does its work, or is paused on purpose."""
    overview = current_panel().overview(shown=0)
    condition, service = overview.condition, overview.service
    return respond(
        HealthAnswer(
            healthy=condition.healthy,
            running=service.running,
            uptime_seconds=service.uptime_seconds,
            cpu_percent=service.cpu_percent,
            memory_mb=service.memory_mb,
            error=None if condition.healthy else f"{condition.state}: {condition.reason}",
        )
    )


@streaming.get("/metrics")
def read_metrics() -> Response:
    """Rates, load and backlog, now."""
    overview = current_panel().overview(shown=0)
    snapshot, service = overview.snapshot, overview.service
    return respond(
        MetricsAnswer.model_validate(
            {
                **dict(rates_answer(overview)),
                "at": snapshot.at,
                "cpu_percent": service.cpu_percent,
                "memory_mb": service.memory_mb,
                "states": snapshot.states,
                "waiting": snapshot.waiting,
                "oldest_pending_s": snapshot.oldest_pending_s,
                "backlog": overview.pulse.waiting,
                "catch_up_s": overview.pulse.catch_up_s,
                "scan_age_s": overview.scan_age_s,
                "set_aside_count": snapshot.set_aside_count,
            }
        )
    )


@streaming.post("/pause")
@operator_only
def pause() -> Response:
    """Let no further stage begin."""
    return _commanded("pause")


@streaming.post("/resume")
@operator_only
def resume() -> Response:
    """Let stages begin again."""
    return _commanded("resume")


@streaming.post("/start")
@operator_only
def start() -> Response:
    """Start the service."""
    return _commanded("start")


@streaming.post("/stop")
@operator_only
def stop() -> Response:
    """Stop the service."""
    return _commanded("stop")


@streaming.post("/restart")
@operator_only
def restart() -> Response:
    """Stop the service and start it again."""
    return _commanded("restart")


def _commanded(name: str) -> Response:
    done = run_command(name)
    return respond(done, 200 if done.success else 409)
