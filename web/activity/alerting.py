"""The rules of alarms as this panel knows them: the limits of its environment, the patience of the configuration."""

from contimg.errors import Misconfigured
from contimg.settings import AlertLimits, DiskLimits, DispatchSettings
from contimg.settings.alerts import AlertRule, alert_rules
from web.context import Panel


def rules_in_force(panel: Panel) -> tuple[AlertRule, ...]:
    """Every rule; none when what is set makes no sense, which the condition says."""
    try:
        return alert_rules(
            DispatchSettings.from_environment(),
            DiskLimits.from_environment(),
            AlertLimits.from_environment(),
            panel.config().poll_interval,
        )
    except Misconfigured:
        return ()
