"""VOSI 1.1 resources of a service: its capabilities, availability, and tables, as XML."""

from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

from contimg.formats.votables import VOField

_HEAD = '<?xml version="1.0" encoding="utf-8"?>\n'
_XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
CONE, IMAGES = "ivo://ivoa.net/std/ConeSearch", "ivo://ivoa.net/std/SIA#query-2.0"
_VOSI = "ivo://ivoa.net/std/VOSI"
_TYPES = {"long": "long", "int": "int", "double": "double", "boolean": "boolean", "char": "char", "text": "unicodeChar"}


def capabilities(address: str, standard: str) -> str:
    """Return the capabilities of a service.

    Parameters
    ----------
    address : absolute address of the service.
    standard : `CONE` or `IMAGES`.
    """
    # Each resource is described by the interface of its standard (VODataService 1.1).
    interface = _interface(address, "std", "base" if standard == CONE else "full")
    extra = ""
    kind = ""
    if standard == CONE:
        kind = ' xsi:type="cs:ConeSearch"'
        extra = (
            "<maxSR>180</maxSR><maxRecords>10000</maxRecords><verbosity>true</verbosity>"
            "<testQuery><ra>0</ra><dec>16</dec><sr>1</sr></testQuery>"
        )  # fmt: skip
    own = f"<capability standardID={quoteattr(standard)}{kind}>{interface}{extra}</capability>\n"
    resources = "".join(
        f'<capability standardID="{_VOSI}#{name}">{_interface(f"{address}/{name}", "", "full")}</capability>\n'
        for name in ("capabilities", "availability", "tables")
    )
    return (
        f'{_HEAD}<vosi:capabilities xmlns:vosi="http://www.ivoa.net/xml/VOSICapabilities/v1.0" '
        f'xmlns:vs="http://www.ivoa.net/xml/VODataService/v1.1" xmlns:cs="http://www.ivoa.net/xml/ConeSearch/v1.0" '
        f"{_XSI}>\n{own}{resources}</vosi:capabilities>\n"
    )


def _interface(address: str, role: str, use: str) -> str:
    of_role = f' role="{role}"' if role else ""
    url = f'<accessURL use="{use}">{escape(address)}</accessURL>'
    return f'<interface xsi:type="vs:ParamHTTP"{of_role}>{url}</interface>'


def availability(note: str) -> str:
    """Return that a service is available.

    Parameters
    ----------
    note : what it serves.
    """
    return (
        f'{_HEAD}<vosi:availability xmlns:vosi="http://www.ivoa.net/xml/VOSIAvailability/v1.0">'
        f"<vosi:available>true</vosi:available><vosi:note>{escape(note)}</vosi:note></vosi:availability>\n"
    )


def tables(name: str, fields: Sequence[VOField]) -> str:
    """Return the table that a service answers with.

    Parameters
    ----------
    name : of the table.
    fields : its columns.
    """
    columns = "".join(
        f"<column><name>{escape(field.name)}</name><description>{escape(field.description)}</description>"
        f"<unit>{escape(field.unit)}</unit><ucd>{escape(field.ucd)}</ucd><utype>{escape(field.utype)}</utype>"
        f'<dataType xsi:type="vs:VOTableType"{_size(field)}>{_TYPES[field.kind]}</dataType></column>\n'
        for field in fields
    )
    return (
        f'{_HEAD}<vosi:tableset xmlns:vosi="http://www.ivoa.net/xml/VOSITables/v1.0" '
        f'xmlns:vs="http://www.ivoa.net/xml/VODataService/v1.1" {_XSI}>\n<schema><name>contimg</name>\n'
        f'<table type="output"><name>{escape(name)}</name>\n{columns}</table></schema></vosi:tableset>\n'
    )


def _size(field: VOField) -> str:
    return ' arraysize="*"' if field.kind in ("char", "text") else ""
