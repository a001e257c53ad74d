"""Notifications: events sent to a webhook, to services that apprise supports, and to a command; limited in rate.

Events that no recipient accepts are sent again in the next round; the stream never waits for them.
"""

import json
import logging
import shlex
import socket
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from contimg.errors import Misconfigured
from contimg.settings import NotificationSettings
from contimg.store import EventRecord, Store

log = logging.getLogger(__name__)
_SEND_LIMIT_S = 10.0
_HOUR_S = 3600.0
_LEVELS = ("info", "warning", "error")
_APPRISE_TYPES = {"info": "info", "warning": "warning", "error": "failure"}
CURSOR = "notify.cursor"
Send = Callable[[Mapping[str, Any]], None]


class Notifier:
    """Sends each event of a level and above once, oldest first, and continues where the last process stopped.

    Parameters
    ----------
    store : store that holds the events and the id of the last one sent.
    settings : recipients, level and rate.
    clock : returns the time, seconds since 1970.

    Raises
    ------
    Misconfigured : a URL is not usable; the message does not show it.
    """

    def __init__(self, store: Store, settings: NotificationSettings, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._limit_per_hour = settings.notify_per_hour
        self._clock = clock
        self._recipients = _recipients(settings)
        self._levels = _LEVELS[_LEVELS.index(settings.notify_level) :]
        self._sent_at: deque[float] = deque()
        self._held_back = 0
        newest, cursor = store.events.last(1), store.activity.beat_text(CURSOR)
        self._last_id = int(cursor) if cursor else newest[0].id if newest else 0

    @property
    def is_enabled(self) -> bool:
        """Whether there is a recipient."""
        return bool(self._recipients)

    def send_new(self) -> None:
        """Send the events since the last call.

        Raises
        ------
        OSError : no recipient accepted an event; it is sent again at the next call.
        """
        for event in self._store.events.after(self._last_id):
            if event.level in self._levels:
                if self._is_within_rate():
                    self._send(event)
                else:
                    self._held_back += 1
            self._last_id = event.id
            self._store.activity.beat(CURSOR, str(event.id))

    def _is_within_rate(self) -> bool:
        now = self._clock()
        while self._sent_at and self._sent_at[0] < now - _HOUR_S:
            self._sent_at.popleft()
        return len(self._sent_at) < self._limit_per_hour

    def _send(self, event: EventRecord) -> None:
        message = {**asdict(event), "host": socket.gethostname(), "held_back": self._held_back}
        failures = []
        for send in self._recipients:
            try:
                send(message)
            except OSError as error:
                failures.append(str(error))
        if len(failures) == len(self._recipients):
            raise OSError(f"event {event.id} was not sent: {'; '.join(failures)}")
        for failure in failures:
            log.warning("event %d was sent to %d of %d recipients: %s", event.id,
                        len(self._recipients) - len(failures), len(self._recipients), failure)  # fmt: skip
        self._sent_at.append(self._clock())
        self._held_back = 0


def _recipients(settings: NotificationSettings) -> list[Send]:
    """List a function for each recipient; it raises OSError when the recipient does not accept a message."""
    recipients: list[Send] = []
    if url := settings.notify_webhook:
        if not url.startswith(("http://", "https://")):
            raise Misconfigured("CONTIMG_NOTIFY_WEBHOOK: must begin with http:// or https://")
        recipients.append(lambda message: _post(url, message))
    recipients += [_apprise_service(number, url) for number, url in enumerate(settings.notify_urls.split(), 1)]
    if settings.notify_command:
        recipients.append(lambda message: _run(settings.notify_command, message))
    return recipients


def _apprise_service(number: int, url: str) -> Send:
    from apprise import Apprise, AppriseAsset, NotifyFormat, NotifyType  # half a second, only where it is used

    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # its lines show URLs with their passwords
    service = Apprise(asset=AppriseAsset(app_id="contimg", async_mode=False))
    if not service.add(url):
        raise Misconfigured(
            f"CONTIMG_NOTIFY_URLS: URL {number} ({url.partition('://')[0][:20]}://***): not a URL that apprise "
            "supports; see https://appriseit.com/services/"
        )

    def send(message: Mapping[str, Any]) -> None:
        held_back = f" ({message['held_back']} earlier events were held back)" if message["held_back"] else ""
        result = service.notify(
            title=f"contimg on {message['host']}: {message['level']}",
            body=f"{message['group'] or ''} {message['text']}{held_back}".strip(),
            notify_type=NotifyType(_APPRISE_TYPES[message["level"]]),
            body_format=NotifyFormat.TEXT,
            timeout=_SEND_LIMIT_S,
        )
        if not result:
            raise OSError(f"{service[0].url(privacy=True)} (CONTIMG_NOTIFY_URLS, URL {number}) did not accept it")

    return send


def _post(url: str, message: Mapping[str, Any]) -> None:
    request = Request(  # noqa: S310 (http or https, checked above)
        url, data=json.dumps(message).encode(), headers={"Content-Type": "application/json"}, method="POST"
    )
    try:
        with urlopen(request, timeout=_SEND_LIMIT_S):  # noqa: S310
            pass
    except URLError as error:
        raise OSError(f"CONTIMG_NOTIFY_WEBHOOK did not accept it ({error.reason})") from None


def _run(command: str, message: Mapping[str, Any]) -> None:
    words = shlex.split(command)
    try:
        subprocess.run(
            words, input=json.dumps(message).encode(), timeout=_SEND_LIMIT_S, check=True, capture_output=True,
            start_new_session=True,
        )  # fmt: skip
    except (subprocess.SubprocessError, OSError) as error:
        raise OSError(f"CONTIMG_NOTIFY_COMMAND {words[0]} failed ({error})") from None
