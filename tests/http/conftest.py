"""An HTTP server on a real socket and database, in the process of the test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from app.core.board import RuntimeFacts
from app.core.http_settings import HttpSettings, ListenAddress
from app.http.server import HttpServer
from app.service.context import Call
from app.service.monitoring import MonitoringSnapshot, take_snapshot
from tests.service.conftest import (  # noqa: F401
    FakeRuntimeHandle,
    caller_notes,
    fake_runtime,
    runtime_call,
    worker,
)

Connect = Callable[[ListenAddress, HttpSettings | None], httpx.AsyncClient]


class HealthyHandle(FakeRuntimeHandle):
    """A fake runtime with a keeper and without delay."""

    def get_facts(self) -> RuntimeFacts:
        return RuntimeFacts(state="running", pid=1, keeper_pid=2, tick_lag=0.01)


@pytest.fixture
def live_call(runtime_call: Call, fake_runtime: FakeRuntimeHandle) -> Call:  # noqa: F811
    """Return a call to a fake runtime that is healthy."""
    return replace(runtime_call, live=HealthyHandle(fake_runtime.feed))


@pytest.fixture
async def server(live_call: Call, home: Path) -> AsyncIterator[HttpServer]:
    """Yield a server at a unix socket in the home."""
    made = HttpServer(HttpSettings(ListenAddress(path=str(home / "http.sock"))))
    made.open()
    await made.start(live_call)
    yield made
    await made.close()


@pytest.fixture
async def client(server: HttpServer, home: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of `server`."""
    transport = httpx.AsyncHTTPTransport(uds=str(home / "http.sock"))
    async with httpx.AsyncClient(transport=transport, base_url="http://taskdeck") as made:
        yield made


@pytest.fixture
async def snapshot(live_call: Call) -> MonitoringSnapshot:
    """Return the snapshot of a new home, as monitoring reads it."""
    return await take_snapshot(live_call)
