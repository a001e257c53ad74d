"""Presets of campaigns: files of options that differ from those of the stream, by environment variable.

A preset is a TOML or JSON file of names such as `CONTIMG_IMAGE_SIZE` with values. `quick`, `survey` and `deep` come
with the package; others are in the directory `presets` of the state directory, or anywhere by path.
"""

import json
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from contimg.common.errors import BadInput, Misconfigured
from contimg.common.files.writing import atomic_file
from contimg.common.options import Options, suggest
from contimg.formats.records import about
from contimg.settings.tree import section_classes

DIRECTORY = "presets"
BUILT_IN = ("quick", "survey", "deep")
SUFFIXES = (".toml", ".json")
MAX_BYTES = 64 * 1024
MODULES = (
    "contimg.tile.convert.options", "contimg.tile.calibrate.options", "contimg.quality.caltables",
    "contimg.tile.selfcal.options", "contimg.tile.image.options", "contimg.quality.image",
    "contimg.epoch.mosaic.options", "contimg.quality.mosaic", "contimg.epoch.photometry.options",
    "contimg.sky.variability.options",
)  # fmt: skip
"""Modules of the options that a preset may set: those of the stages."""


@dataclass(frozen=True)
class Preset:
    """A preset: its options by environment variable, as text."""

    name: Annotated[str, about("Name of the preset", example="deep")]
    options: Annotated[
        Mapping[str, str],
        about("Options that differ from those of the stream, by variable", example={"CONTIMG_IMAGE_SIZE": "3600"}),
    ]
    source: Annotated[str, about("Its file; built-in for one of the package", example="/data/state/presets/faint.toml")]


@dataclass(frozen=True)
class PresetList:
    """The presets by name: the built-in ones, then those of the state directory."""

    presets: Annotated[tuple[Preset, ...], about("The built-in presets, then those of the state directory")]


def read_preset(name: str, state_dir: Path, *, allow_path: bool = True) -> Preset:
    """Read and check a preset.

    Parameters
    ----------
    name : of a preset in the state directory or of the package, in this order; or a path, which holds a `/` or ends in
        `.toml` or `.json`.
    state_dir : the state directory.
    allow_path : whether a path is accepted.

    Raises
    ------
    BadInput : there is no such preset, or the file is not a table of options.
    Misconfigured : an option is unknown, is not one of a stage, or has a value that it cannot have.
    """
    is_path = "/" in name or name.endswith(SUFFIXES)
    if is_path and allow_path:
        path = Path(name).expanduser()
        return _parse(path.stem, _read(path), str(path))
    own = _own_presets(state_dir)
    if name in own:
        return _parse(name, _read(own[name]), str(own[name]))
    if name in BUILT_IN:
        content = (files("contimg.survey.campaigns") / DIRECTORY / f"{name}.toml").read_bytes()
        return _parse(name, content, "built-in")
    known = (*own, *BUILT_IN)
    raise BadInput(
        f"preset {name[:64]!r}: there is none.{suggest(name, known)} Known: {', '.join(known)}; others are files in "
        f"{state_dir / DIRECTORY}"
    )


def list_presets(state_dir: Path) -> PresetList:
    """Return the presets of the package and of the state directory.

    Parameters
    ----------
    state_dir : the state directory.

    Raises
    ------
    BadInput, Misconfigured : one of them is wrong, as of `read_preset`.
    """
    names = dict.fromkeys((*BUILT_IN, *_own_presets(state_dir)))
    return PresetList(tuple(read_preset(name, state_dir) for name in names))


def write_preset(path: Path, preset: Mapping[str, str], comments: Iterable[str]) -> None:
    """Write the options of a preset as a file that `read_preset` reads.

    Parameters
    ----------
    path : of the TOML file.
    preset : options by environment variable.
    comments : lines at its beginning.
    """
    lines = [f"# {line}" for line in comments]
    # A string of JSON without escapes of characters beyond ASCII is one of TOML.
    lines += [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in preset.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path, mode=0o644) as file:
        file.write(("\n".join(lines) + "\n").encode())


def check_options(options: Mapping[str, str], source: str) -> None:
    """Check that every option is one of a stage, and that the stages accept the values beside those of the stream.

    Parameters
    ----------
    options : by environment variable.
    source : names the preset in an error.

    Raises
    ------
    Misconfigured : an option is unknown or has a value that it cannot have.
    """
    sections = list(section_classes(MODULES))
    known = {variable for section in sections for variable in section.variables().values()}
    for name in options:
        if name not in known:
            raise Misconfigured(f"{source}: {name}: not an option of a stage.{_suggest_variable(name, known)}")
    environ = {**os.environ, **options}
    for section in sections:
        _build(section, environ, source)


def _build(section: type[Options], environ: Mapping[str, str], source: str) -> None:
    try:
        section.from_environment(environ)
    except Misconfigured as error:
        raise Misconfigured(f"{source}: {error}") from None


def _suggest_variable(name: str, known: Iterable[str]) -> str:
    return (
        suggest(name.lower(), [variable.lower() for variable in known]).upper().replace("DID YOU MEAN", "Did you mean")
    )


def _own_presets(state_dir: Path) -> dict[str, Path]:
    directory = state_dir / DIRECTORY
    paths = sorted(path for suffix in SUFFIXES for path in directory.glob(f"*{suffix}"))
    return {path.stem: path for path in paths if path.stem.isprintable()}


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise BadInput(f"preset {path}: cannot be read: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise BadInput(f"preset {path}: has more than {MAX_BYTES} bytes; it must hold options only")
    return content


def _parse(name: str, content: bytes, source: str) -> Preset:
    try:
        text = content.decode("utf-8")
        values: Any = json.loads(text) if source.endswith(".json") else tomllib.loads(text)
    except ValueError as error:
        raise BadInput(f"preset {source}: neither TOML nor JSON ({error})") from None
    if not isinstance(values, dict) or not all(
        isinstance(value, str | int | float | bool) for value in values.values()
    ):
        raise BadInput(f"preset {source}: must hold one table of options with texts, numbers, true or false")
    options = {
        variable: str(value).lower() if isinstance(value, bool) else str(value) for variable, value in values.items()
    }
    check_options(options, f"preset {name}" if source == "built-in" else source)
    if len(name) > 64 or not name.isprintable():  # the length of the column
        raise BadInput(f"preset {name[:64]!r}: its name must have at most 64 printable characters")
    return Preset(name, options, source)
