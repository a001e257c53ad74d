"""Notifications: events sent to a webhook, to services that apprise supports, and to a command; limited in rate.

Each recipient gets the events of its levels in order and continues where it stopped, so that one that is away keeps
nothing from the others. An event in a silence of its rule or in a maintenance window is left out. What a recipient does
not accept for now is sent again in the next round; an event that it refuses for good, or for several rounds in which it
accepts others, is recorded and left out, so that it does not hold back later ones. The stream never waits for a
recipient.
"""

import hashlib
import json
import logging
import shlex
import socket
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from contimg.common.errors import BadInput, ContimgError, Misconfigured, Transient
from contimg.common.units import format_duration
from contimg.settings import NotificationSettings
from contimg.settings.alerts import SENT_TO_ALL
from contimg.store import EventRecord, Store
from contimg.store.activity.alerts import LEVELS

log = logging.getLogger(__name__)
_SEND_LIMIT_S = 10.0
_HOUR_S = 3600.0
_APPRISE_TYPES = {"info": "info", "warning": "warning", "error": "failure"}
# Answers of a webhook to the address or the sender, not to the event: it is sent again.
_PASSING = frozenset({301, 302, 303, 307, 308, 401, 402, 403, 404, 405, 407, 408, 409, 410, 421, 423, 425, 429})
ALERT = "notification"
ALERT_AFTER_S = 60.0  # a recipient that is away for less, for example while it restarts, raises no alert
REFUSAL_SHOWN_S = 86400.0
CURSOR = "notify.cursor"
WAITING = "notify.waiting"
REFUSAL = "notify.refused"
ROUNDS = 5  # in which an event fails although the recipient is not away, before it counts as refused
Send = Callable[[Mapping[str, Any]], None]
Failure = tuple[EventRecord, Transient]


@dataclass
class Recipient:
    """A recipient of notifications.

    Attributes
    ----------
    key : names its cursor in the store.
    send : sends a message; raises BadInput when it is refused for good, Transient when it is not accepted for now.
    levels : levels of the events that are sent.
    cursor : id of the last event that was sent, refused for good, waits by itself, or is not to be sent.
    waiting : rounds in which an event failed that waits by itself, by the id of the event.
    held_back : events above the rate since the last one sent.
    failing_since : time of the first of the present failures, epoch seconds; None when the last event was sent.
    """

    key: str
    send: Send
    levels: Sequence[str] = LEVELS
    cursor: int = 0
    waiting: dict[int, int] = field(default_factory=dict)
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
        self._recipients = _recipients(settings)
        self._read_cursors()

    def _read_cursors(self) -> None:
        """Continue where the last process stopped; a new recipient begins after the newest event.

        The one cursor of an earlier version is used once, by the first process after it.
        """
        activity, newest = self._store.activity, self._store.events.last(1)
        cursors = {row.key: activity.beat_text(f"{CURSOR}.{row.key}") for row in self._recipients}
        earlier = None if any(cursors.values()) else activity.beat_text(CURSOR)
        for recipient in self._recipients:
            recipient.cursor = int(cursors[recipient.key] or earlier or (newest[0].id if newest else 0))
            if waiting := activity.beat_text(f"{WAITING}.{recipient.key}"):
                recipient.waiting = {int(event_id): rounds for event_id, rounds in json.loads(waiting).items()}
            activity.beat(f"{CURSOR}.{recipient.key}", str(recipient.cursor))
        if activity.beat_text(CURSOR):
            activity.beat(CURSOR, "")

    def send_new(self) -> None:
        """Send the events since the last call, and begin or end the alert of undelivered ones.

        Raises
        ------
        Transient : a recipient does not accept events for now; they are sent again at the next call.
        """
        for recipient in self._recipients:
            cursor, waiting = recipient.cursor, dict(recipient.waiting)
            error = self._send_to(recipient)
            if error is None:
                recipient.failing_since = None
            elif recipient.failing_since is None:
                recipient.failing_since = self._clock()
            recipient.error = str(error or "")
            if recipient.waiting != waiting:  # first: an event is rather sent twice than lost
                self._store.activity.beat(f"{WAITING}.{recipient.key}", json.dumps(recipient.waiting))
            if recipient.cursor != cursor:
                self._store.activity.beat(f"{CURSOR}.{recipient.key}", str(recipient.cursor))
        self._store.alerts.update(ALERT, self._problem(), end_text=f"{ALERT}: over, every recipient accepts events")
        if errors := [recipient.error for recipient in self._recipients if recipient.error]:
            raise Transient("; ".join(errors))

    def _send_to(self, recipient: Recipient) -> Transient | None:
        """Send a recipient its events; return why it does not accept one of them for now, or None.

        An event that fails while a later one is accepted waits by itself: the recipient is not away. After `ROUNDS`
        such rounds it counts as refused for good.
        """
        failures = self._send_waiting(recipient)
        is_away, new_failures = self._send_later(recipient)
        if not is_away:
            for event, error in failures:
                recipient.waiting[event.id] += 1
                if recipient.waiting[event.id] >= ROUNDS:
                    del recipient.waiting[event.id]
                    self._record_refusal(event, error)
        return next(
            (error for event, error in [*new_failures, *failures] if is_away or event.id in recipient.waiting), None
        )

    def _send_waiting(self, recipient: Recipient) -> list[Failure]:
        """Send again what waits by itself; return what failed."""
        failures = []
        for event_id in tuple(recipient.waiting):
            event = next(iter(self._store.events.after(event_id - 1, 1)), None)
            try:
                if event is not None and event.id == event_id:  # else deleted meanwhile
                    self._send_one(recipient, event)
                del recipient.waiting[event_id]
            except Transient as error:
                assert event is not None  # noqa: S101 (it was sent)
                failures.append((event, error))
        return failures

    def _send_later(self, recipient: Recipient) -> tuple[bool, list[Failure]]:
        """Send the events after the cursor; return whether the recipient is away, and what failed."""
        failures: list[Failure] = []
        failed: Failure | None = None
        events = self._store.events.after(recipient.cursor)
        silences = self._store.silences.in_force(events[0].at) if events else ()
        for event in events:
            is_silenced = any(silence.covers(event.rule, event.at) for silence in silences)
            is_for_recipient = event.level in recipient.levels or event.rule in SENT_TO_ALL
            is_sent = is_for_recipient and not is_silenced
            if is_sent and not self._is_within_rate(recipient):
                recipient.held_back += 1
            elif is_sent:
                try:
                    self._send_one(recipient, event)
                except Transient as error:
                    failures.append((event, error))
                    if failed:
                        return True, failures
                    failed = event, error
                    continue
                if failed:
                    recipient.waiting[failed[0].id] = 1
                    failed = None
            if failed is None:
                recipient.cursor = event.id
        return failed is not None, failures

    def _is_within_rate(self, recipient: Recipient) -> bool:
        now = self._clock()
        while recipient.sent_at and recipient.sent_at[0] < now - _HOUR_S:
            recipient.sent_at.popleft()
        return len(recipient.sent_at) < self._limit_per_hour

    def _send_one(self, recipient: Recipient, event: EventRecord) -> None:
        """Send an event; one that is refused for good is recorded. Raises Transient."""
        try:
            recipient.send({**asdict(event), "host": socket.gethostname(), "held_back": recipient.held_back})
        except BadInput as error:
            self._record_refusal(event, error)
            return
        recipient.sent_at.append(self._clock())
        recipient.held_back = 0

    def _record_refusal(self, event: EventRecord, error: ContimgError) -> None:
        text = f"event {event.id} was refused and is not sent again: {error}"
        log.warning("%s", text)
        self._store.activity.beat(REFUSAL, text)

    def _problem(self) -> str | None:
        """What the alert says, or None: a recipient that is away, or an event that was refused in the last day."""
        if not self._recipients:
            return None
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


def _recipients(settings: NotificationSettings) -> list[Recipient]:
    """Return the recipients, each with a key that stays when others are added or when its level is changed."""
    recipients = []
    if settings.notify_webhook:
        levels, url = _split_level(settings.notify_webhook, settings.notify_level)
        if not url.startswith(("http://", "https://")):
            raise Misconfigured("CONTIMG_NOTIFY_WEBHOOK: must begin with http:// or https://")
        recipients.append(Recipient("webhook", lambda message: _post(url, message), levels))
    for number, word in enumerate(settings.notify_urls.split(), 1):
        levels, service_url = _split_level(word, settings.notify_level)
        key = hashlib.sha256(service_url.encode()).hexdigest()[:12]
        recipients.append(Recipient(key, _apprise_service(number, service_url), levels))
    if settings.notify_command:
        levels, command = _split_level(settings.notify_command, settings.notify_level)
        recipients.append(Recipient("command", lambda message: _run(command, message), levels))
    return recipients


def _split_level(text: str, default: str) -> tuple[Sequence[str], str]:
    """Split `LEVEL=recipient` into the levels that it gets and the recipient; without LEVEL, those from the default."""
    level, mark, recipient = text.partition("=")
    if not mark or level not in LEVELS:
        level, recipient = default, text
    return LEVELS[LEVELS.index(level) :], recipient


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
