"""One source for every option: a frozen dataclass field gives the environment variable, the flag and its help.

A field `size: int = option(2048, "pixels on a side")` of `ImageOptions` is `--size` on the command line and
CONTIMG_IMAGE_SIZE in the environment; the flag wins over the environment, the environment over the default.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import click

from contimg.errors import Misconfigured

Options = TypeVar("Options")


def option(
    default: Any,
    help: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
    variable: str | None = None,
    secret: bool = False,
) -> Any:
    """A dataclass field that also says its help text, its bounds and, if unusual, its environment variable."""
    about = {
        "help": help,
        "minimum": minimum,
        "maximum": maximum,
        "choices": choices,
        "variable": variable,
        "secret": secret,
    }
    return field(default=default, metadata=about)


@dataclass(frozen=True)
class Effective:
    """A value in force and where it came from (`default`, `environment NAME` or `file PATH`)."""

    key: str
    value: Any
    source: str
    help: str = ""
    secret: bool = False


def variable_name(prefix: str, spec: Field[Any]) -> str:
    """The environment variable of one field, for example CONTIMG_IMAGE_SIZE."""
    return spec.metadata.get("variable") or f"{prefix}_{spec.name}".upper()


def parse(name: str, text: str, kind: type, about: Mapping[str, Any]) -> Any:
    """Text to a value of `kind` within the field's bounds; raises Misconfigured with the name and what to give."""
    try:
        value: Any = text
        if kind is bool:
            lowered = text.strip().lower()
            if lowered not in {"1", "true", "yes", "on", "0", "false", "no", "off"}:
                raise ValueError("not a yes or no")
            value = lowered in {"1", "true", "yes", "on"}
        elif kind in (int, float):
            value = kind(text)
        elif kind is Path:
            value = Path(text).expanduser()
    except ValueError:
        raise Misconfigured(f"{name}={text!r}: expected {kind.__name__}; {about.get('help', '')}") from None
    return check(name, value, about)


def check(name: str, value: Any, about: Mapping[str, Any]) -> Any:
    """The value itself if it lies within the field's bounds and choices; otherwise Misconfigured."""
    low, high, choices = about.get("minimum"), about.get("maximum"), about.get("choices")
    if low is not None and value < low:
        raise Misconfigured(f"{name}={value}: must be at least {low:g}")
    if high is not None and value > high:
        raise Misconfigured(f"{name}={value}: must be at most {high:g}")
    if choices and value not in choices:
        raise Misconfigured(f"{name}={value!r}: must be one of {', '.join(choices)}")
    return value


def effective(cls: type, prefix: str, environ: Mapping[str, str] = os.environ) -> list[Effective]:
    """Every field of an options class with its value in force and its source."""
    kinds = get_type_hints(cls)
    found = []
    for spec in fields(cls):
        name = variable_name(prefix, spec)
        text = environ.get(name, "")
        if text:
            value, source = parse(name, text, kinds[spec.name], spec.metadata), f"environment {name}"
        else:
            value, source = spec.default, "default"
        found.append(
            Effective(spec.name, value, source, spec.metadata.get("help", ""), spec.metadata.get("secret", False))
        )
    return found


def from_environment(cls: type[Options], prefix: str, environ: Mapping[str, str] = os.environ) -> Options:
    """An options object from `PREFIX_FIELD` variables, defaults elsewhere."""
    return cls(**{one.key: one.value for one in effective(cls, prefix, environ)})


def flags(cls: type, prefix: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator that gives a click command one flag per field of `cls`, defaulting to the environment."""
    kinds = get_type_hints(cls)

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for spec in reversed(fields(cls)):
            about, kind = spec.metadata, kinds[spec.name]
            flag = f"--{spec.name.replace('_', '-')}"
            declared = f"{flag}/--no-{flag[2:]}" if kind is bool else flag
            kind_of_click: Any = kind
            if about.get("choices"):
                kind_of_click = click.Choice(about["choices"])
            elif kind is Path:
                kind_of_click = click.Path(path_type=Path)
            command = click.option(
                declared,
                spec.name,
                type=None if kind is bool else kind_of_click,
                default=None if spec.default is MISSING else spec.default,
                show_default=True,
                envvar=variable_name(prefix, spec),
                help=about.get("help", ""),
            )(command)
        return command

    return decorate


def from_flags(cls: type[Options], given: dict[str, Any]) -> Options:
    """Take the fields of `cls` out of a click command's keyword arguments, checked against their bounds."""
    values = {}
    for spec in fields(cls):  # type: ignore[arg-type]
        if spec.name in given:
            values[spec.name] = check(f"--{spec.name.replace('_', '-')}", given.pop(spec.name), spec.metadata)
    return cls(**values)
