"""The HiPS of the sky follows the store's good mosaics: `contimg epochs sky` as a child process when they change."""

import os
import subprocess
import sys

from contimg.common.errors import Transient
from contimg.common.files.processes import module_environment, start_bound
from contimg.store import Store

COMMAND = ("nice", "-n", "10", sys.executable, "-m", "contimg", "epochs", "sky")


class HipsUpdater:
    """Starts an update when a mosaic was stored, made again or deleted since the last one that succeeded.

    After the start of the service an update runs once, which completes one that was killed. The child keeps its memory
    and its processor time out of the producer, and ends with it.

    Parameters
    ----------
    store : shows the changes.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._child: subprocess.Popen[bytes] | None = None
        self._started: tuple[int, float] | None = None
        self._updated: tuple[int, float] | None = None

    def check(self) -> bool:
        """Start an update if one is due and none runs; return whether one runs now.

        Raises
        ------
        Transient : the last update failed; the next call starts another.
        """
        if self._child is not None:
            if self._child.poll() is None:
                return True
            child, self._child = self._child, None
            lines = child.communicate()[1].decode(errors="replace").strip().splitlines()
            if child.returncode:
                raise Transient(f"contimg epochs sky: {lines[-1] if lines else f'exit status {child.returncode}'}")
            self._updated = self._started
        change = self._store.mosaics.last_change()
        if change is None or change == self._updated:
            return False
        self._started = change
        environ = module_environment(os.environ, "1")
        self._child = start_bound(COMMAND, environ=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        return True
