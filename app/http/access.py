"""Checks before a request reaches its endpoint: method, body, Host header and token.

A web page could reach a loopback address by DNS rebinding. The Host header then has its name.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.http_settings import HttpSettings, ListenAddress
from app.http.responses import make_error_response
from app.http.tokens import Token
from app.translation import ENGLISH, use_caller_language

log = logging.getLogger(__name__)

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_-]+(?:\.[a-z0-9_-]+)*)\.?(?::[0-9]*)?")
METHODS = ("GET", "HEAD")
OPEN_PATHS = frozenset({"/healthz"})
"""Paths that need no token, since they show the health only."""
ANSWER_SECONDS = 30.0
"""Maximum seconds until an answer is made."""


@dataclass(frozen=True, slots=True)
class AccessRules:
    """Rules of one server: allowed hosts and the token. None allows any host, or no token.

    A server on all addresses of the machine also allows any IP address: a page that uses DNS
    rebinding always sends a name.
    """

    hosts: frozenset[str] | None
    token: Token | None
    allows_addresses: bool = False

    def find_refusal(self, scope: Scope) -> Response | None:
        """Return the error for a request that must not pass, else None."""
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        return (
            _refuse_method(scope["method"])
            or _refuse_body(headers)
            or self._refuse_host(_list_values(headers, b"host"))
            or self._refuse_token(scope["path"], _list_values(headers, b"authorization"))
        )

    def _refuse_host(self, given: list[bytes]) -> Response | None:
        if self.hosts is None:
            return None
        host = parse_host(given[0]) if len(given) == 1 else ""
        if host in self.hosts or (self.allows_addresses and _is_address(host)):
            return None
        return make_error_response(
            421,
            "the Host header names no host of this server.",
            'Allow a name in config.toml: [http] hosts = ["NAME"]',
        )

    def _refuse_token(self, path: str, given: list[bytes]) -> Response | None:
        if self.token is None or path in OPEN_PATHS:
            return None
        if len(given) == 1 and self.token.matches(given[0]):
            return None
        return make_error_response(
            401,
            "the request needs the token of this server.",
            "Send the header: Authorization: Bearer TOKEN",
            headers={"www-authenticate": 'Bearer realm="taskdeck"'},
        )


def make_access_rules(
    address: ListenAddress, settings: HttpSettings, token: Token | None
) -> AccessRules:
    """Return the rules of a server at `address`."""
    if address.path:
        return AccessRules(None, token)
    host = f"[{address.host}]" if ":" in address.host else address.host
    names = {host, *settings.hosts, "localhost", "127.0.0.1", "[::1]"}
    return AccessRules(frozenset(names), token, ip_address(address.host).is_unspecified)


def _is_address(host: str) -> bool:
    try:
        return bool(ip_address(host.strip("[]")))
    except ValueError:
        return False


def parse_host(header: bytes) -> str:
    """Return the name of a Host header in lower case, without port and final dot.

    Return "" for anything else.
    """
    found = _HOST.fullmatch(header.decode("latin-1").strip().lower())
    return found[1] if found else ""


def _list_values(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    return [value for key, value in headers if key == name]


def _refuse_method(method: str) -> Response | None:
    if method in METHODS:
        return None
    message = "only GET and HEAD are allowed: nothing can be changed over HTTP."
    return make_error_response(405, message, headers={"allow": ", ".join(METHODS)})


def _refuse_body(headers: Iterable[tuple[bytes, bytes]]) -> Response | None:
    has_body = any(
        key == b"transfer-encoding" or (key == b"content-length" and value.strip() != b"0")
        for key, value in headers
    )
    if not has_body:
        return None
    return make_error_response(413, "no request takes a body.", headers={"connection": "close"})


def restrict_access(application: ASGIApp, rules: AccessRules) -> ASGIApp:
    """Return a middleware around the application: rules, a time limit, and no tracebacks."""

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        use_caller_language(ENGLISH)  # the runtime may have begun in the locale of a user
        refusal = rules.find_refusal(scope)
        if refusal is not None:
            return await refusal(scope, receive, send)
        sent = False

        async def send_marked(message: Message) -> None:
            nonlocal sent
            sent = True
            await send(message)

        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await application(scope, receive, send_marked)
        except Exception as error:
            failure = _make_failure(scope["path"], error)
            if not sent:  # else uvicorn closes the connection, whose answer is incomplete
                await failure(scope, receive, send)
        return None

    return handle


def _make_failure(path: str, error: Exception) -> Response:
    if isinstance(error, TimeoutError):
        message = f"no answer was ready within {ANSWER_SECONDS:.0f} s."
        return make_error_response(503, message, "Try again, with a smaller page.")
    log.error("HTTP %.200r failed", path, exc_info=error)
    message = f"internal error ({type(error).__name__}). See the log of the runtime."
    return make_error_response(500, message)
