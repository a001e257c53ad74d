"""The health of the `stream` container: the age of its last successful scan, not the life of its process."""

import sys
import time

from contimg.config import load, settings_from
from contimg.errors import ContimgError
from contimg.store import Store
from web.condition import duration, scan_patience_s
from web.service import SCAN


def main() -> str | None:
    """None when healthy, otherwise what is wrong: sys.exit takes either."""
    try:
        config = load(settings_from())
        store = Store.of(config)
    except ContimgError as error:
        return str(error)
    try:
        scanned_at = store.queue.last_beat(SCAN)
    finally:
        store.close()
    if scanned_at is None:
        return f"{config.input_dir}: never scanned"
    age_s = time.time() - scanned_at
    if age_s > scan_patience_s(config.poll_interval):
        return f"{config.input_dir}: last scanned {duration(age_s)} ago"
    return None


if __name__ == "__main__":
    sys.exit(main())
