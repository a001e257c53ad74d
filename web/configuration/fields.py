"""Each key as a field of a form: its kind, its limits, its help, what is in force and where that comes from."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from contimg.settings import Settings, StreamingConfig, explain

SUBJECTS = {
    "Where things are": ("input_dir", "output_dir", "scratch_dir", "queue_db", "registry_db"),
    "What a group is": ("expected_subbands", "chunk_duration"),
    "How the work is done": ("max_workers", "use_subprocess", "stage_to_tmpfs", "tmpfs_path"),
    "How often one looks": ("poll_interval", "worker_poll_interval", "monitoring", "monitor_interval", "log_level"),
}


@dataclass(frozen=True)
class Field:
    """One key.

    Attributes
    ----------
    kind : text, whole, number, switch or choice.
    least, most : the limits of a number; `above` when the least itself is too little.
    source : where the value in force comes from; `fixed` when the environment sets it, and the file cannot.
    """

    key: str
    help: str
    kind: Literal["text", "whole", "number", "switch", "choice"]
    value: Any
    default: Any
    source: str
    fixed: bool
    least: float | None = None
    above: bool = False
    most: float | None = None
    choices: tuple[str, ...] = ()

    @property
    def limits(self) -> str:
        """The limits in words."""
        if self.least is None:
            return ""
        least = f"more than {self.least:g}" if self.above else f"{self.least:g}"
        return f"{least} to {self.most:g}" if self.most is not None else f"{least}{'' if self.above else ' or more'}"


def fields(settings: Settings, environ: Mapping[str, str] = os.environ) -> dict[str, Field]:
    """Every key's field; raises Misconfigured when what is in force cannot be loaded."""
    in_force = {one.key: one for one in explain(settings, environ)}
    found = {}
    for key, about in StreamingConfig.model_fields.items():
        one = in_force[key]
        found[key] = Field(
            key, about.description or "", _kind(about.annotation), one.value, about.default, one.source,
            one.source.startswith("environment"), choices=tuple(map(str, _choices(about.annotation))), **_limits(about),
        )  # fmt: skip
    return found


def given(form: Mapping[str, str], known: Mapping[str, Field]) -> dict[str, Any]:
    """What a form changes: keys whose value differs from the one in force, as their own types where they can be."""
    changes = {}
    for key, field in known.items():
        if field.fixed or (key not in form and field.kind != "switch"):
            continue
        value = _typed(field, form.get(key, "off"))
        if value != field.value:
            changes[key] = value
    return changes


def _typed(field: Field, text: str) -> Any:
    if field.kind == "switch":
        return text in ("on", "true")
    if field.kind in ("whole", "number"):
        try:
            number = float(text)
        except ValueError:
            return text  # the check says what is wrong with it
        return int(number) if field.kind == "whole" and number.is_integer() else number
    return text.strip()


def _kind(annotation: Any) -> Literal["text", "whole", "number", "switch", "choice"]:
    if _choices(annotation):
        return "choice"
    if annotation is bool:
        return "switch"
    return "whole" if annotation is int else "number" if annotation is float else "text"


def _choices(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def _limits(about: FieldInfo) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    for one in about.metadata:
        if hasattr(one, "ge"):
            limits["least"] = float(one.ge)
        if hasattr(one, "gt"):
            limits.update(least=float(one.gt), above=True)
        if hasattr(one, "le"):
            limits["most"] = float(one.le)
    return limits
