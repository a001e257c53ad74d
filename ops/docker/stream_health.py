"""Check the health of the `stream` container by the age of its last successful scan."""

import sys

from contimg.settings import Settings
from workers.service import StreamingServiceManager

if __name__ == "__main__":
    sys.exit(StreamingServiceManager(Settings.from_environment()).health().error)  # None (exit status 0), or the error
