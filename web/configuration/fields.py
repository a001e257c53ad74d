"""The configuration's keys as form fields: kind, limits, help, the value in force and its source."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from contimg.settings import Settings, StreamingConfig, explain

Kind = Literal["text", "integer", "number", "switch", "choice"]
SUBJECTS = {
    "Directories and databases": ("input_dir", "output_dir", "scratch_dir", "queue_db", "registry_db"),
    "Groups": ("expected_subbands", "chunk_duration"),
    "Processing": ("max_workers", "use_subprocess", "stage_to_tmpfs", "tmpfs_path"),
    "Intervals and logging": ("poll_interval", "worker_poll_interval", "monitoring", "monitor_interval", "log_level"),
}


@dataclass(frozen=True)
class Field:
    """A key.

    Attributes
    ----------
    minimum, maximum : limits of a number; `is_exclusive`: the minimum itself is not allowed.
    source : where the value in force is set; `fixed`: in the environment, so that the file cannot change it.
    """

    key: str
    help: str
    kind: Kind
    value: Any
    default: Any
    source: str
    fixed: bool
    minimum: float | None = None
    is_exclusive: bool = False
    maximum: float | None = None
    choices: tuple[str, ...] = ()

    @property
    def limits(self) -> str:
        """The limits as text."""
        if self.minimum is None:
            return ""
        minimum = f"more than {self.minimum:g}" if self.is_exclusive else f"{self.minimum:g}"
        if self.maximum is not None:
            return f"{minimum} to {self.maximum:g}"
        return minimum if self.is_exclusive else f"{minimum} or more"


def list_fields(settings: Settings, environ: Mapping[str, str] = os.environ) -> dict[str, Field]:
    """List the field of every key; raises Misconfigured when the configuration cannot be loaded."""
    fields, in_force = {}, {row.key: row for row in explain(settings, environ)}
    for key, info in StreamingConfig.model_fields.items():
        explained = in_force[key]
        choices = get_args(info.annotation) if get_origin(info.annotation) is Literal else ()
        fields[key] = Field(
            key, info.description or "", _kind(info.annotation, choices), explained.value, info.default,
            explained.source, explained.source.startswith("environment"), choices=tuple(map(str, choices)),
            **_limits(info),
        )  # fmt: skip
    return fields


def parse_form(form: Mapping[str, str], fields: Mapping[str, Field]) -> dict[str, Any]:
    """Return the keys whose value in a form differs from the value in force, in their own types if possible."""
    changes = {}
    for key, field in fields.items():
        if field.fixed or (key not in form and field.kind != "switch"):
            continue
        value = _parse(field, form.get(key, "off"))
        if value != field.value:
            changes[key] = value
    return changes


def _parse(field: Field, text: str) -> Any:
    if field.kind == "switch":
        return text in ("on", "true")
    if field.kind in ("integer", "number"):
        try:
            number = float(text)
        except ValueError:
            return text  # the check reports it
        return int(number) if field.kind == "integer" and number.is_integer() else number
    return text.strip()


def _kind(annotation: Any, choices: tuple[Any, ...]) -> Kind:
    kinds: dict[Any, Kind] = {bool: "switch", int: "integer", float: "number"}
    return "choice" if choices else kinds.get(annotation, "text")


def _limits(info: FieldInfo) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    for constraint in info.metadata:
        if hasattr(constraint, "ge"):
            limits["minimum"] = float(constraint.ge)
        if hasattr(constraint, "gt"):
            limits.update(minimum=float(constraint.gt), is_exclusive=True)
        if hasattr(constraint, "le"):
            limits["maximum"] = float(constraint.le)
    return limits
