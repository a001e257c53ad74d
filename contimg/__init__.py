"""contimg: the DSA-110's live stream of subband files, turned into calibrated continuum images."""

import os
import tempfile
from pathlib import Path

__version__ = "0.1.0"


def _place_numba_cache() -> None:
    """Name a directory for numba's compiled functions where this user may write neither to the package nor at home.

    Numba refuses to import them without one. It must be set before numba is imported.
    """
    usual = (Path(__file__).parent, Path("~").expanduser())
    if "NUMBA_CACHE_DIR" in os.environ or any(os.access(path, os.W_OK) for path in usual):
        return
    directory = Path(tempfile.gettempdir(), f"contimg-numba-{os.geteuid()}")
    directory.mkdir(mode=0o700, exist_ok=True)
    if directory.lstat().st_uid != os.geteuid():  # another user has made it
        directory = Path(tempfile.mkdtemp(prefix="contimg-numba-"))
    os.environ["NUMBA_CACHE_DIR"] = str(directory)


_place_numba_cache()
