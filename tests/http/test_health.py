"""Health as `/healthz` reports."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from threading import Event

import httpx
import pytest

from app.core.board import RuntimeFacts
from app.http import health
from app.http.health import HealthCheck
from app.service.context import Call
from db.errors import GoneDatabase


async def test_a_healthy_runtime_answers_200(client: httpx.AsyncClient):
    answer = await client.get("/healthz")

    assert (answer.status_code, answer.json()) == (200, {"healthy": True, "reasons": []})


async def test_each_reason_is_told_with_503(client: httpx.AsyncClient, live_call: Call):
    live_call.live.halted = "the disk is full since 10:31"
    live_call.live.get_facts = lambda: RuntimeFacts("running", tick_lag=9.0)

    answer = await client.get("/healthz")

    assert answer.status_code == 503
    assert answer.json()["reasons"] == [
        "the disk is full since 10:31",
        "the keeper does not answer",
        "the runtime is 9 s late",
    ]


async def test_a_blocked_writer_is_told_and_asked_only_once(
    live_call: Call, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(health, "PROBE_SECONDS", 0.01)
    check, freed = HealthCheck(live_call), Event()
    blocking = asyncio.ensure_future(live_call.db.write_quietly(lambda c: freed.wait(60)))

    for _ in range(3):
        assert await check.list_reasons() == ["the database takes no writes"]
    freed.set()
    await blocking
    monkeypatch.setattr(health, "PROBE_SECONDS", 60.0)

    assert await check.list_reasons() == []


async def test_a_damaged_database_is_told(live_call: Call):
    live_call.db.damage = GoneDatabase("the database was removed.")

    assert await HealthCheck(live_call).list_reasons() == ["the database was removed."]
    live_call.db.damage = None


async def test_nothing_is_healthy_without_a_runtime(live_call: Call):
    reasons = await HealthCheck(replace(live_call, live=None)).list_reasons()

    assert reasons == ["no runtime is running"]
