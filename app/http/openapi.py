"""OpenAPI 3.1 document of the API, made of the table that routes requests."""

from __future__ import annotations

import re
from typing import Any

from app.http.access import METHODS
from app.http.endpoints import API, ENDPOINTS, Endpoint
from app.http.schemas import make_schemas, refer_to
from app.version import VERSION

_FAULTS = {
    "400": "A parameter is unknown or faulty.",
    "401": "The token is missing or wrong.",
    "404": "There is no such object.",
    "405": f"Only {' and '.join(METHODS)} are allowed.",
    "409": "The state of the object does not allow an answer.",
    "413": "The request has a body, or the answer would be too large.",
    "421": "The Host header names no host of this server.",
    "503": "The server is busy, or the database cannot be read.",
}


def make_document() -> dict[str, Any]:
    """Return the document."""
    paths = {f"{API}{one.path}": {"get": _describe_endpoint(one)} for one in ENDPOINTS}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Taskdeck",
            "version": VERSION,
            "description": "Read-only API of one home. JSON is that of `--json` in the shell.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "security": [{}, {"token": []}],
        "paths": paths | {"/healthz": {"get": _describe_health()}},
        "components": {
            "schemas": make_schemas(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "responses": {
                f"fault{status}": _describe_json(text, "error") for status, text in _FAULTS.items()
            },
        },
    }


def _describe_endpoint(endpoint: Endpoint) -> dict[str, Any]:
    answer = _describe_json("The answer.", endpoint.schema)
    if endpoint.verb == "log":
        answer["content"]["text/plain"] = {"schema": {"type": "string"}}
        answer["headers"] = _describe_log_headers()
    return {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "tags": [re.split(r"[/{]", endpoint.path)[1]],
        "parameters": [one.describe() for one in endpoint.parameters],
        "responses": {"200": answer, **_refer_to_faults(*_FAULTS)},
    }


def _describe_health() -> dict[str, Any]:
    return {
        "operationId": "check_health",
        "summary": "Health: can tasks start? Needs no token",
        "tags": ["health"],
        "security": [{}],
        "responses": {
            "200": _describe_json("Tasks can start.", "health"),
            "503": _describe_json("Nothing can start.", "health"),
            **_refer_to_faults("405", "413", "421"),
        },
    }


def _describe_json(text: str, schema: str) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": refer_to(schema)}}}


def _describe_log_headers() -> dict[str, Any]:
    texts = {
        "x-log-offset": "First byte of the page.",
        "x-log-size": "Size of the log in bytes.",
        "x-log-next": "Offset of the next page; absent after the end of the log.",
    }
    return {
        name: {"description": text, "schema": {"type": "integer"}} for name, text in texts.items()
    }


def _refer_to_faults(*statuses: str) -> dict[str, Any]:
    return {status: {"$ref": f"#/components/responses/fault{status}"} for status in statuses}
