"""Servers on loopback that record what they get: HTTP and SMTP."""

from __future__ import annotations

import asyncio
import email
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email import policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from aiosmtpd.controller import Controller


class ReceivedRequest(NamedTuple):
    """One request of an HTTP server."""

    path: str
    headers: dict[str, str]
    body: bytes


class HttpReceiver:
    """HTTP server that answers with `status`, the same for each request.

    An answer takes a random time of at most `longest_answer` seconds.
    """

    def __init__(self) -> None:
        self.requests: list[ReceivedRequest] = []
        self.status, self.longest_answer = 200, 0.0
        self._arrived = threading.Condition()
        self.location = ""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                receiver.add(ReceivedRequest(self.path, dict(self.headers), body))
                time.sleep(random.uniform(0.0, receiver.longest_answer))
                self.send_response(receiver.status)
                if receiver.location:
                    self.send_header("Location", receiver.location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Print nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port: int = self.server.server_port
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self._thread.start()

    def add(self, request: ReceivedRequest) -> None:
        """Keep a request."""
        with self._arrived:
            self.requests.append(request)
            self._arrived.notify_all()

    def has_received(self, count: int, seconds: float) -> bool:
        """Wait until so many requests have arrived; return False if they have not in time."""
        with self._arrived:
            return self._arrived.wait_for(lambda: len(self.requests) >= count, seconds)

    def wait_for(self, count: int) -> None:
        """Wait until so many requests have arrived."""
        assert self.has_received(count, 60), f"{len(self.requests)} requests, not {count}"

    @property
    def bodies(self) -> list[str]:
        return [one.body.decode() for one in self.requests]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


class SmtpReceiver(Controller):
    """SMTP server that keeps the messages, and answers as slowly as the other one."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.longest_answer = 0.0
        super().__init__(self, hostname="127.0.0.1", port=0)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        parsed = email.message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(parsed, EmailMessage)
        self.messages.append(parsed)
        await asyncio.sleep(random.uniform(0.0, self.longest_answer))
        return "250 OK"

    def _trigger_server(self) -> None:
        """Connect to the port that the system chose."""
        assert isinstance(self.server, asyncio.Server)
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()

    @property
    def url(self) -> str:
        """URL of Apprise for this server."""
        return (
            f"mailto://127.0.0.1:{self.port}?from=deck@example.com&to=ops@example.com&mode=insecure"
        )

    @property
    def texts(self) -> list[str]:
        """Text of each message."""
        return [get_text(one) for one in self.messages]


def get_text(message: EmailMessage) -> str:
    """Return the plain text of a mail."""
    body = message.get_body(("plain", "html"))
    assert body is not None
    return body.get_content()


@contextmanager
def receive_http() -> Iterator[HttpReceiver]:
    """Run an HTTP server."""
    receiver = HttpReceiver()
    try:
        yield receiver
    finally:
        receiver.close()


@contextmanager
def receive_mail() -> Iterator[SmtpReceiver]:
    """Run an SMTP server."""
    receiver = SmtpReceiver()
    receiver.start()
    try:
        yield receiver
    finally:
        receiver.stop()
