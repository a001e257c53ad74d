"""The archive follows the stream: `contimg archive copy` as a child process, and the alert `archive`."""

import os
import subprocess
import sys
import time

from contimg.common.errors import Transient
from contimg.common.files.processes import module_environment, start_bound
from contimg.common.units import format_utc, number_of
from contimg.settings import Settings
from contimg.settings.alerts import RULE_LEVELS
from contimg.store import Store
from contimg.store.survey.archive.copies import AWAY, FRESH_S
from contimg.survey.archive.options import ArchiveOptions, PlaceRule, read_places

SHOWN = 3  # files that the alert names
COMMAND = ("nice", "-n", "10", sys.executable, "-m", "contimg", "archive", "copy", "--audit")


class ArchiveRounds:
    """Starts a round of the archive every `CONTIMG_ARCHIVE_INTERVAL_S`, and raises or ends the alert.

    Parameters
    ----------
    store : with the files, copies and places.
    options : name the places.
    settings : give the directory that paths are relative to.

    Raises
    ------
    Misconfigured : the places are not described correctly.
    """

    def __init__(self, store: Store, options: ArchiveOptions, settings: Settings) -> None:
        self._store, self._options = store, options
        self._rules = read_places(options, settings.base_dir)
        self._child: subprocess.Popen[bytes] | None = None
        self._due_s = 0.0
        self._began_at = store.database.clock()

    def check(self) -> bool:
        """Start a round if one is due and none runs; return whether one runs now.

        Raises
        ------
        Transient : the last round failed; the next one is tried at its time.
        """
        problem = archive_problem(self._store, self._rules, self._began_at) if self._rules else None
        self._store.alerts.update("archive", problem, level=RULE_LEVELS["archive"], end_text="archive: over")
        if self._child is not None:
            if self._child.poll() is None:
                return True
            child, self._child = self._child, None
            lines = child.communicate()[1].decode(errors="replace").strip().splitlines()
            if child.returncode:
                raise Transient(f"contimg archive copy: {lines[-1] if lines else f'exit status {child.returncode}'}")
        if not self._rules or time.monotonic() < self._due_s:
            return False
        self._due_s = time.monotonic() + self._options.interval_s
        environ = module_environment(os.environ, "1")
        self._child = start_bound(COMMAND, environ=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        return True


def archive_problem(store: Store, rules: tuple[PlaceRule, ...], began_at: float) -> str | None:
    """Return the text of the alert `archive`; None while there is nothing to report.

    Parameters
    ----------
    store : with the files, copies and places.
    rules : the places.
    began_at : since when rounds are run, epoch seconds; a place that was never checked counts from then.
    """
    now, states, texts = store.database.clock(), store.archive.places(), []
    for rule in rules:
        state = states.get(rule.name)
        checked_at = state.checked_at if state else began_at
        if state is not None and state.state == AWAY:
            texts.append(f"{rule.name} is away since {format_utc(state.since)}: {state.error}")
        elif now - checked_at > FRESH_S:
            texts.append(f"{rule.name} is not checked since {format_utc(checked_at)}; see the log of the producer")
    if texts:
        texts.append("nothing that needs a verified copy there is deleted")
    problems = store.archive_overview.problems()
    if problems:
        names = [f"{row.path.name} ({f'{row.place}, ' if row.place else ''}{row.state})" for row in problems[:SHOWN]]
        text = f"{number_of(len(problems), 'file')} corrupt or missing: {', '.join(names)}"
        remedy = "; run `contimg archive restore`" if any(row.place is None for row in problems) else ""
        texts.append(text + (", ..." if len(problems) > SHOWN else "") + remedy)
    failed = store.archive.failed_jobs()
    if failed:
        texts.append(f"{number_of(len(failed), 'job')} failed, {failed[0].key}: {failed[0].error}")
    return f"archive: {'; '.join(texts)}" if texts else None
