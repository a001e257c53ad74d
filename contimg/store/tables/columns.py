"""Types of columns, the base classes of tables, and records made from rows."""

from collections.abc import Callable, Mapping
from enum import EnumType
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from sqlalchemy import JSON, BigInteger, Dialect, Double, Index, Integer, String, Text, TypeDecorator, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from contimg.common.files.names import printable

Record = TypeVar("Record")

# A 64-bit key that SQLite still numbers by itself: there only INTEGER PRIMARY KEY is the row id.
_Key = BigInteger().with_variant(Integer(), "sqlite")
_PATH_LENGTH = 1024


class PrintableText(TypeDecorator[str]):
    """Text on one line, stored as `names.printable` returns it: names of files come from anywhere."""

    impl: Any = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Make a value printable on its way to the database.

        Parameters
        ----------
        value : of the column; None stays None.
        dialect : of the database; any.
        """
        return None if value is None else printable(value)


class PrintablePath(PrintableText):
    """A path as `PrintableText`, cut at the length of the column."""

    impl = String(_PATH_LENGTH)
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Make a path printable and cut it; see `PrintableText`."""
        text = super().process_bind_param(value, dialect)
        return text if text is None or len(text) <= _PATH_LENGTH else f"{text[: _PATH_LENGTH - 1]}…"


def partial_index(name: str, condition: str, *columns: str, unique: bool = False) -> Index:
    """An index over the rows that meet a condition."""
    criterion = text(condition)
    return Index(name, *columns, unique=unique, sqlite_where=criterion, postgresql_where=criterion)


def partial_unique(name: str, condition: str, *columns: str) -> Index:
    """A unique index over the rows that meet a condition."""
    return partial_index(name, condition, *columns, unique=True)


class Base(DeclarativeBase):
    """The metadata that Alembic and the tests compare a database against."""

    type_annotation_map = {float: Double, int: BigInteger, dict[str, Any]: JSON, list[Any]: JSON}  # noqa: RUF012


class Numbered(Base):
    """A table whose rows the database numbers."""

    __abstract__ = True

    id: Mapped[int] = mapped_column(_Key, primary_key=True)


def add_number_columns(model: type[Base], product: type) -> None:
    """Add a column for every number of a product that the model does not declare."""
    for name, hint in get_type_hints(product).items():
        kinds = get_args(hint) or (hint,)
        if not hasattr(model, name) and (int in kinds or float in kinds):
            column_type = Double if float in kinds else BigInteger
            setattr(model, name, mapped_column(column_type, nullable=NoneType in kinds))


def record_of(cls: type[Record], row: Any, **more: Any) -> Record:
    """Make a record from the like-named columns of a row.

    Parameters
    ----------
    cls : a dataclass; text becomes the path or the enum of a field's type, and `group` is the row's `group_id`.
    row : a row of the table that holds the record.
    more : fields that no column holds, or that replace one.
    """
    values = dict(more)
    for name, convert in _converters(cls).items():  # type: ignore[arg-type]  # a class is hashable
        column = "group_id" if name == "group" else name
        if name not in more and hasattr(row, column):
            value = getattr(row, column)
            values[name] = convert(value) if convert and value is not None else value
    return cls(**values)


@cache
def _converters(cls: type) -> Mapping[str, Callable[[Any], Any] | None]:
    """What a column's value is converted with, by the name of the dataclass's field; None leaves it as it is."""
    return {name: _converter(hint) for name, hint in get_type_hints(cls).items()}


def _converter(hint: Any) -> Callable[[Any], Any] | None:
    if get_origin(hint) is tuple:
        return tuple
    kinds = (kind for kind in get_args(hint) or (hint,) if kind is Path or isinstance(kind, EnumType))
    return next(kinds, None)
