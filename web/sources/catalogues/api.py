"""`/api/catalogues`: the installed reference catalogues, their provenance, and what they cover."""

from web.http.api import Api
from web.sources.catalogues.service import CatalogueList, list_catalogues

catalogues = Api("catalogues", "/api/catalogues")


@catalogues.read("", CatalogueList)
def read() -> CatalogueList:
    """The installed reference catalogues, by name: what they are, where they come from and what they cover.

    `contimg catalogue` builds, merges and queries them.
    """
    return list_catalogues()
