"""Schedules in a restore: nothing is fired twice, and fire times since the backup are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from db import host, schema, timestamps
from db.queries import definitions, schedules
from db.restore import promote
from tests.db.restore.test_restore import open_transaction, overwrite_tables, take_image

__all__ = ["take_image"]

PAST = "2026-01-01T00:00:00.000000Z"


def add_schedule(c: Connection, name: str = "s", **more: Any) -> None:
    """Insert a schedule that is long overdue."""
    values = {
        "kind": "cron", "expression": "0 * * * *", "zone": "UTC", "start": PAST,
        "task": {"argv": ["true"]}, "context": {"cwd": "/", "umask": 18, "env": {}},
        "exclude": [], "next_fire": PAST, "due_at": PAST,
    } | more  # fmt: skip
    definitions.create(c, schema.schedules, name, values, "ann")


@pytest.mark.parametrize("whole", [True, False])
def test_restored_schedules_continue_from_now(database_path: Path, take_image, whole: bool):
    with open_transaction(database_path) as made:
        add_schedule(made.c)
        add_schedule(made.c, "boot", kind="boot", boot_id="old", due_at=None, next_fire=None)
    then = take_image()
    if not whole:
        overwrite_tables(database_path, "idx_tasks_status")

    then.restore_over()

    with open_transaction(database_path) as made:
        found, boot = schedules.find(made.c, "s"), schedules.find(made.c, "boot")
        assert found and found.next_fire is None and (found.due_at or "") > PAST
        assert boot and (boot.boot_id, boot.due_at) == (host.read_boot_id(), None)
        assert schedules.list_boot(made.c, host.read_boot_id()) == []


def test_fire_times_since_the_backup_are_kept_with_their_tasks(database_path: Path, take_image):
    with open_transaction(database_path) as made:
        add_schedule(made.c)
    then = take_image()
    with open_transaction(database_path) as made:
        uuid = made.submit_task()
        schedules.record_fires(made.c, "s", [(PAST, "submitted", None, uuid)])
        add_schedule(made.c, "new")
        schedules.record_fires(made.c, "new", [(PAST, "missed", None, None)])

    carried = then.restore_over()

    assert carried.dropped == {"schedule": ["new"]}
    with open_transaction(database_path) as made:
        ((fire,),) = schedules.list_fires(made.c, ["s"], 9).values()
        assert (fire.task_id, schedules.find_unfinished_task(made.c, "s")) == (uuid, (uuid, 1))
        assert schedules.list_names(made.c) == ["s"]


def test_an_earlier_version_without_schedules_is_restored_over(database_path: Path, take_image):
    with open_transaction(database_path) as made:
        add_schedule(made.c)
    then = take_image()
    with open_transaction(database_path) as made:
        for table in ("fires", "schedules", "calendars"):
            made.c.exec_driver_sql(f"DROP TABLE {table}")

    then.restore_over()

    with open_transaction(database_path) as made:
        assert schedules.list_names(made.c) == ["s"]


def test_schedules_of_a_promoted_replica_continue_from_now(database_path: Path, take_image):
    with open_transaction(database_path) as made:
        add_schedule(made.c)
    replica = take_image().path
    database_path.unlink()

    promote.promote_replica(replica, database_path, "ann")

    with open_transaction(database_path) as made:
        found = schedules.find(made.c, "s")
        assert found and found.next_fire is None
        assert found.due_at is not None and found.due_at <= timestamps.now()
