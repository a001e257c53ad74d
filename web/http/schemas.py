"""Pydantic models of records: the API's answers have the fields of the store's and the services' dataclasses.

A number of epoch seconds in a field named like a time becomes a UTC time in ISO 8601, a path becomes a string.
"""

import re
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import datetime
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, create_model

_TIME_NAME = re.compile(r"at|.*_(at|since)|not_before|last_heartbeat|last_update")
_computed: "dict[type, type[RecordSchema]]" = {}
_schemas: "dict[type, type[RecordSchema]]" = {}
Record = TypeVar("Record")
Computed = TypeVar("Computed", bound="type[RecordSchema]")


class RecordSchema(BaseModel):
    """Base of the models; an instance is made from a record's attributes."""

    model_config = ConfigDict(from_attributes=True, frozen=True, json_schema_serialization_defaults_required=True)


class ErrorAnswer(RecordSchema):
    """What went wrong, and what to do about it; `detail` repeats the error under the name that other APIs use."""

    error: str
    hint: str
    detail: str


def computes(record: type) -> Callable[[Computed], Computed]:
    """Add the fields of the decorated model to the answers of a record: URLs, or properties of the record.

    Parameters
    ----------
    record : a dataclass; the classes derived from it get the fields, too.

    Raises
    ------
    RuntimeError, by the decorator, when the model of the record has been made already.
    """

    def add(schema: Computed) -> Computed:
        if record in _schemas:
            raise RuntimeError(f"{record.__name__}: its model was made before {schema.__name__} was imported")
        _computed[record] = schema
        return schema

    return add


def schema_of(record: type[Any]) -> type[BaseModel]:
    """Return the model of a dataclass; records in its fields are converted too.

    Parameters
    ----------
    record : a dataclass, whose docstring describes the model in the API's document, or a model, which is returned.

    Returns
    -------
    type[BaseModel]
        A model with the same field names, and those of the model registered with `computes`.
    """
    if issubclass(record, BaseModel):
        return record
    if record not in _schemas:
        hints = get_type_hints(record)
        converted = {field.name: (_converted(hints[field.name], field.name), ...) for field in fields(record)}
        _schemas[record] = create_model(  # type: ignore[call-overload]
            record.__name__,
            __base__=next((_computed[base] for base in record.__mro__ if base in _computed), RecordSchema),
            __module__=record.__module__,
            __doc__=record.__doc__,
            **converted,
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


def to_json(record: Any, kind: type | None = None) -> str:
    """Serialise a record by the model of its class, or of `kind`.

    Parameters
    ----------
    record : a dataclass or model.
    kind : class whose fields are sent; None: the class of the record.

    Raises
    ------
    pydantic.ValidationError, when an attribute of the record does not fit the type of its field.
    """
    return schema_of(kind or type(record)).model_validate(record).model_dump_json()


def _converted(annotation: Any, name: str) -> Any:
    """The type of a field as the API answers it."""
    if isinstance(annotation, type) and is_dataclass(annotation):
        return schema_of(annotation)
    if annotation is float and _TIME_NAME.fullmatch(name):
        return datetime
    origin = get_origin(annotation)
    if origin is None or origin is Literal:
        return annotation
    arguments = tuple(
        argument if argument is NoneType else _converted(argument, name) for argument in get_args(annotation)
    )
    return Union[arguments] if origin in (Union, UnionType) else origin[arguments]  # noqa: UP007
