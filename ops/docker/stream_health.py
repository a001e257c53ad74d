"""The health of the `stream` container: the age of its last successful scan, not the life of its process."""

import sys

from contimg.settings import Settings
from workers.service import StreamingServiceManager

if __name__ == "__main__":
    sys.exit(StreamingServiceManager(Settings.from_environment()).health().error)  # None, which is 0, or what is wrong
