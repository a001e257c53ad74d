"""Base of every options class: one field definition gives the environment variable, the flag and their help.

A field ``size: int = option(2048, "Image size", unit="pixels")`` of a class with the prefix ``CONTIMG_IMAGE_`` is
``--size`` on the command line and ``CONTIMG_IMAGE_SIZE`` in the environment. A flag overrides the environment, the
environment overrides the default.
"""

import logging
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, get_args, get_origin

import click
from pydantic import Field, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from contimg.common.errors import Misconfigured, mask_secrets

OptionsClass = TypeVar("OptionsClass", bound="Options")
log = logging.getLogger(__name__)


class Choice(click.Choice[str]):
    """A choice of words; the refusal of another word names those that resemble it."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """Return the message of a refusal.

        Parameters
        ----------
        value : the word that was given.
        ctx : of the command.
        """
        return super().get_invalid_choice_message(value, ctx) + suggest(str(value), self.choices)


def suggest(word: str, names: Iterable[str]) -> str:
    """Return ` Did you mean ...?` for a word that is not known; an empty text where no known word resembles it.

    Parameters
    ----------
    word : as it was given.
    known : the words that are accepted.
    """
    close = get_close_matches(word.lower(), names)
    return f" Did you mean {' or '.join(map(repr, close))}?" if close else ""


def option(
    default: Any, description: str, *, unit: str = "", minimum: float | None = None, maximum: float | None = None,
    above: float | None = None, variable: str | None = None, secret: bool = False, former: str = "",
) -> Any:  # fmt: skip
    """Define a field of an options class.

    Parameters
    ----------
    default : value when neither a flag nor the environment nor a file sets the field.
    description : help text, without the unit.
    unit : unit of the value, appended to the help text in brackets.
    minimum, maximum : inclusive limits of a number.
    above : exclusive lower limit of a number.
    variable : environment variable, where it is not the class's prefix and the field's name.
    secret : whether the value must not be printed.
    former : name of the field in earlier versions; its variable and its flag are accepted with a warning.
    """
    help_text = f"{description} [{unit}]" if unit else description
    examples = None if default is None else [str(default) if isinstance(default, Path) else default]
    return Field(
        default, description=help_text, ge=minimum, le=maximum, gt=above, validation_alias=variable,
        json_schema_extra={"secret": secret, "former": former}, examples=examples,
    )  # fmt: skip


@dataclass(frozen=True)
class SettingValue:
    """A value in force and its source: `default`, `environment NAME` or `file PATH`."""

    key: str
    value: Any
    source: str
    help: str
    secret: bool


class Options(BaseSettings):
    """Options of one subject: immutable, each value checked against the limits of its field.

    A subclass names its environment prefix: ``class ImageOptions(Options, env_prefix="CONTIMG_IMAGE_")``. The
    constructor takes values by keyword and reads no environment; `from_environment` and `from_flags` do.
    """

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, validate_default=False, env_prefix="CONTIMG_"
    )

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the constructor take keyword arguments only.

        Parameters
        ----------
        settings_cls : the options class; unused, part of pydantic-settings' interface.
        init_settings : source of the constructor's keyword arguments.
        """
        return (init_settings,)

    @field_validator("*")
    @classmethod
    def _expand_home(cls, value: Any) -> Any:
        return value.expanduser() if isinstance(value, Path) else value

    @classmethod
    def build(cls, values: Mapping[str, Any], names: Mapping[str, str] | None = None) -> Self:
        """Build the options from field values of any source.

        Parameters
        ----------
        values : field name to value, as text or as the field's type.
        names : field name to the name that an error message gives it, for example its environment variable.

        Raises
        ------
        Misconfigured, one line: name, value, limit.
        """
        names = names or {}
        # Checked here: pydantic-settings takes keywords that begin with an underscore as instructions to itself.
        field_names = ", ".join(cls.model_fields)
        for key in values:
            if key not in cls.model_fields:
                raise Misconfigured(
                    f"{names.get(key, key)}: no such key.{suggest(key, cls.model_fields)} Known: {field_names}"
                )
        try:
            return cls(**values)
        except ValidationError as error:
            raise Misconfigured(_describe_error(cls, error, names)) from None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Build the options from environment variables, with defaults elsewhere.

        Parameters
        ----------
        environ : environment variables; an empty one counts as not set.

        Raises
        ------
        Misconfigured : a variable has a value outside the limits of its field, or of another type.
        """
        return cls.build(cls.read_environment(environ), cls.variables(environ))

    @classmethod
    def read_environment(cls, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
        """Return the text of each field that a variable sets.

        Parameters
        ----------
        environ : environment variables; an empty one counts as not set.

        Returns
        -------
        field name to text, unchecked.
        """
        source = _Environment(cls, environ)
        values = {name: source.get_field_value(field, name)[0] for name, field in cls.model_fields.items()}
        for name, variable in cls.variables(environ).items():
            if variable != (present := cls.variables()[name]):
                values[name] = environ[variable]
                _warn_of_name(variable, present)
        return {name: text for name, text in values.items() if text is not None}

    @classmethod
    def former_names(cls) -> dict[str, str]:
        """Return the present name of each field by its name in earlier versions, where it had another."""
        return {former: name for name, field in cls.model_fields.items() if (former := _extra(field, "former"))}

    @classmethod
    def variables(cls, environ: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the environment variable of each field.

        Parameters
        ----------
        environ : environment variables; where only the former variable of a field is set, it is returned.
        """
        prefix, fields, variables = cls.model_config["env_prefix"], cls.model_fields, environ or {}
        names = {name: str(field.validation_alias or f"{prefix}{name}".upper()) for name, field in fields.items()}
        for former, name in cls.former_names().items():
            variable = f"{prefix}{former}".upper()
            if variables.get(variable) and not variables.get(names[name]):
                names[name] = variable
        return names

    @classmethod
    def environment_sources(cls, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
        """Return `environment NAME` for each field that a variable sets.

        Parameters
        ----------
        environ : environment variables.

        Returns
        -------
        field name to source, as `explain` takes it.
        """
        variables = cls.variables(environ)
        return {name: f"environment {variables[name]}" for name in cls.read_environment(environ)}

    def explain(self, sources: Mapping[str, str]) -> list[SettingValue]:
        """List every field with its value and the value's source.

        Parameters
        ----------
        sources : field name to source; `default` for a field that it does not name.

        Returns
        -------
        one entry for each field, in order of definition, without the passwords of URLs; the caller hides the values of
        secret ones.
        """
        return [
            SettingValue(name, mask_value(getattr(self, name)), sources.get(name, "default"), str(field.description),
                         is_secret(field))
            for name, field in type(self).model_fields.items()
        ]  # fmt: skip

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed and checked.

        Parameters
        ----------
        changes : field name to new value.

        Raises
        ------
        Misconfigured : a field does not exist, or a value is outside its limits.
        """
        return self.build({**dict(self), **changes})


class _Environment(EnvSettingsSource):
    """The variables of a given mapping in place of the process's environment."""

    def __init__(self, options: type[Options], environ: Mapping[str, str]) -> None:
        self._environ = environ
        super().__init__(options)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name.lower(): text for name, text in self._environ.items() if text}


def mask_value(value: Any) -> Any:
    """Return the value of a setting without the passwords of URLs.

    Parameters
    ----------
    value : any; a value that is not text is returned as it is.
    """
    return mask_secrets(value) if isinstance(value, str) else value


def is_secret(field: FieldInfo) -> bool:
    """Return whether the value of a field must not be printed.

    Parameters
    ----------
    field : of an options class, from its `model_fields`.
    """
    return bool(_extra(field, "secret"))


def _extra(field: FieldInfo, name: str) -> Any:
    return field.json_schema_extra.get(name) if isinstance(field.json_schema_extra, dict) else None


@cache
def _warn_of_name(former: str, present: str) -> None:
    """Log once for a process that a setting has another name now."""
    log.warning("%s: the former name of %s; it is still accepted, rename it", former, present)


@dataclass(frozen=True)
class Limits:
    """Limits of a number; None where there is none.

    Attributes
    ----------
    minimum, maximum : inclusive limits.
    is_open : whether `minimum` itself is excluded.
    """

    minimum: float | None = None
    maximum: float | None = None
    is_open: bool = False

    def __str__(self) -> str:
        if self.minimum is None:
            return "" if self.maximum is None else f"at most {self.maximum:g}"
        minimum = f"more than {self.minimum:g}" if self.is_open else f"{self.minimum:g}"
        if self.maximum is not None:
            return f"{minimum} to {self.maximum:g}"
        return minimum if self.is_open else f"{minimum} or more"


def limits(field: FieldInfo) -> Limits:
    """Return the limits of a field; empty for text and switches.

    Parameters
    ----------
    field : of an options class, from its `model_fields`.
    """
    rules = {name: getattr(rule, name) for rule in field.metadata for name in ("ge", "gt", "le") if hasattr(rule, name)}
    return Limits(rules.get("ge", rules.get("gt")), rules.get("le"), "gt" in rules)


def choices(field: FieldInfo) -> tuple[str, ...]:
    """Return the values that a field of a Literal type accepts; none for another type.

    Parameters
    ----------
    field : of an options class, from its `model_fields`.
    """
    return tuple(map(str, get_args(field.annotation))) if get_origin(field.annotation) is Literal else ()


def flags(options: type[Options]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that gives a click command one flag per field of an options class.

    Parameters
    ----------
    options : the class; in the command `from_flags` turns the arguments into an instance of it.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for name, field in reversed(options.model_fields.items()):
            flag, kind = _flag(name), click.Path(path_type=Path) if field.annotation is Path else field.annotation
            command = click.option(
                f"{flag}/--no-{flag[2:]}" if kind is bool else flag,
                name,
                type=Choice(choices(field)) if choices(field) else None if kind is bool else kind,
                default=field.default,
                show_default=True,
                help=f"{field.description} ({text})" if (text := str(limits(field))) else field.description,
            )(command)
        for former, name in options.former_names().items():
            kind = options.model_fields[name].annotation
            command = click.option(_flag(former), former, type=kind, hidden=True)(command)
        return command

    return decorate


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def from_flags(options: type[OptionsClass], arguments: dict[str, Any]) -> OptionsClass:
    """Build options inside a click command: flags over the environment over defaults.

    Parameters
    ----------
    options : the class that `flags` decorated the command with.
    arguments : keyword arguments of the command; those of the class are removed.

    Raises
    ------
    Misconfigured, naming the flag or the variable, when a value is outside its limits.
    """
    context = click.get_current_context()
    values: dict[str, Any] = dict(options.read_environment())
    names = options.variables()
    for former, name in options.former_names().items():
        if (value := arguments.pop(former, None)) is not None:
            values[name], names[name] = value, _flag(former)
            _warn_of_name(_flag(former), _flag(name))
    for name in options.model_fields:
        argument = arguments.pop(name)
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            values[name], names[name] = argument, _flag(name)
    return options.build(values, names)


def _describe_error(options: type[Options], error: ValidationError, names: Mapping[str, str]) -> str:
    """Return the first fault on one line: name, value, limit."""
    first = error.errors(include_url=False)[0]
    name = names.get(key := str(first["loc"][0]), key)
    value = first["input"] if first["type"].startswith(("greater_than", "less_than")) else repr(first["input"])
    if "://" in str(value):  # so that the password of a URL is one word for `mask_secrets`
        value = re.sub(r"\s", "%20", str(value))
    if is_secret(options.model_fields[key]):
        value = "***"
    return f"{name}={value}: {first['msg'].replace('Input should', 'must', 1).replace('Value error, ', '')}"
