"""Connections of keeper, guard and runtime.

The wire format is JSON lines. Requests have a key `do`, events a key `is`. Times are UNIX seconds,
durations seconds, memory KiB.
"""

from __future__ import annotations

import json
import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

VERSION = "0.1.0"  # version of Taskdeck with this file
PROTOCOL = 2
SOCKET, LOCK, LOG = (f"keeper{PROTOCOL}.{kind}" for kind in ("sock", "lock", "log"))
MAX_LINE = 32 * 1024 * 1024
encode = json.JSONEncoder(separators=(",", ":")).encode


def encode_line(message: dict[str, Any]) -> bytes:
    """Return a message or record as ASCII JSON with a newline."""
    return encode(message).encode("ascii") + b"\n"


class JsonSocket:
    """A non-blocking socket for JSON lines."""

    __slots__ = ("sock", "unread", "unsent", "open")

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock, self.unread, self.unsent, self.open = sock, bytearray(), bytearray(), True

    def receive(self) -> list[bytes]:
        """Return the complete lines received. `open` becomes False at the end."""
        try:
            data = self.sock.recv(65536)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        whole, newline, rest = data.rpartition(b"\n")
        lines = bytes(self.unread + whole).split(b"\n") if newline else []
        if newline:
            self.unread.clear()
        self.unread += rest
        self.open = bool(data) and len(self.unread) < MAX_LINE
        return lines

    def send(self, message: dict[str, Any]) -> None:
        """Queue a message for `flush`."""
        self.unsent += encode_line(message)

    def flush(self) -> None:
        """Send as much as the peer accepts now."""
        try:
            del self.unsent[: self.sock.send(self.unsent)]
        except BlockingIOError:
            pass
        except OSError:
            self.unsent.clear()  # the peer is gone; the next read notices
