"""Messages and check-ins in a restore: what was sent is not sent again, and no report is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Connection

from db import timestamps
from db.queries.rules import checkins, deliveries
from tests.db.restore.test_restore import open_transaction, take_image

__all__ = ["take_image"]


def enqueue(c: Connection) -> None:
    """Enqueue a message that is due."""
    due = timestamps.now()
    deliveries.insert(c, {
        "event": "firing", "action": {"on": "firing", "command": ["reboot"]},
        "target": "command reboot", "payload": {"ids": [1], "alerts": []}, "status": "pending",
        "log": [], "reached": [], "due_at": due, "next_at": due,
    })  # fmt: skip


def test_an_action_since_the_backup_is_not_done_again(database_path: Path, take_image):
    with open_transaction(database_path) as made:
        enqueue(made.c)
        enqueue(made.c)
    then = take_image()
    with open_transaction(database_path) as made:
        row = deliveries.list_latest(made.c, 9)[-1]
        deliveries.record_attempt(made.c, row, None, ["a"], None)

    then.restore_over()

    with open_transaction(database_path) as made:
        waiting, sent = deliveries.list_latest(made.c, 9)
        assert (waiting.status, waiting.attempts) == ("pending", 0)
        assert (sent.status, sent.attempts, sent.next_at, sent.reached) == ("sent", 1, None, ["a"])


@pytest.mark.parametrize("is_known", [True, False])
def test_the_latest_report_of_a_program_stays(database_path: Path, take_image, is_known: bool):
    with open_transaction(database_path) as made:
        if is_known:
            checkins.store_checkin(made.c, "backup", "ann", "old")
    then = take_image()
    with open_transaction(database_path) as made:
        checkins.store_checkin(made.c, "backup", "ann", "new")

    then.restore_over()

    with open_transaction(database_path) as made:
        assert made.c.exec_driver_sql("SELECT note FROM checkins").all() == [("new",)]


def test_an_earlier_version_without_messages_is_restored_over(database_path: Path, take_image):
    with open_transaction(database_path) as made:
        enqueue(made.c)
    then = take_image()
    with open_transaction(database_path) as made:
        for table in ("deliveries", "checkins"):
            made.c.exec_driver_sql(f"DROP TABLE {table}")

    then.restore_over()

    with open_transaction(database_path) as made:
        assert [row.status for row in deliveries.list_latest(made.c, 9)] == ["pending"]
