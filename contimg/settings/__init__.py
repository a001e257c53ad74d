"""Settings of the deployment and of the stream: one tree, read from file and environment."""

from contimg.settings.alerts import scan_limit_s
from contimg.settings.file import check, check_all, explain, ignored_values, load, queue_rules, read_file, save, shown
from contimg.settings.retention import RetentionRules
from contimg.settings.tree import (
    AlertLimits,
    DiskLimits,
    DispatchSettings,
    NotificationSettings,
    QueueRules,
    Settings,
    StageLimits,
    StreamingConfig,
    section_classes,
)  # fmt: skip

__all__ = [
    "AlertLimits", "DiskLimits", "DispatchSettings", "NotificationSettings", "QueueRules", "RetentionRules", "Settings",
    "StageLimits", "StreamingConfig", "check", "check_all", "explain", "ignored_values", "load", "queue_rules",
    "read_file", "save", "scan_limit_s", "section_classes", "shown",
]  # fmt: skip
