"""Database diagnostics, which work even if nothing can be written."""

from __future__ import annotations

import pytest

from app.core.board import RuntimeFacts
from app.service.context import Call
from app.service.database import diagnostics
from db import timestamps
from db.engine import Database
from db.errors import DiskFull, ReadOnlyDisk
from db.maintenance import slow_queries


@pytest.mark.parametrize("trouble", [DiskFull, ReadOnlyDisk])
async def test_figures_are_shown_although_the_disk_is_not_writable(
    runtime_call: Call, db: Database, trouble: type[Exception], monkeypatch: pytest.MonkeyPatch
):
    async def refuse(db: Database) -> None:
        raise trouble("no room")

    monkeypatch.setattr(slow_queries, "store_slow_statements", refuse)

    assert (await diagnostics.read_stats(runtime_call))["pages"] > 0
    assert await diagnostics.list_slow(runtime_call) == []


@pytest.mark.parametrize(("hours", "expected"), [(1, False), (25, True)])
async def test_an_index_is_called_unused_after_a_day_without_use(
    runtime_call: Call, hours: int, expected: bool, monkeypatch: pytest.MonkeyPatch
):
    since = timestamps.utcnow().timestamp() - hours * 3600
    facts = RuntimeFacts(state="running", since=since)
    monkeypatch.setattr(runtime_call.live, "get_facts", lambda: facts)

    found = await diagnostics.read_stats(runtime_call)

    unused = {index["name"]: index["unused"] for index in found["indexes"]}
    assert unused["idx_tasks_type"] is expected
    assert not unused["idx_tasks_number"], "it keeps numbers unique"
    assert found["used_since"] == timestamps.from_unix(since)
