"""HTTP/1.1 protocol with limits: connections, bytes and seconds. A slow client holds no slot."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

MAX_CONNECTIONS = 64
MAX_HEADER_BYTES = 16 * 1024
"""Maximum bytes of the request line and the headers together."""
REQUEST_SECONDS = 10.0
"""Maximum seconds until the headers of the first request are complete."""
RESPONSE_SECONDS = 60.0
"""Maximum seconds from a request until its answer is read or the next request is complete."""
KEEP_ALIVE_SECONDS = 5


def _format_raw_response(status: bytes, code: str, message: str) -> bytes:
    """Return an error as bytes, for a connection that has no ASGI request and is then closed."""
    body = json.dumps({"error": {"code": code, "message": message, "hint": ""}}).encode()
    return (
        b"HTTP/1.1 %b\r\ncontent-type: application/json\r\nx-content-type-options: nosniff\r\n"
        b"connection: close\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body)
    )


BUSY_RESPONSE = _format_raw_response(
    b"503 Service Unavailable",
    "busy",
    f"the server has {MAX_CONNECTIONS} connections and takes no more.",
)


class BoundedProtocol(H11Protocol):
    """One connection. Its timer aborts it when a client sends or reads too slowly."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.write(BUSY_RESPONSE)
            transport.close()
        self._limit_seconds(REQUEST_SECONDS)

    def handle_events(self) -> None:
        before = self.cycle
        super().handle_events()
        if self.cycle is not before:
            self._limit_seconds(RESPONSE_SECONDS)

    def send_400_response(self, msg: str) -> None:
        """Answer a request that is not HTTP; `msg` does not depend on the request."""
        self.transport.write(_format_raw_response(b"400 Bad Request", "bad-request", msg))
        self.transport.close()

    def on_response_complete(self) -> None:
        self._limit_seconds(RESPONSE_SECONDS)
        super().on_response_complete()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Return True to keep the connection for an answer: the client may still read."""
        if self.cycle is None or self.cycle.response_complete:
            return False
        self.cycle.keep_alive = False
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._limit_seconds(None)
        super().connection_lost(exc)

    def _limit_seconds(self, seconds: float | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = (
            None if seconds is None else self.loop.call_later(seconds, self.transport.abort)
        )


def make_protocol_config(application: Any) -> Config:
    """Return the settings of the protocol for an ASGI application."""
    # A client must not fill the log: `app.http.access` logs faults of the server.
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
    config = Config(
        application,
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )
    config.load()
    return config


def make_protocol(config: Config, state: ServerState) -> BoundedProtocol:
    """Return the protocol of a new connection."""
    return BoundedProtocol(config=config, server_state=state, app_state={})
