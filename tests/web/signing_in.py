"""An operator who signs in as a browser would."""

import re

from flask.testing import FlaskClient
from running_service import TOKEN
from werkzeug.test import TestResponse


def sign_in(client: FlaskClient, token: str = TOKEN, name: str = "Vera", **more: object) -> TestResponse:
    return client.post("/sign-in", data={"token": token, "name": name}, **more)


def csrf_of(client: FlaskClient, path: str = "/") -> str:
    match = re.search(r'<meta name="csrf" content="([^"]+)">', client.get(path).text)
    assert match
    return match[1]


def cookie_name(client: FlaskClient) -> str:
    return str(client.application.config["SESSION_COOKIE_NAME"])
