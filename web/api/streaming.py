"""`/api/streaming`: the service as a whole, read by anybody, commanded by the operator."""

from flask import Blueprint, Response, jsonify, request

from contimg.config import save, shown
from contimg.errors import Misconfigured
from web.api.answers import rates_answer, respond
from web.api.commands import carry_out
from web.auth import operator_name, operator_only
from web.errors import Refusal
from web.models import CommandAnswer, HealthAnswer, MetricsAnswer, ServiceAnswer
from web.stream import stream

streaming = Blueprint("streaming_api", __name__, url_prefix="/api/streaming")


@streaming.get("/status")
def read_status() -> Response:
    """The service's process, what it uses, and the configuration in force."""
    return respond(ServiceAnswer.model_validate(stream().service.status()))


@streaming.get("/health")
def read_health() -> Response:
    """Healthy while the stream does its work, or is paused on purpose."""
    glance = stream().glance(shown=0)
    condition, service = glance.condition, glance.service
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


@streaming.get("/config")
def read_config() -> Response:
    """The sixteen keys in force, without passwords."""
    return jsonify(shown(stream().config()))


@streaming.post("/config")
@operator_only
def write_config() -> Response:
    """Set keys; a running service is restarted with them."""
    changes = request.get_json()
    if not isinstance(changes, dict) or not changes:
        raise Refusal(400, "body: give one JSON object of keys and values", 'for example {"max_workers": 4}')
    try:
        save(stream().settings, changes)
    except Misconfigured as error:
        raise Refusal(
            400, str(error), "nothing was changed; GET /api/streaming/config shows what is in force"
        ) from None
    stream().store.events.add(f"configuration changed by {operator_name()}: {', '.join(sorted(changes))}")
    service = stream().service
    if service.status().running:
        outcome = service.restart()
        return respond(CommandAnswer(success=outcome.success, message=f"saved; {outcome.message}", pid=outcome.pid))
    return respond(CommandAnswer(success=True, message="saved; it holds from the next start"))


@streaming.get("/metrics")
def read_metrics() -> Response:
    """Rates, load and backlog, now."""
    glance = stream().glance(shown=0)
    snapshot, service = glance.snapshot, glance.service
    return respond(
        MetricsAnswer.model_validate(
            {
                **dict(rates_answer(glance)),
                "at": snapshot.at,
                "cpu_percent": service.cpu_percent,
                "memory_mb": service.memory_mb,
                "states": snapshot.states,
                "waiting": snapshot.waiting,
                "oldest_pending_s": snapshot.oldest_pending_s,
                "scan_age_s": glance.scan_age_s,
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
    done = carry_out(name)
    return respond(done, 200 if done.success else 409)
