"""Every operation, parameter and field of the API's document has a description, a unit and a valid example."""

import importlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from judges import require

require("schemathesis", allow_module_level=True)  # which brings jsonschema_rs
jsonschema_rs = importlib.import_module("jsonschema_rs")

NUMBERS = {"integer", "number"}
UNIT = re.compile(r" \[[^\]]+\]$")


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The document of a panel over an empty store."""
    from contimg.settings import Settings
    from web import create_app

    app: Flask = create_app(Settings(state_dir=tmp_path_factory.mktemp("state")))
    document: dict[str, Any] = app.api_doc  # type: ignore[attr-defined]
    return document


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def fields(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The parameters and the fields of all records, by name."""
    for name, operation in operations(document):
        for parameter in operation.get("parameters", []):
            schema = parameter["schema"]
            yield f"{name} {parameter['name']}", {**schema, "description": parameter.get("description")}
    for name, schema in document["components"]["schemas"].items():
        for member, properties in schema.get("properties", {}).items():
            yield f"{name}.{member}", properties


def holds_number(schema: dict[str, Any]) -> bool:
    """Whether a value, an item of an array or a value of an object is a number."""
    inner = [schema.get("items"), schema.get("additionalProperties"), *schema.get("anyOf", [])]
    inner += schema.get("prefixItems", [])
    return schema.get("type") in NUMBERS or any(holds_number(part) for part in inner if isinstance(part, dict))


def faults_of(document: dict[str, Any]) -> list[str]:
    """What is missing in a document."""
    faults = [
        f"{name}: {part} missing"
        for name, operation in operations(document)
        for part in ("summary", "description")
        if not operation.get(part) or operation["description"] == operation["summary"]
    ]
    for name, schema in fields(document):
        description = schema.get("description") or ""
        if not description:
            faults.append(f"{name}: description missing")
        if holds_number(schema) and not UNIT.search(description):
            faults.append(f"{name}: unit missing")
        if not schema.get("examples"):
            faults.append(f"{name}: example missing")
    faults += [
        f"{name}: example missing"
        for name, operation in operations(document)
        for content in contents(operation)
        if "example" not in content
    ]
    return faults


def contents(operation: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What a JSON body and the JSON answer of an operation hold."""
    for part in (operation.get("requestBody", {}), operation["responses"].get("200", {})):
        if content := part.get("content", {}).get("application/json"):
            yield content


def test_everything_is_described(document: dict[str, Any]) -> None:
    assert len(list(operations(document))) > 40
    assert len(list(fields(document))) > 350
    assert faults_of(document) == []


def test_examples_are_valid(document: dict[str, Any]) -> None:
    def faults(name: str, schema: dict[str, Any], examples: list[Any]) -> list[str]:
        validator = jsonschema_rs.validator_for({**schema, "components": document["components"]}, validate_formats=True)
        return [f"{name}: {error.message}" for example in examples for error in validator.iter_errors(example)]

    faulty = [fault for name, schema in fields(document) for fault in faults(name, schema, schema.get("examples", []))]
    for name, operation in operations(document):
        for content in contents(operation):
            faulty += faults(name, content["schema"], [content["example"]])
    assert faulty == []


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        (("paths", "/api/images", "get", "description"), "", "GET /api/images: description missing"),
        (("components", "schemas", "StoredImage", "properties", "rms_jy", "description"), "Noise",
         "StoredImage.rms_jy: unit missing"),
        (("components", "schemas", "StoredImage", "properties", "verdict", "examples"), [],
         "StoredImage.verdict: example missing"),
    ],
)  # fmt: skip
def test_missing_parts_are_detected(document: dict[str, Any], path: tuple[str, ...], value: Any, fault: str) -> None:
    part = document
    for key in path[:-1]:
        part = part[key]
    before, part[path[-1]] = part[path[-1]], value
    try:
        assert fault in faults_of(document)
    finally:
        part[path[-1]] = before
