"""Records as JSON, for the REST API and `--json` of the command line: one model made from the fields of a dataclass.

A field is described where it is defined: `rms_jy: Annotated[float, about("Noise", "Jy/beam", 0.0021)]`. Description,
unit and example stand in the API's document. A number of epoch seconds in a field named like a time becomes a UTC time
in ISO 8601 that ends in Z, a path becomes a string. A property whose type is described in this way is a field, too.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, SerializationInfo, create_model
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

TIME_UNIT, TIME_EXAMPLE = "ISO 8601, UTC", "2026-02-22T03:04:05Z"
NO_UNIT = "no unit"
_TIME_NAME = re.compile(r"at|.*_(at|since|until)|not_before|last_heartbeat|last_update|valid_from|gains_valid_from")
_schemas: "dict[type, type[RecordSchema]]" = {}
Record = TypeVar("Record")


class RecordSchema(BaseModel):
    """Base of the models; an instance is made from a record's attributes."""

    model_config = ConfigDict(from_attributes=True, frozen=True, json_schema_serialization_defaults_required=True)


def about(description: str, unit: str = "", example: Any = None) -> Any:
    """Describe a field of a record or a parameter, as metadata of its type.

    Parameters
    ----------
    description : what it is, without the unit.
    unit : unit of a number, `NO_UNIT` for one that has none; it is appended to the description in brackets. Empty for
        text, for a switch, and for a time, which gets its unit and an example by itself.
    example : a value as JSON has it; None for a field that holds records, whose example is made of theirs.
    """
    text = f"{description} [{unit}]" if unit else description
    return Field(description=text, examples=None if example is None else [example])


GroupId = Annotated[str, about("Id of the group: its time of observation", example="2026-02-22T03:04:05")]


def _add_root(path: str, info: SerializationInfo) -> str:
    return f"{(info.context or {}).get('root', '')}{path}"


ApiPath = Annotated[str, PlainSerializer(_add_root)]
"""Path of a file in the API, `/api/images/12.fits`; `to_json` puts the prefix of the panel's paths before it."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page of a list: at most `limit` entries from `cursor` on, the number of all, and the next page's cursor."""

    total: Annotated[int, about("Number of entries that match, on all pages", "entries", 288)]
    next: Annotated[str | None, about("`cursor` of the next page; null on the last", example="61093.129624~12")]


def page_key(value: float, identity: int | str) -> str:
    """Return the cursor after an entry of a list, `value~identity`.

    Parameters
    ----------
    value : number that the list is ordered by.
    identity : orders entries of equal values.
    """
    return f"{value!r}~{identity}"


def schema_of(record: type[Any]) -> type[BaseModel]:
    """Return the model of a dataclass; records in its fields are converted too.

    Parameters
    ----------
    record : a dataclass, whose docstring describes the model in the API's document, or a model, which is returned.

    Returns
    -------
    type[BaseModel]
        A model with the same field names, and those of the described properties.
    """
    if issubclass(record, BaseModel):
        return record
    if record not in _schemas:
        hints = get_type_hints(record, include_extras=True)
        types = {field.name: hints[field.name] for field in fields(record)} | _described_properties(record)
        _schemas[record] = create_model(  # type: ignore[call-overload]
            record.__name__,
            __base__=RecordSchema,
            __module__=record.__module__,
            __doc__=record.__doc__,
            **{name: (_described(hint, name), ...) for name, hint in types.items()},
        )
    return _schemas[record]


def make_record(kind: type[Record], *sources: object, **values: Any) -> Record:
    """Make a record out of others.

    Parameters
    ----------
    kind : a dataclass.
    sources : records; a field that is not in `values` is read from the first one that has an attribute of its name.
    values : fields by name.

    Raises
    ------
    AttributeError, when no source has a field.
    """
    for field in fields(cast(Any, kind)):
        if field.name not in values:
            source = next((source for source in sources if hasattr(source, field.name)), None)
            values[field.name] = getattr(source, field.name)
    return kind(**values)


def to_json(record: Any, kind: type | None = None, root: str = "") -> str:
    """Serialise a record by the model of its class, or of `kind`.

    Parameters
    ----------
    record : a dataclass or model.
    kind : class whose fields are sent; None: the class of the record.
    root : prefix of the paths of files in the API.

    Raises
    ------
    pydantic.ValidationError, when an attribute of the record does not fit the type of its field.
    """
    model = schema_of(kind or type(record)).model_validate(record)
    return model.model_dump_json(context={"root": root})


def to_plain(value: Any) -> Any:
    """Return a record, or a list or mapping of records, as the objects, lists, texts and numbers of its JSON.

    Parameters
    ----------
    value : a record, or any value of JSON, in which records, paths and times may stand.
    """
    if isinstance(value, BaseModel) or (is_dataclass(value) and not isinstance(value, type)):
        return json.loads(to_json(value))
    if isinstance(value, Mapping):
        return {str(key): to_plain(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(member) for member in value]
    return to_jsonable_python(value)


def _described_properties(record: type) -> dict[str, Any]:
    """The types of the properties that are described, by name; those of base classes first."""
    types = {}
    for base in reversed(record.__mro__):
        for name, value in vars(base).items():
            if isinstance(value, property):
                hint = get_type_hints(value.fget, include_extras=True).get("return")
                if get_origin(hint) is Annotated:
                    types[name] = hint
    return types


def _described(hint: Any, name: str) -> Any:
    """The type of a field with its description, and with an example of its own or of the records that it holds."""
    if get_origin(hint) is not Annotated:
        return _converted(hint, name)
    kind = _converted(get_args(hint)[0], name)
    info = next(item for item in hint.__metadata__ if isinstance(item, FieldInfo))
    is_time, examples = kind is datetime or datetime in get_args(kind), info.examples
    if examples is None:
        example = TIME_EXAMPLE if is_time else _example_of(kind)
        examples = None if example is None else [example]
    text = f"{info.description} [{TIME_UNIT}]" if is_time else info.description
    serializers = (item for item in hint.__metadata__ if not isinstance(item, FieldInfo))
    return Annotated[(kind, *serializers, Field(description=text, examples=examples))]


def _example_of(kind: Any) -> Any:
    """An example of a type that holds records; None for another."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        members = kind.model_fields.items()
        return {name: field.examples[0] if field.examples else None for name, field in members}
    arguments = [argument for argument in get_args(kind) if argument not in (NoneType, Ellipsis)]
    example = _example_of(arguments[0]) if len(arguments) == 1 else None
    return [example] if example is not None and get_origin(kind) is tuple else example


def _converted(annotation: Any, name: str) -> Any:
    """The type of a field as it is in JSON."""
    if isinstance(annotation, type) and is_dataclass(annotation):
        return schema_of(annotation)
    if annotation is float and _TIME_NAME.fullmatch(name):
        return datetime
    origin = get_origin(annotation)
    if origin is None or origin is Literal:
        return annotation
    if origin is Annotated:
        return Annotated[(_converted(get_args(annotation)[0], name), *annotation.__metadata__)]
    arguments = tuple(
        argument if argument is NoneType else _converted(argument, name) for argument in get_args(annotation)
    )
    return Union[arguments] if origin in (Union, UnionType) else origin[arguments]  # noqa: UP007
