"""Run the service as `contimg run --no-web` does, with the stages of `empty_stages` in its workers."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from contimg.settings import Settings, StreamingConfig, load
from workers import logs
from workers.service import supervisor
from workers.service.child import ChildPlan
from workers.service.loop import run_until_stopped
from workers.service.plan import stream_plans
from workers.service.supervisor import Supervisor


def with_empty_stages(
    config: StreamingConfig, broker_url: str, environ: Mapping[str, str], beat_dir: Path
) -> list[ChildPlan]:
    """Return the plans of the service; each worker imports `empty_stages` in addition."""
    python_path = {"PYTHONPATH": str(Path(__file__).parent)}
    return [
        replace(plan, command=[*plan.command, "-I", "empty_stages"], environ={**plan.environ, **python_path})
        if "worker" in plan.command
        else plan
        for plan in stream_plans(config, broker_url, environ, beat_dir)
    ]


if __name__ == "__main__":
    settings = Settings.from_environment()
    logs.configure(settings, load(settings))
    supervisor.stream_plans = with_empty_stages
    run_until_stopped(Supervisor(settings, environ=os.environ))
