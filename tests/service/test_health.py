"""The database's health as verbs: told also where nothing can be written."""

from __future__ import annotations

import pytest

from app.service import health
from app.service.call import Call
from db import slowlog
from db.engine import Database
from db.errors import DiskFull, ReadOnlyDisk


@pytest.mark.parametrize("trouble", [DiskFull, ReadOnlyDisk])
async def test_figures_are_told_though_the_disk_takes_nothing(
    live: Call, db: Database, trouble: type[Exception], monkeypatch: pytest.MonkeyPatch
):
    async def refuse(db: Database) -> dict[str, str]:
        raise trouble("no room")

    monkeypatch.setattr(slowlog, "keep", refuse)

    assert (await health.figures(live))["pages"] > 0
    assert await health.slow(live) == []
