"""Notifications: events sent to a webhook, to services that apprise supports, and to a command; limited in rate.

Each recipient gets the events in order and continues where it stopped, so that one that is away keeps nothing from the
others. What it does not accept for now is sent again in the next round; an event that it refuses for good is recorded
and left out, so that it does not hold back later ones. The stream never waits for a recipient.
"""

import hashlib
import json
import logging
import shlex
import socket
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from contimg.errors import BadInput, ContimgError, Misconfigured, Transient
from contimg.settings import NotificationSettings
from contimg.store import EventRecord, Store
from contimg.units import format_duration

log = logging.getLogger(__name__)
_SEND_LIMIT_S = 10.0
_HOUR_S = 3600.0
_LEVELS = ("info", "warning", "error")
_APPRISE_TYPES = {"info": "info", "warning": "warning", "error": "failure"}
# Answers of a webhook to the address or the sender, not to the event: it is sent again.
_PASSING = frozenset({301, 302, 303, 307, 308, 401, 402, 403, 404, 405, 407, 408, 409, 410, 421, 423, 425, 429})
ALERT = "notification"
ALERT_AFTER_S = 60.0  # a recipient that is away for less, for example while it restarts, raises no alert
REFUSAL_SHOWN_S = 86400.0
CURSOR = "notify.cursor"
REFUSAL = "notify.refused"
Send = Callable[[Mapping[str, Any]], None]


@dataclass
class Recipient:
    """A recipient of notifications.

    Attributes
    ----------
    key : names its cursor in the store.
    send : sends a message; raises BadInput when it is refused for good, Transient when it is not accepted for now.
    cursor : id of the last event that was sent, refused for good, or not to be sent.
    held_back : events above the rate since the last one sent.
    failing_since : time of the first of the present failures, epoch seconds; None when the last event was sent.
    """

    key: str
    send: Send
    cursor: int = 0
    held_back: int = 0
    failing_since: float | None = None
    error: str = ""
    sent_at: deque[float] = field(default_factory=deque)


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
        self._levels = _LEVELS[_LEVELS.index(settings.notify_level) :]
        newest = store.events.last(1)
        self._recipients = [Recipient(key, send) for key, send in _recipients(settings).items()]
        for recipient in self._recipients:
            cursor = store.activity.beat_text(f"{CURSOR}.{recipient.key}") or store.activity.beat_text(CURSOR)
            recipient.cursor = int(cursor) if cursor else newest[0].id if newest else 0

    @property
    def is_enabled(self) -> bool:
        """Whether there is a recipient."""
        return bool(self._recipients)

    def send_new(self) -> None:
        """Send the events since the last call, and begin or end the alert of undelivered ones.

        Raises
        ------
        Transient : a recipient does not accept events for now; they are sent again at the next call.
        """
        for recipient in self._recipients:
            before = recipient.cursor
            error = self._send_to(recipient)
            if error is None:
                recipient.failing_since = None
            elif recipient.failing_since is None:
                recipient.failing_since = self._clock()
            recipient.error = str(error or "")
            if recipient.cursor != before:
                self._store.activity.beat(f"{CURSOR}.{recipient.key}", str(recipient.cursor))
        self._store.alerts.update(ALERT, self._problem(), end_text=f"{ALERT}: over, every recipient accepts events")
        if errors := [recipient.error for recipient in self._recipients if recipient.error]:
            raise Transient("; ".join(errors))

    def _send_to(self, recipient: Recipient) -> Transient | None:
        """Send a recipient its events; return why it does not accept them for now, or None.

        An event that fails while a later one is accepted is refused for good: the recipient is not away.
        """
        failed: tuple[EventRecord, Transient] | None = None
        for event in self._store.events.after(recipient.cursor):
            if event.level in self._levels and not self._is_within_rate(recipient):
                recipient.held_back += 1
            elif event.level in self._levels:
                try:
                    self._send(recipient, event)
                except Transient as error:
                    if failed:
                        return error
                    failed = event, error
                    continue
                except BadInput as error:
                    self._record_refusal(event, error)
                if failed:
                    try:
                        self._send(recipient, failed[0])
                    except ContimgError as error:
                        self._record_refusal(failed[0], error)
                    failed = None
            if failed is None:
                recipient.cursor = event.id
        return failed[1] if failed else None

    def _is_within_rate(self, recipient: Recipient) -> bool:
        now = self._clock()
        while recipient.sent_at and recipient.sent_at[0] < now - _HOUR_S:
            recipient.sent_at.popleft()
        return len(recipient.sent_at) < self._limit_per_hour

    def _send(self, recipient: Recipient, event: EventRecord) -> None:
        recipient.send({**asdict(event), "host": socket.gethostname(), "held_back": recipient.held_back})
        recipient.sent_at.append(self._clock())
        recipient.held_back = 0

    def _record_refusal(self, event: EventRecord, error: ContimgError) -> None:
        text = f"event {event.id} was refused and is not sent again: {error}"
        log.warning("%s", text)
        self._store.activity.beat(REFUSAL, text)

    def _problem(self) -> str | None:
        """What the alert says, or None: a recipient that is away, or an event that was refused in the last day."""
        for recipient in self._recipients:
            if recipient.failing_since is not None and self._clock() - recipient.failing_since >= ALERT_AFTER_S:
                return f"{ALERT}: {recipient.error}; events wait until it accepts them"
        refused_at = self._store.activity.last_beat(REFUSAL)
        if refused_at is None or self._store.database.clock() - refused_at > REFUSAL_SHOWN_S:
            return None
        shown = format_duration(REFUSAL_SHOWN_S)
        return f"{ALERT}: {self._store.activity.beat_text(REFUSAL)}; this alert ends {shown} after the last refusal"


def check_recipients(settings: NotificationSettings) -> None:
    """Check that every recipient can be used; nothing is sent.

    Parameters
    ----------
    settings : the recipients.

    Raises
    ------
    Misconfigured : a URL is not usable; the message does not show it.
    """
    _recipients(settings)


def _recipients(settings: NotificationSettings) -> dict[str, Send]:
    """Return a function for each recipient, by a name that stays when others are added."""
    recipients: dict[str, Send] = {}
    if url := settings.notify_webhook:
        if not url.startswith(("http://", "https://")):
            raise Misconfigured("CONTIMG_NOTIFY_WEBHOOK: must begin with http:// or https://")
        recipients["webhook"] = lambda message: _post(url, message)
    for number, service_url in enumerate(settings.notify_urls.split(), 1):
        key = hashlib.sha256(service_url.encode()).hexdigest()[:12]
        recipients[key] = _apprise_service(number, service_url)
    if settings.notify_command:
        recipients["command"] = lambda message: _run(settings.notify_command, message)
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
            raise Transient(f"{service[0].url(privacy=True)} (CONTIMG_NOTIFY_URLS, URL {number}) did not accept it")

    return send


class _NoRedirect(HTTPRedirectHandler):
    """A redirection is an error: urllib would follow it with a GET that carries no event."""

    def redirect_request(self, *_: Any) -> None:
        """Follow none."""


def _post(url: str, message: Mapping[str, Any]) -> None:
    request = Request(  # noqa: S310 (http or https, checked above)
        url, data=json.dumps(message).encode(), headers={"Content-Type": "application/json"}, method="POST"
    )
    about = "CONTIMG_NOTIFY_WEBHOOK"
    try:
        with build_opener(_NoRedirect).open(request, timeout=_SEND_LIMIT_S):
            pass
    except HTTPError as error:
        text = " ".join(error.read(200).decode("utf-8", "replace").split())
        reason = f"{about}: answered HTTP {error.code} {error.reason}" + (f" ({text})" if text else "")
        if error.code in _PASSING or error.code >= 500:
            raise Transient(f"{reason}; correct the address or its rights, or wait for the service") from None
        raise BadInput(reason) from None
    except URLError as error:
        raise Transient(f"{about}: did not accept an event ({error.reason})") from None
    except (OSError, HTTPException) as error:
        raise Transient(f"{about}: did not answer with HTTP ({type(error).__name__}: {error})") from None


def _run(command: str, message: Mapping[str, Any]) -> None:
    words = shlex.split(command)
    try:
        subprocess.run(
            words, input=json.dumps(message).encode(), timeout=_SEND_LIMIT_S, check=True, capture_output=True,
            start_new_session=True,
        )  # fmt: skip
    except (subprocess.SubprocessError, OSError) as error:
        raise Transient(f"CONTIMG_NOTIFY_COMMAND {words[0]} failed ({error})") from None
