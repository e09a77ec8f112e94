"""How old the newest backup and the replica are, as the board tells it."""

from __future__ import annotations

import time

import pytest

from app.core.board import BackupFacts, Board
from app.core.upkeep import Backup, Upkeep
from app.service.board import board
from app.service.call import Call
from db.clock import from_unix
from tests.service.conftest import Up


async def facts(call: Call) -> Board:
    return Board.from_dict(await board(call))


async def taken(call: Call, ago: float, good: bool = True) -> float:
    moment = round(time.time() - ago, 3)
    at = from_unix(moment)
    values = (at if good else None, None if good else "it was damaged", at, at)
    insert = "INSERT INTO backups (kind, file, verified_at, problem, created_at, updated_at) VALUES ('full', 'x', ?, ?, ?, ?)"
    await call.db.write(lambda c: c.exec_driver_sql(insert, values))
    return moment


async def test_no_backup_is_no_reason_to_shout(call: Call):
    assert (await facts(call)).backup == BackupFacts(None, late=False)


async def test_the_newest_that_is_good_counts(call: Call):
    moment = await taken(call, 60)
    await taken(call, 10, good=False)
    assert (await facts(call)).backup == BackupFacts(pytest.approx(moment, abs=0.001), late=False)


async def test_one_older_than_its_rule_is_late(live: Call, up: Up, monkeypatch: pytest.MonkeyPatch):
    await taken(live, 3 * 3600)
    assert (await facts(live)).backup.late  # type: ignore[union-attr]
    monkeypatch.setattr(Up, "upkeep", Upkeep(backup=Backup(increment=2 * 3600.0)))
    assert not (await facts(live)).backup.late  # type: ignore[union-attr]
    monkeypatch.setattr(Up, "upkeep", Upkeep(backup=Backup(enabled=False)))
    assert (await facts(live)).backup is None
