"""Responses of the HTTP server: JSON with headers that keep browsers from caching or guessing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from email.utils import formatdate
from typing import Any

from starlette.responses import Response

from app.core.text.sanitize import sanitize

SECURITY_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
CODES = {
    400: "bad-request", 401: "unauthorized", 403: "forbidden", 404: "not-found",
    405: "method-not-allowed", 409: "conflict", 413: "too-large", 421: "wrong-host",
    500: "internal", 503: "unavailable",
}  # fmt: skip
"""Code of an error without a code of its own, by HTTP status."""


def make_json_response(
    value: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a value as JSON, on one line."""
    body = json.dumps(value, separators=(",", ":")).encode() + b"\n"
    return make_response(body, "application/json", status, headers)


def make_response(
    body: bytes, media_type: str, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a response with the date and the security headers."""
    dated = {"date": formatdate(usegmt=True)} | SECURITY_HEADERS
    return Response(body, status, dated | dict(headers or {}), media_type)


def make_error_response(
    status: int,
    message: str,
    hint: str = "",
    code: str = "",
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return an error as JSON. Text from outside is sanitized."""
    error = {"code": code or CODES[status], "message": sanitize(message), "hint": sanitize(hint)}
    return make_json_response({"error": error}, status, headers)
