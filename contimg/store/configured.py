"""The store that the configuration names, for one command or one look."""

from collections.abc import Iterator
from contextlib import contextmanager

from contimg.settings import Settings, load
from contimg.store import Store


@contextmanager
def opened() -> Iterator[Store]:
    """The configured store, closed at the end."""
    store = Store.of(load(Settings.from_environment()))
    try:
        yield store
    finally:
        store.close()
