"""The rules of alarms as this panel knows them: the limits of its environment, the patience of the configuration."""

from contimg.errors import Misconfigured
from contimg.options import from_environment
from contimg.settings.alerting import AlertRule, AlertRules, alert_rules
from contimg.settings.config import PREFIX
from contimg.settings.flow import FlowRules
from contimg.settings.upkeep import DiskRules
from web.context import Panel


def rules_in_force(panel: Panel) -> tuple[AlertRule, ...]:
    """Every rule; none when what is set makes no sense, which the condition says."""
    try:
        return alert_rules(
            from_environment(FlowRules, PREFIX),
            from_environment(DiskRules, PREFIX),
            from_environment(AlertRules, PREFIX),
            panel.config().poll_interval,
        )
    except Misconfigured:
        return ()
