"""Program that sends messages for the runtime: requests on stdin, answers on stdout, as JSON lines.

A process of its own, because Apprise blocks, takes 30 MB, and may hang in a mail server. Secrets
arrive on stdin, never as arguments. The program ends with its stdin, and so with the runtime.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_network
from typing import Any
from urllib.parse import urlsplit

from app.core.notifications.addresses import find_real_address, is_allowed

THREADS = 8
"""Messages sent at the same time, each to another target."""
TIMEOUT = 20.0
"""Seconds for each step of a webhook: connect, send and wait for the answer."""
MAX_REASON = 300
"""Characters of a reason."""
SIGNATURE_HEADER = "X-Taskdeck-Signature"
TIMESTAMP_HEADER = "X-Taskdeck-Timestamp"
KEY_HEADER = "Idempotency-Key"
_ERRNO = re.compile(r"\[(?:Errno|SSL: \w+)[^\]]*\] ([^'\")(]+)")
_SMTP_REPLY = re.compile(r"\(?(\d{3}), b'((?:[^'\\]|\\.)*)'")


class SendError(Exception):
    """A message that was not sent, with the reason."""


class ReasonCollector(logging.Handler):
    """Log handler that keeps, for each thread, why Apprise did not send."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self._local = threading.local()

    def begin(self) -> None:
        """Forget the reasons of the thread's last message."""
        self._local.lines = []

    def emit(self, record: logging.LogRecord) -> None:
        lines: list[str] = getattr(self._local, "lines", [])
        text = record.getMessage()
        if record.levelno >= logging.WARNING:
            lines.append(text)
        elif detail := _find_detail(text):  # the rest of a debug line may hold a secret
            lines.append(detail)

    def get_reason(self) -> str:
        """Return the reasons in one line."""
        return "; ".join(dict.fromkeys(line.rstrip(". ") for line in self._local.lines))


def _find_detail(text: str) -> str:
    """Return the error of the system or of a mail server that a debug line repeats, else ""."""
    if "Exception" not in text:
        return ""
    if found := _ERRNO.search(text):
        return found[1].strip()
    found = _SMTP_REPLY.search(text)
    return f"{found[1]} {found[2]}" if found else ""


REASONS = ReasonCollector()


def send_through_apprise(url: str, subject: str, body: str, severity: str) -> None:
    """Send one message to a URL of Apprise. Raise SendError."""
    import apprise

    REASONS.begin()
    # A service of its own: `Apprise.notify` would use other threads, whose log is not this one's.
    target = apprise.Apprise.instantiate(url)
    if target is None:
        raise SendError(_explain_unusable(url, apprise))
    kinds = {"critical": "failure", "warning": "warning", "resolved": "success"}
    kind = kinds.get(severity, "info")
    if not target.notify(body=body, title=subject, notify_type=kind, body_format="text"):
        raise SendError(REASONS.get_reason() or "the message was refused")


def _explain_unusable(url: str, apprise: Any) -> str:
    """Return why Apprise cannot use a URL. The URL itself may be secret."""
    scheme = url.partition("://")[0].lower()
    known = {
        word
        for service in apprise.Apprise().details()["schemas"]
        for key in ("protocols", "secure_protocols")
        for word in service[key] or ()
    }
    if scheme in known:
        return f"the URL is not complete for {scheme}:// (a host, a token or an address is missing)"
    from difflib import get_close_matches

    near = get_close_matches(scheme, known, 1)
    return f"there is no service {scheme[:20]}://" + (f"; nearest: {near[0]}://" if near else "")


def send_webhook(request: dict[str, Any]) -> None:
    """Post a signed message. Raise SendError for every answer but success."""
    import httpx

    url, body = request["url"], request["body"].encode()
    host, port = _split_url(httpx, url)
    problem = ""
    headers = _make_headers(request, body)
    for address in _find_addresses(host, port, request["allow_private"]):
        try:
            _post(httpx, url, address, headers, body)
        except httpx.ConnectError as error:
            problem = f"no connection: {_find_system_error(error)}"
        except httpx.TimeoutException:
            problem = f"no answer for {TIMEOUT:.0f} s"
            break
        except httpx.HTTPError as error:
            problem = _find_system_error(error)
            break
        else:
            return
    raise SendError(problem)


def _split_url(httpx: Any, url: str) -> tuple[str, int | None]:
    """Return host and port of a URL. Raise SendError, which does not repeat the URL."""
    try:
        httpx.URL(url)
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except (ValueError, httpx.InvalidURL):  # their texts may quote a part of a password
        raise SendError(
            "the URL of the webhook is not valid; special characters in a password are written as"
            " %XX, such as %2F for /"
        ) from None
    if parts.scheme not in ("http", "https") or not host:
        raise SendError("a webhook must be an http:// or https:// URL")
    return host, port


def _make_headers(request: dict[str, Any], body: bytes) -> dict[str, str]:
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "taskdeck",
        KEY_HEADER: request["key"],
    }
    if request["secret"]:
        moment = str(int(time.time()))
        signed = hmac.new(
            request["secret"].encode(), f"{moment}.".encode() + body, hashlib.sha256
        ).hexdigest()
        headers |= {TIMESTAMP_HEADER: moment, SIGNATURE_HEADER: f"sha256={signed}"}
    return headers


def _post(httpx: Any, url: str, address: str, headers: dict[str, str], body: bytes) -> None:
    """Post to the checked address, so that a second look-up cannot lead elsewhere."""
    asked = httpx.URL(url)
    host = asked.netloc.decode("ascii")
    pinned = asked.copy_with(host=address, userinfo=b"")
    auth = (asked.username, asked.password) if asked.userinfo else None
    with (
        httpx.Client(trust_env=False, follow_redirects=False, timeout=TIMEOUT) as client,
        client.stream(
            "POST",
            pinned,
            content=body,
            auth=auth,
            headers=headers | {"Host": host.rpartition("@")[2]},
            extensions={"sni_hostname": asked.host},
        ) as answer,
    ):
        if answer.is_success:
            return
        moved = "; redirects are not followed" if answer.is_redirect else ""
        raise SendError(f"the answer was {answer.status_code} {answer.reason_phrase}{moved}")


def _find_addresses(host: str, port: int | None, allowed: Sequence[str]) -> Iterator[str]:
    """Yield the addresses of a host that may be connected to. Raise SendError if none may."""
    try:
        found = socket.getaddrinfo(host, port or 443, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise SendError(f"{host}: {_find_system_error(error)}") from None
    networks = [ip_network(one) for one in allowed]
    addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
    may = [one for one in addresses if is_allowed(one, networks)]
    if not may:
        real = find_real_address(addresses[0])
        what = "is a private address" if host == real else f"has the private address {real}"
        raise SendError(
            f'{host} {what}; to allow it: [actions] allow_private = ["{real}"] in config.toml'
        )
    yield from may


def _find_system_error(error: BaseException) -> str:
    found = _ERRNO.search(str(error))
    return found[1].strip() if found else str(error) or type(error).__name__


def answer_request(request: dict[str, Any]) -> dict[str, Any]:
    """Send one message and return the answer for the runtime: the error, or None."""
    try:
        if request["kind"] == "webhook":
            send_webhook(request)
        else:
            send_through_apprise(
                request["url"], request["subject"], request["body"], request["severity"]
            )
    except SendError as error:
        return {"id": request["id"], "error": str(error)[:MAX_REASON] or "not sent"}
    except Exception as error:  # one bad message must not end the others
        what = f"{type(error).__name__}: {error}"
        return {"id": request["id"], "error": what[:MAX_REASON]}
    return {"id": request["id"], "error": None}


def main() -> None:
    """Answer requests until stdin ends."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # typed in a terminal, they concern the runtime
    answers, sys.stdout = sys.stdout, sys.stderr  # a library may print
    logger = logging.getLogger("apprise")
    logger.setLevel(logging.DEBUG)
    logger.addHandler(REASONS)
    logger.propagate = False
    lock = threading.Lock()

    def work(line: str) -> None:
        text = json.dumps(answer_request(json.loads(line)))
        with lock:
            answers.write(text + "\n")
            answers.flush()

    with ThreadPoolExecutor(THREADS) as pool:
        for line in sys.stdin:
            pool.submit(work, line)
        os._exit(0)  # the runtime is gone: the next one sends again what has no answer


if __name__ == "__main__":
    main()
