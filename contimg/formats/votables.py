"""Elements of VOTables as text (IVOA VOTable 1.4): fields with UCDs, parameters, rows, answers of VO services."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape, quoteattr

HEAD = (
    '<?xml version="1.0" encoding="utf-8"?>\n'
    '<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">\n'
)  # fmt: skip
END = "</VOTABLE>\n"
MEDIA_TYPE = "application/x-votable+xml"
_TYPES = {
    "long": 'datatype="long"', "int": 'datatype="int"', "double": 'datatype="double"', "boolean": 'datatype="boolean"',
    "char": 'datatype="char" arraysize="*"', "text": 'datatype="unicodeChar" arraysize="*"',
}  # fmt: skip


@dataclass(frozen=True)
class VOField:
    """A column or parameter of a VOTable.

    Attributes
    ----------
    name : of the column.
    kind : `long`, `int`, `double`, `boolean`, `char` (ASCII) or `text`.
    unit, ucd, utype, xtype, description : as in VOTable; empty for none.
    id, ref : XML identifier of the field, and of the coordinate system that it refers to.
    """

    name: str
    kind: str
    unit: str = ""
    ucd: str = ""
    description: str = ""
    utype: str = ""
    xtype: str = ""
    id: str = ""
    ref: str = ""

    def element(self) -> str:
        """Return the field as an element."""
        return f"<FIELD {self._attributes()}>{self._description()}</FIELD>\n"

    def parameter(self, value: Any) -> str:
        """Return a parameter with a value.

        Parameters
        ----------
        value : None for an empty one.
        """
        return f"<PARAM {self._attributes()} value={quoteattr(format_cell(value))}>{self._description()}</PARAM>\n"

    def _attributes(self) -> str:
        texts = (
            ("ID", self.id), ("ref", self.ref), ("unit", self.unit), ("ucd", self.ucd), ("utype", self.utype),
            ("xtype", self.xtype),
        )  # fmt: skip
        further = "".join(f" {name}={quoteattr(text)}" for name, text in texts if text)
        return f"name={quoteattr(self.name)} {_TYPES[self.kind]}{further}"

    def _description(self) -> str:
        return f"<DESCRIPTION>{escape(self.description)}</DESCRIPTION>" if self.description else ""


def info(name: str, value: str, text: str = "") -> str:
    """Return an INFO element.

    Parameters
    ----------
    name, value, text : of the element.
    """
    return f"<INFO name={quoteattr(name)} value={quoteattr(value)}>{escape(text)}</INFO>\n"


def format_cell(value: Any) -> str:
    """Return a value as the text of a cell, without escapes; empty for None and NaN.

    Parameters
    ----------
    value : a number, a boolean, a text or None.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return "T" if value else "F"
    return str(value)


def row(values: Iterable[Any]) -> str:
    """Return a row of a table.

    Parameters
    ----------
    values : in the order of the fields.
    """
    return f"<TR><TD>{'</TD><TD>'.join(escape(format_cell(value)) for value in values)}</TD></TR>\n"


def table(fields: Sequence[VOField], rows: Iterable[Sequence[Any]], parameters: str = "", name: str = "") -> str:
    """Return a table.

    Parameters
    ----------
    fields : its columns.
    rows : values in the order of the columns.
    parameters : elements before the fields.
    name : of the table.
    """
    start = f"<TABLE name={quoteattr(name)}>\n" if name else "<TABLE>\n"
    columns = "".join(field.element() for field in fields)
    return f"{start}{columns}{parameters}<DATA><TABLEDATA>\n{''.join(map(row, rows))}</TABLEDATA></DATA>\n</TABLE>\n"


def results(
    fields: Sequence[VOField], rows: Iterable[Sequence[Any]], *, is_cut: bool, frame: str = "", further: str = "",
    about: Mapping[str, str] | None = None,
) -> bytes:  # fmt: skip
    """Return the answer of a VO service (IVOA DALI 1.1): a resource of results with its status.

    Parameters
    ----------
    fields, rows : the table.
    is_cut : whether more rows match than are sent.
    frame : elements of coordinate systems that the fields refer to.
    further : resources after that of the results.
    about : further INFO elements by name.
    """
    infos = info("QUERY_STATUS", "OK") + "".join(info(name, value) for name, value in (about or {}).items())
    overflow = info("QUERY_STATUS", "OVERFLOW", "more rows match; raise MAXREC") if is_cut else ""
    resource = f'<RESOURCE type="results">\n{infos}{frame}{table(fields, rows)}{overflow}</RESOURCE>\n'
    return f"{HEAD}{resource}{further}{END}".encode()


def error(text: str) -> bytes:
    """Return the answer of a VO service to a request that it cannot fulfil; also as Simple Cone Search has it.

    Parameters
    ----------
    text : what is wrong, beginning with the fault's class, such as `UsageFault`.
    """
    status = info("QUERY_STATUS", "ERROR", text)
    cone = f'<INFO ID="Error" name="Error" value={quoteattr(text)}/>\n'
    return f'{HEAD}<RESOURCE type="results">\n{status}{cone}</RESOURCE>\n{END}'.encode()
