"""Events told to somebody elsewhere: by POST to a webhook, and to a command on its standard input. Rate-limited.

What cannot be told now is told with the next; the stream never waits for it.
"""

import json
import logging
import shlex
import socket
import subprocess
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from contimg.errors import Misconfigured
from contimg.settings import NotificationSettings
from contimg.store import EventRecord, Store

log = logging.getLogger(__name__)
_LIMIT_S = 10.0
_HOUR_S = 3600.0
_LEVELS = ("info", "warning", "error")
CURSOR = "notify.cursor"


class Notifier:
    """Tells events of a level and above, each once, oldest first; it goes on where the last one stopped."""

    def __init__(self, store: Store, rules: NotificationSettings, clock: Callable[[], float] = time.time) -> None:
        if rules.notify_webhook and not rules.notify_webhook.startswith(("http://", "https://")):
            raise Misconfigured("CONTIMG_NOTIFY_WEBHOOK: must begin with http:// or https://")
        self._store = store
        self._rules = rules
        self._clock = clock
        self._told: deque[float] = deque()
        self._levels = _LEVELS[_LEVELS.index(rules.notify_level) :]
        self._held_back = 0
        self._last = self._start()

    @property
    def is_wanted(self) -> bool:
        """Whether anybody is to be told."""
        return bool(self._rules.notify_webhook or self._rules.notify_command)

    def look(self) -> None:
        """Tell what is new. OSError when nobody took it: the same is told at the next look."""
        for event in self._store.events.after(self._last):
            if event.level in self._levels:
                if self._may_tell():
                    self._tell(event)
                else:
                    self._held_back += 1
            self._last = event.id
            self._store.activity.beat(CURSOR, str(event.id))

    def _start(self) -> int:
        """After the last event that was told, or after all there are when nothing ever was."""
        newest = self._store.events.last(1)
        cursor = self._store.activity.beat_text(CURSOR)
        return int(cursor) if cursor else (newest[0].id if newest else 0)

    def _may_tell(self) -> bool:
        now = self._clock()
        while self._told and self._told[0] < now - _HOUR_S:
            self._told.popleft()
        return len(self._told) < self._rules.notify_per_hour

    def _tell(self, event: EventRecord) -> None:
        said: dict[str, Any] = {**asdict(event), "host": socket.gethostname(), "held_back": self._held_back}
        text = json.dumps(said).encode()
        if self._rules.notify_webhook:
            _post(self._rules.notify_webhook, text)
        if self._rules.notify_command:
            _run(self._rules.notify_command, text)
        self._told.append(self._clock())
        self._held_back = 0


def _post(url: str, text: bytes) -> None:
    request = Request(url, data=text, headers={"Content-Type": "application/json"}, method="POST")  # noqa: S310
    try:
        with urlopen(request, timeout=_LIMIT_S):  # noqa: S310 (http or https, checked above)
            pass
    except URLError as error:
        raise OSError(f"the webhook did not take an event ({error.reason}); trying again") from None


def _run(command: str, text: bytes) -> None:
    try:
        subprocess.run(
            shlex.split(command), input=text, timeout=_LIMIT_S, check=True, capture_output=True, start_new_session=True
        )
    except (subprocess.SubprocessError, OSError) as error:
        raise OSError(f"the notification command {shlex.split(command)[0]} failed ({error}); trying again") from None
