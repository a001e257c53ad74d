"""The configuration's keys as form fields: kind, limits, help, the value in force and its source."""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from contimg.common.options import Limits, choices, limits
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
    limits : limits of a number, empty for other kinds.
    source : where the value in force is set; `fixed`: in the environment, so that the file cannot change it.
    """

    key: str
    help: str
    kind: Kind
    value: Any
    default: Any
    source: str
    fixed: bool
    limits: Limits
    choices: tuple[str, ...]


def list_fields(settings: Settings, environ: Mapping[str, str] = os.environ) -> dict[str, Field]:
    """List the field of every key.

    Parameters
    ----------
    settings : they name the configuration file.
    environ : environment variables, which take precedence over the file.

    Returns
    -------
    the fields by key, in the order of `StreamingConfig`.

    Raises
    ------
    Misconfigured, when the configuration cannot be loaded.
    """
    rows = {row.key: row for row in explain(settings, environ)}
    return {
        key: Field(
            key, field.description or "", _kind(field), rows[key].value, field.default, rows[key].source,
            rows[key].source.startswith("environment"), limits(field), choices(field),
        )
        for key, field in StreamingConfig.model_fields.items()
    }  # fmt: skip


def parse_form(form: Mapping[str, str], fields: Mapping[str, Field]) -> dict[str, Any]:
    """Return the keys whose value in a form differs from the value in force, in their own types if possible.

    Parameters
    ----------
    form : text by key. A switch that is absent is off; any other key that is absent is unchanged.
    fields : the keys with their values in force; keys that the environment sets are left out.

    Returns
    -------
    the new values by key. A text that is no number stays a text, which the review of the change reports.
    """
    changes = {}
    for key, field in fields.items():
        if field.fixed or (key not in form and field.kind != "switch"):
            continue
        value = _parse(field, form.get(key, "off"))
        if value != field.value:
            changes[key] = value
    return changes


def _parse(field: Field, text: str) -> Any:
    types: dict[Kind, type] = {"switch": bool, "integer": int, "number": float}
    with suppress(ValidationError):  # a text that is no number is reported by the review
        return TypeAdapter(types.get(field.kind, str)).validate_python(text.strip())
    return text


def _kind(field: FieldInfo) -> Kind:
    kinds: dict[Any, Kind] = {bool: "switch", int: "integer", float: "number"}
    return "choice" if choices(field) else kinds.get(field.annotation, "text")
