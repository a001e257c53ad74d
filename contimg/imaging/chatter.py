"""What a C++ library prints on standard output, put into the log instead."""

import ctypes
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_STDOUT = 1
_one_at_a_time = Lock()  # the file descriptor belongs to the whole process


@contextmanager
def chatter_logged(log: logging.Logger) -> Iterator[None]:
    """Take the process's standard output for the length of a block; its lines go to `log` at level debug."""
    with _one_at_a_time, tempfile.TemporaryFile() as caught:
        _flush()
        kept = os.dup(_STDOUT)
        os.dup2(caught.fileno(), _STDOUT)
        try:
            yield
        finally:
            _flush()
            os.dup2(kept, _STDOUT)
            os.close(kept)
            caught.seek(0)
            for line in caught.read().decode(errors="replace").splitlines():
                log.debug("%s", line)


def _flush() -> None:
    sys.stdout.flush()
    ctypes.CDLL(None).fflush(None)
