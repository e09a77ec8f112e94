"""Database diagnostics, which work even if nothing can be written."""

from __future__ import annotations

import pytest

from app.service.context import Call
from app.service.database import diagnostics
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
