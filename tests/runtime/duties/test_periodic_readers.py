"""Passes of the rules that reading commands begin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.runtime.change_feed import ChangeFeed
from app.runtime.dispatch.dispatcher import Dispatcher
from app.runtime.duties.periodic import Duties
from app.runtime.duties.usage import UsageSampler
from app.runtime.serve import Runtime
from app.service import alerts, board
from app.service.context import Call
from app.service.definitions import slas
from db.queries.history.operations import Actor
from tests.service.calls import open_call, submit_task

DEEP = {"scope": "queue", "when": {"metric": "queue.depth", "op": ">", "value": 0}}


@pytest.fixture
async def call(tmp_path: Path) -> AsyncIterator[Call]:
    """Yield a call of a command to a runtime whose duties do not run."""
    async with open_call(tmp_path) as found:
        dispatcher, usage = Dispatcher(found.db, tmp_path), UsageSampler(tmp_path)
        runtime = Runtime(tmp_path, dispatcher, usage, ChangeFeed())
        runtime.duties = Duties(found.db, dispatcher, usage)
        runtime.levels = runtime.duties.rules.levels
        yield replace(found, by=Actor("ann"), live=runtime)
        await runtime.duties.close()


async def read_status(call: Call) -> list[Any]:
    return (await board.show_status(call))["alerts"]


async def read_rule(call: Call) -> list[Any]:
    (rule,) = await slas.ls(call)
    return [rule] if rule["state"] == "firing" else []


@pytest.mark.parametrize("read", [alerts.ls, read_status, read_rule])
async def test_a_command_shows_what_its_user_has_just_caused(
    call: Call, read: Callable[[Call], Awaitable[list[Any]]]
):
    await slas.create(call, name="deep", conditions=DEEP)
    assert not await read(call)
    await submit_task(call)
    assert await read(call)


async def test_a_deck_waits_for_no_pass(call: Call):
    await slas.create(call, name="deep", conditions=DEEP)
    await submit_task(call)
    assert not await alerts.ls(replace(call, by=Actor("ann", "deck")))


async def test_a_command_without_such_rules_begins_no_pass(
    call: Call, monkeypatch: pytest.MonkeyPatch
):
    await slas.create(call, name="done", preset="finishes-within", value="1h")
    await slas.create(call, name="deep", conditions=DEEP)
    await slas.set_(call, name="deep", enabled=False)
    monkeypatch.setattr("app.runtime.duties.periodic.Duties.evaluate_for_reader", None)
    assert await alerts.ls(call) == []


async def test_a_slow_pass_does_not_hold_a_command(call: Call, monkeypatch: pytest.MonkeyPatch):
    begun = asyncio.Event()

    async def hang(*_: Any) -> None:
        begun.set()
        await asyncio.Event().wait()

    await slas.create(call, name="deep", conditions=DEEP)
    monkeypatch.setattr("app.service.rules.evaluation.engine.RuleEngine.run_if_due", hang)
    monkeypatch.setattr("app.runtime.duties.periodic.READER_WAIT", 0.01)
    assert await alerts.ls(call) == []
    assert begun.is_set()
