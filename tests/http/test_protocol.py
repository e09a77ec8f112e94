"""Limits of connections, on real sockets."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest

from app.http import protocol
from app.http.log_pages import MAX_BYTES
from app.http.server import HttpServer
from app.paths import get_log_path
from app.service.context import Call
from tests.service.calls import submit_task
from tests.service.conftest import Worker

PATIENCE = 60


async def ask(home: Path, *pieces: bytes) -> bytes:
    """Send bytes and return everything that the server sends until it hangs up."""
    reader, writer = await asyncio.open_unix_connection(home / "http.sock")
    try:
        for piece in pieces:
            writer.write(piece)
        return await asyncio.wait_for(reader.read(), PATIENCE)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def test_bytes_that_are_not_http_get_a_json_error(server: HttpServer, home: Path):
    answer = await ask(home, b"\x16\x03\x01 hello\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 400 ") and b'"code": "bad-request"' in answer


async def test_headers_have_a_limited_size(server: HttpServer, home: Path):
    answer = await ask(home, b"GET /healthz HTTP/1.1\r\nx: " + b"y" * protocol.MAX_HEADER_BYTES * 2)

    assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")


async def test_a_client_that_sends_too_slowly_is_cut_off(
    server: HttpServer, home: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(protocol, "REQUEST_SECONDS", 0.05)

    assert await ask(home, b"GET /healthz HTTP/1.1\r\n") == b""


async def test_connections_above_the_limit_get_503(
    server: HttpServer, home: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(protocol, "MAX_CONNECTIONS", 1)
    _, first = await asyncio.open_unix_connection(home / "http.sock")

    answer = await ask(home)

    assert answer.startswith(b"HTTP/1.1 503 ") and b'"code": "busy"' in answer
    first.close()


async def test_a_client_that_reads_too_slowly_is_cut_off(
    server: HttpServer, home: Path, live_call: Call, worker: Worker,
    monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    await submit_task(live_call, name="a")
    log = Path(get_log_path(home, await worker.run(1)))
    log.parent.mkdir(parents=True)
    log.write_bytes(b"x" * MAX_BYTES)
    monkeypatch.setattr(protocol, "RESPONSE_SECONDS", 0.05)
    lost = asyncio.Event()
    end = protocol.BoundedProtocol.connection_lost
    monkeypatch.setattr(
        protocol.BoundedProtocol,
        "connection_lost",
        lambda self, error: (end(self, error), lost.set()),
    )

    with socket.socket(socket.AF_UNIX) as slow:
        slow.connect(os.fspath(home / "http.sock"))
        slow.sendall(b"GET /api/v1/tasks/1/log?limit=1048576 HTTP/1.1\r\nHost: x\r\n\r\n")

        await asyncio.wait_for(lost.wait(), PATIENCE)


async def test_a_client_that_has_sent_all_still_gets_its_answer(server: HttpServer, home: Path):
    reader, writer = await asyncio.open_unix_connection(home / "http.sock")
    writer.write(b"GET /api/v1/tasks HTTP/1.1\r\nHost: x\r\n\r\n")
    writer.write_eof()

    answer = await asyncio.wait_for(reader.read(), PATIENCE)

    assert answer.startswith(b"HTTP/1.1 200 OK") and b'"tasks":[]' in answer
    writer.close()


async def test_an_upgrade_to_websocket_is_a_plain_request(server: HttpServer, home: Path):
    head = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: upgrade, close\r\nUpgrade: websocket"

    answer = await ask(home, head + b"\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 200 OK")
