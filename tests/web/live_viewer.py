"""One who follows /api/events, as a browser would, byte for byte."""

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit


@contextmanager
def following(url: str, path: str = "/api/events", last: str | None = None) -> Iterator[http.client.HTTPResponse]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    connection.request("GET", path, headers={"Last-Event-ID": last} if last else {})
    answer = connection.getresponse()
    try:
        yield answer
    finally:
        answer.close()
        connection.close()


def next_event(answer: http.client.HTTPResponse) -> dict[str, object]:
    fields: dict[str, str] = {}
    while True:
        line = answer.readline().decode()
        assert line, "the connection ended"
        if line == "\n" and "data" in fields:
            event: dict[str, object] = json.loads(fields["data"])
            assert fields["id"] == str(event["id"])
            return event
        name, _, value = line.rstrip("\n").partition(": ")
        fields[name] = value
