"""A column of a Measurement Set's main table made like another."""

from typing import Any

from casacore.tables import makecoldesc, maketabdesc, table


def add_like(main: table, name: str, like: str, keywords: dict[str, Any]) -> None:
    """Add column `name` with the type, shape and tiling of column `like`, and its keywords from the first instant on.

    A process that dies right after leaves a column that says what it is.
    """
    described = main.getcoldesc(like)
    described["comment"] = f"made like {like}"
    described["keywords"] = keywords
    described.pop("dataManagerGroup", None)
    manager = main.getdminfo(like)
    spec = {"DEFAULTTILESHAPE": manager["SPEC"]["DEFAULTTILESHAPE"]} if "Tiled" in manager["TYPE"] else {}
    info = {"TYPE": manager["TYPE"], "NAME": f"Tiled{name.title().replace('_', '')}", "SPEC": spec}
    if not spec:
        info = {"TYPE": "StandardStMan", "NAME": f"Standard{name.title().replace('_', '')}", "SPEC": {}}
    main.addcols(maketabdesc(makecoldesc(name, described)), info)
