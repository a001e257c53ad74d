"""`/api/store`: revision and sizes of the store."""

from dataclasses import dataclass
from typing import Annotated

from contimg.formats.records import about
from contimg.store import StoreSizes
from contimg.store.database import HEAD
from web.context import current_panel
from web.http.api import Api

store_sizes = Api("store_api", "/api/store")


@dataclass(frozen=True)
class StoreReport:
    """The store's revision and size now, and its sizes by table as they were recorded last."""

    revision: Annotated[str, about("Revision of the tables", example="0007")]
    bytes: Annotated[int, about("Size of the database now", "byte", 1_020_000_000)]
    recorded: Annotated[
        StoreSizes | None, about("Sizes of each table, recorded once a day; null before the first record")
    ]


@store_sizes.read("", StoreReport)
def read_store() -> StoreReport:
    """Revision and sizes of the store.

    The size of the database is the present one; those of each table are recorded once a day.
    """
    sizes = current_panel().store.sizes
    return StoreReport(HEAD, sizes.total_bytes(), sizes.last())
