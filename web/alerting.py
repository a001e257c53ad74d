"""The rules of alarms as this panel knows them: the limits of its environment, the patience of the configuration."""

from contimg.alerting import AlertRule, AlertRules, alert_rules
from contimg.config import PREFIX
from contimg.errors import Misconfigured
from contimg.flow import FlowRules
from contimg.options import from_environment
from contimg.upkeep import DiskRules
from web.condition import scan_patience_s
from web.stream import Stream


def rules_in_force(room: Stream) -> tuple[AlertRule, ...]:
    """Every rule; none when what is set makes no sense, which the condition says."""
    try:
        return alert_rules(
            from_environment(FlowRules, PREFIX),
            from_environment(DiskRules, PREFIX),
            from_environment(AlertRules, PREFIX),
            scan_patience_s(room.config().poll_interval),
        )
    except Misconfigured:
        return ()
