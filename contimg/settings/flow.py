"""How the stream flows: what goes first, how much is under way at once, and when an operator should hear of it."""

from dataclasses import dataclass

from contimg.options import option


@dataclass(frozen=True)
class FlowRules:
    """Order, back-pressure and alarms of the stream. Environment: CONTIMG_<NAME>."""

    order: str = option("newest", "which groups go first; tiles of calibrators always do", choices=("newest", "oldest"))
    max_in_flight: int = option(0, "groups under way at once, the rest waits in the store; 0: by workers", minimum=0)
    backlog_groups: int = option(24, "say when more groups than this wait", minimum=1)
    stall_s: float = option(600.0, "alarm when files arrive and no group has advanced for so long, s", minimum=1)
    events: str = option(
        "auto",
        "how changes in input_dir are noticed between scans; auto: inotify where it works",
        choices=("auto", "inotify", "polling"),
    )

    def in_flight(self, max_workers: int) -> int:
        """So many groups at most have messages: enough that no worker waits for the next round of the reconciler."""
        return self.max_in_flight or max(12, 4 * max_workers)


@dataclass(frozen=True)
class StageLimits:
    """What one stage may take before it is stopped. Environment: CONTIMG_<NAME>."""

    stage_limit_s: float = option(3600.0, "a stage that takes longer is killed, an attempt of it spoilt, s", minimum=1)
    stage_memory_mb: int = option(
        0, "memory of its own that a worker process, and each program it starts, may have, MB; 0: no limit", minimum=0
    )
