"""The API's document, and a page on which each call can be tried."""

import json
from typing import Any

from flask import Blueprint, Response, current_app, jsonify, render_template

from web.http.openapi import document

api_page = Blueprint("api_page", __name__)


@api_page.get("/openapi.json")
def openapi() -> Response:
    """The document."""
    return jsonify(document(current_app))


@api_page.get("/api/docs")
def show() -> str:
    """Every call by subject, with its parameters and what it answers."""
    whole = document(current_app)
    subjects: dict[str, list[dict[str, Any]]] = {}
    for path, methods in whole["paths"].items():
        for method, call in methods.items():
            subjects.setdefault(call["tags"][0], []).append({"path": path, "method": method, **call})
    return render_template(
        "api.html", subjects=subjects, schemas=whole["components"]["schemas"], example=_example,
        as_json=lambda value: json.dumps(value, indent=2),
    )  # fmt: skip


def _example(call: dict[str, Any], schemas: dict[str, Any]) -> str:
    """A body to begin with: the first key of the model that a call takes."""
    reference = call["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    properties = schemas[reference.rsplit("/", 1)[1]]["properties"]
    key = "max_workers" if "max_workers" in properties else next(iter(properties))
    return json.dumps({key: properties[key].get("default") or ([] if properties[key].get("type") == "array" else "")})
