"""Loading, checking and saving the streaming configuration.

Relative paths in the file are relative to the directory that holds the state directory, so a service and a terminal
refer to the same files.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from contimg.common.errors import Misconfigured
from contimg.common.files.names import printable
from contimg.common.files.writing import write_text
from contimg.common.options import SettingValue, mask_value
from contimg.settings.tree import SECTION_MODULES, QueueRules, Settings, StreamingConfig, section_classes

# Quotes, brackets, wildcards and signs of shells: CASA's tasks and the broker's configuration give them a meaning.
_UNUSABLE = re.compile(r"""['"`$\\*?\[\]{}]""")
# The store's paths are printable and cut at 1024 characters; those of products are longer than their directory.
MAX_DIRECTORY_LENGTH = 900


def load(settings: Settings, environ: Mapping[str, str] = os.environ) -> StreamingConfig:
    """Load the configuration in force: environment over file over defaults.

    Parameters
    ----------
    settings : deployment, which locates the file.
    environ : environment variables.

    Returns
    -------
    StreamingConfig
        With absolute paths and database URLs.

    Raises
    ------
    Misconfigured, naming the file and key or the variable.
    """
    config = _load(settings, environ)
    return config.model_copy(update={"use_subprocess": True})


def ignored_values(settings: Settings, environ: Mapping[str, str] = os.environ) -> list[str]:
    """Describe, one line each, the values in force that are not supported and that `load` replaces.

    Files of earlier versions may hold them; they must not keep the stream from starting.

    Parameters
    ----------
    settings : deployment, which locates the file.
    environ : environment variables.

    Raises
    ------
    Misconfigured : the configuration does not load for another reason.
    """
    if _load(settings, environ).use_subprocess:
        return []
    source = StreamingConfig.environment_sources(environ).get("use_subprocess", f"file {settings.config_path}")
    return [f"use_subprocess=false ({source}) is not supported and read as true; set it to true"]


def save(settings: Settings, changes: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> StreamingConfig:
    """Set keys in the file atomically and return the configuration in force.

    Parameters
    ----------
    settings : deployment, which locates the file.
    changes : key to new value, as text or as the field's type; other keys of the file stay.
    environ : environment variables.

    Raises
    ------
    Misconfigured, with the file unchanged, when the result would not load or cannot be written.
    """
    path = settings.config_path
    values = {**read_file(path), **changes}
    content = _build_unresolved(settings, values, {}).model_dump(mode="json", include=set(values))
    check(settings, changes)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(content, indent=2, sort_keys=True) + "\n", durable=True)
    except OSError as error:
        raise Misconfigured(f"{path}: cannot be written: {error.strerror}") from None
    return load(settings, environ)


def check(settings: Settings, changes: Mapping[str, Any]) -> StreamingConfig:
    """Return what would be in force after `save`, without environment.

    Parameters
    ----------
    settings : deployment, which locates the file.
    changes : key to new value, as text or as the field's type.

    Raises
    ------
    Misconfigured : the result would not load, or a changed value is not supported.
    """
    config = _build(settings, {**read_file(settings.config_path), **changes}, {})
    if "use_subprocess" in changes and not config.use_subprocess:
        raise Misconfigured(
            "use_subprocess=false: not supported, an error in CASA can end the process that runs it; leave it at true"
        )
    return config.model_copy(update={"use_subprocess": True})


def shown(config: StreamingConfig) -> dict[str, Any]:
    """Return every key as JSON, without the password of a database URL.

    Parameters
    ----------
    config : configuration in force.

    Returns
    -------
    key to JSON value.
    """
    values = config.model_dump(mode="json")
    return {key: mask_value(value) for key, value in values.items()}


def explain(settings: Settings, environ: Mapping[str, str] = os.environ) -> list[SettingValue]:
    """List every key and setting with its value in force and the value's source.

    The streaming configuration comes first, then the sections that only the environment sets. Passwords in database
    URLs are replaced; a token is marked as secret and the caller hides it.

    Parameters
    ----------
    settings : deployment, which locates the file.
    environ : environment variables.

    Raises
    ------
    Misconfigured, as `load` and `queue_rules` do.
    """
    config = load(settings, environ)
    values, sources = shown(config), {key: f"file {settings.config_path}" for key in read_file(settings.config_path)}
    sources |= StreamingConfig.environment_sources(environ)
    rows = [replace(row, value=values[row.key]) for row in config.explain(sources)]
    of_rules = {"cadence_s": sources.get("chunk_duration", "default"), **QueueRules.environment_sources(environ)}
    rows += [row for row in queue_rules(config, environ).explain(of_rules) if row.key != "expected_subbands"]
    for section in section_classes(SECTION_MODULES):
        if section not in (StreamingConfig, QueueRules):
            variables = section.variables()
            rows += [
                replace(row, key=_shown_key(row.key, variables[row.key]))
                for row in section.from_environment(environ).explain(section.environment_sources(environ))
            ]
    return rows


def _shown_key(field: str, variable: str) -> str:
    """Return a key that is unique among all sections: `image_size` for CONTIMG_IMAGE_SIZE."""
    return variable.removeprefix("CONTIMG_").lower() if variable.startswith("CONTIMG_") else field


def check_all(settings: Settings, environ: Mapping[str, str] = os.environ) -> StreamingConfig:
    """Load the configuration, and check every option of every process and stage, before anything starts.

    A process that ends with a wrong setting would only be started again.

    Parameters
    ----------
    settings : deployment, which locates the file.
    environ : environment variables.

    Returns
    -------
    the configuration in force.

    Raises
    ------
    Misconfigured, naming the first setting that is wrong.
    """
    config = load(settings, environ)
    queue_rules(config, environ)
    for section in section_classes(SECTION_MODULES):
        section.from_environment(environ)
    return config


def queue_rules(config: StreamingConfig, environ: Mapping[str, str] = os.environ) -> QueueRules:
    """Return the queue's rules: the environment's, with the subbands and the cadence of the configuration.

    Parameters
    ----------
    config : configuration in force; its `chunk_duration` is the cadence unless CONTIMG_CADENCE_S is set.
    environ : environment variables.

    Raises
    ------
    Misconfigured when a variable is outside its limits or CONTIMG_MIN_SUBBANDS exceeds `expected_subbands`.
    """
    values = {
        "cadence_s": config.chunk_duration * 60,
        **QueueRules.read_environment(environ),
        "expected_subbands": config.expected_subbands,
    }
    rules = QueueRules.build(values, QueueRules.variables())
    if rules.min_subbands <= config.expected_subbands:
        return rules
    if "min_subbands" in values:
        raise Misconfigured(
            f"CONTIMG_MIN_SUBBANDS={rules.min_subbands}: more than expected_subbands={config.expected_subbands}"
        )
    return rules.replace(min_subbands=config.expected_subbands)


def read_file(path: Path) -> dict[str, Any]:
    """Read the keys that the file sets, unchecked; none without a file.

    Parameters
    ----------
    path : the file.

    Returns
    -------
    key to JSON value.

    Raises
    ------
    Misconfigured when the file cannot be read or is not one JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise Misconfigured(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise Misconfigured(f"{path}: not JSON ({error}); correct it, or remove it to use the defaults") from None
    if not isinstance(content, dict):
        raise Misconfigured(f"{path}: must hold one JSON object of keys and values, not a {type(content).__name__}")
    return content


def _load(settings: Settings, environ: Mapping[str, str]) -> StreamingConfig:
    overrides, variables = StreamingConfig.read_environment(environ), StreamingConfig.variables()
    return _build(
        settings, {**read_file(settings.config_path), **overrides}, {key: variables[key] for key in overrides}
    )


def _build_unresolved(settings: Settings, values: Mapping[str, Any], variables: Mapping[str, str]) -> StreamingConfig:
    names = {key: f"{settings.config_path}: {key}" for key in values}
    return StreamingConfig.build(values, {**names, **variables})


def _build(settings: Settings, values: Mapping[str, Any], variables: Mapping[str, str]) -> StreamingConfig:
    """Check values and make paths absolute; the registry must be the store."""
    config, base = _build_unresolved(settings, values, variables), settings.base_dir
    paths = {key: base / getattr(config, key) for key in ("input_dir", "output_dir", "scratch_dir", "tmpfs_path")}
    for key, path in {"PIPELINE_STATE_DIR": settings.state_dir.absolute(), **paths}.items():
        shown = printable(str(path))
        if shown != str(path) or len(shown) > MAX_DIRECTORY_LENGTH:
            raise Misconfigured(
                f"{variables.get(key, key)}={shown}: the store cannot hold the path of a directory with unprintable "
                f"characters or of more than {MAX_DIRECTORY_LENGTH} characters; rename or move it"
            )
        if unusable := _UNUSABLE.search(str(path)):
            raise Misconfigured(
                f"{variables.get(key, key)}={path}: CASA and the broker cannot use a directory with {unusable[0]} in "
                "its name; rename it"
            )
    default = str(settings.state_dir.absolute() / "contimg.sqlite3")
    queue = _absolute(config.queue_db, base) if "queue_db" in config.model_fields_set else default
    registry = _absolute(config.registry_db, base) if config.registry_db else queue
    if registry != queue:
        raise Misconfigured(
            f"{settings.config_path}: registry_db={registry} must be the same as "
            f"queue_db={queue}: a caltable set and the stage that solved it are committed in one "
            "transaction; remove registry_db"
        )
    return config.model_copy(update={**paths, "queue_db": queue, "registry_db": registry})


def _absolute(database: str, base: Path) -> str:
    return database if "://" in database else str(base / Path(database).expanduser())
