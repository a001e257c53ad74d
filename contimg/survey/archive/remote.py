"""Directories of other machines, through rsync over ssh. No shell runs here; rsync protects the names there."""

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from contimg.common.errors import Misconfigured, Transient
from contimg.common.files.checksums import checksum
from contimg.survey.archive.places import MARKER, Absent, Place, PlaceAway, SourceDiffers

CONNECT_LIMIT_S, SILENCE_LIMIT_S = 15, 120
_AWAY_STATUS = (5, 10, 12, 30, 35, 255)  # of rsync: connection, protocol, time limit; of ssh: any failure
_NO_FILE = re.compile(r"No such file or directory \(2\)|change_dir .* failed")


class RemotePlace(Place):
    """A directory of another machine.

    rsync writes each file under a temporary name and renames it; those of a directory it renames together at the end.
    A copy is read back by transferring it.
    """

    @property
    def _root(self) -> str:
        parts = self.rule.remote_parts()
        return f"{parts['user']}{parts['host']}:{parts['path']}"

    def command(self, sources: Sequence[str], target: str) -> list[str]:
        """Return the command line of a transfer.

        Parameters
        ----------
        sources, target : local paths, which are absolute, or `[USER@]HOST:PATH`.
        """
        port = self.rule.remote_parts()["port"]
        shell = f"ssh -o BatchMode=yes -o ConnectTimeout={CONNECT_LIMIT_S}" + (f" -p {port}" if port else "")
        options = ("--recursive", "--times", "--perms", "--delete", "--delay-updates", "--mkpath", "--protect-args")
        return ["rsync", *options, f"--timeout={SILENCE_LIMIT_S}", f"--rsh={shell}", "--", *sources, target]

    def _read_marker(self) -> str | None:
        with TemporaryDirectory(prefix="contimg-archive-") as scratch:
            try:
                self._transfer([f"{self._root}/{MARKER}"], f"{scratch}/")
            except Absent:
                return None
            return (Path(scratch) / MARKER).read_text(encoding="utf-8", errors="replace")

    def _write_marker(self, text: str) -> None:
        with TemporaryDirectory(prefix="contimg-archive-") as scratch:
            path = Path(scratch) / MARKER
            path.write_text(text, encoding="utf-8")
            self._transfer([str(path)], f"{self._root}/{MARKER}")

    def _copy(self, source: Path, name: str, expected: str | None) -> str:
        digest = checksum(source).sha256
        if expected not in (None, digest):
            raise SourceDiffers(source, digest)
        slash = "/" if source.is_dir() else ""
        self._transfer([f"{source.absolute()}{slash}"], f"{self._root}/{name}{slash}")
        return digest

    def _read_back(self, name: str) -> str:
        with TemporaryDirectory(prefix="contimg-archive-") as scratch:
            return self._fetch(name, Path(scratch) / "copy")

    def _fetch(self, name: str, target: Path) -> str:
        with TemporaryDirectory(prefix=f"{target.name}.", dir=target.parent) as scratch:
            self._transfer([f"{self._root}/{name}"], f"{scratch}/")
            (Path(scratch) / Path(name).name).rename(target)
        return checksum(target).sha256

    def _transfer(self, sources: Sequence[str], target: str) -> None:
        command, environ = self.command(sources, target), {**os.environ, "LC_ALL": "C"}
        try:
            outcome = subprocess.run(
                command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
                check=False,
            )  # fmt: skip
        except FileNotFoundError:
            raise Misconfigured(f"{self.rule.url}: rsync is not installed; install it") from None
        if outcome.returncode == 0:
            return
        lines = outcome.stderr.strip().splitlines()
        reason = lines[0] if lines else f"exit status {outcome.returncode}"
        if outcome.returncode == 23 and _NO_FILE.search(outcome.stderr):
            raise Absent(f"{self.rule.url}: {reason}")
        error = PlaceAway if outcome.returncode in _AWAY_STATUS else Transient
        raise error(f"{self.rule.url}: rsync: {reason}")
