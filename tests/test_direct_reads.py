from __future__ import annotations

import threading

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from db.engine import Database

pytestmark = pytest.mark.database


def count_queues(c: Connection) -> int:
    return c.exec_driver_sql("SELECT count(*) FROM queues").scalar_one()


async def test_a_direct_read_starts_no_thread(db: Database):
    before = threading.active_count()

    assert await db.read(count_queues) > 0
    assert threading.active_count() == before


async def test_a_direct_read_raises_the_error_of_its_statement(db: Database):
    with pytest.raises(OperationalError, match="no such table: nowhere"):
        await db.read(lambda c: c.exec_driver_sql("SELECT 1 FROM nowhere"))
