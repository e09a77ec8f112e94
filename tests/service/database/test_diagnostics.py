"""The database's health as verbs: told also where nothing can be written."""

from __future__ import annotations

import pytest

from app.service.context import Call
from app.service.database import diagnostics
from db.engine import Database
from db.errors import DiskFull, ReadOnlyDisk
from db.maintenance import slow_queries


@pytest.mark.parametrize("trouble", [DiskFull, ReadOnlyDisk])
async def test_figures_are_told_though_the_disk_takes_nothing(
    live: Call, db: Database, trouble: type[Exception], monkeypatch: pytest.MonkeyPatch
):
    async def refuse(db: Database) -> dict[str, str]:
        raise trouble("no room")

    monkeypatch.setattr(slow_queries, "keep", refuse)

    assert (await diagnostics.figures(live))["pages"] > 0
    assert await diagnostics.slow(live) == []
