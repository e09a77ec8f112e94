"""The owner's document, exactly: tables, columns, keys and indexes of a database that was really made."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import CheckConstraint, Connection, UniqueConstraint
from sqlalchemy.exc import IntegrityError

from db.schema import APPLICATION_ID, TRIGGERS, metadata
from tests.db.builders import Made

OWNERS = {
    "tasks": "uuid name template type status parameters priority timeout created_at updated_at",
    "instances": "runid task_id status start_time end_time logs tags",
    "templates": "name type engine template schema parameters created_at updated_at",
    "queues": "name capacity current_load status priority",
    "pools": "name total_cpu total_memory used_cpu used_memory status",
    "slas": "id name conditions actions priority",
}
KEYS = {"tasks": "uuid", "instances": "runid", "templates": "name", "queues": "name", "pools": "name", "slas": "id"}
RELATIONS = {
    ("instances", "task_id", "tasks", "uuid"), ("tasks", "template", "templates", "name"), ("tasks", "queue", "queues", "name"),
    ("queues", "pool", "pools", "name"), ("pools", "sla_id", "slas", "id"),
}  # fmt: skip
INDEXES = {
    "idx_tasks_status": ("tasks", "status"), "idx_tasks_type": ("tasks", "type"), "idx_tasks_created": ("tasks", "created_at"),
    "idx_instances_task": ("instances", "task_id"), "idx_instances_status": ("instances", "status"),
    "idx_instances_time": ("instances", "start_time"), "idx_queues_status": ("queues", "status"),
    "idx_queues_priority": ("queues", "priority"),
}  # fmt: skip
OURS = (
    "environments dependencies home alerts silences operations events samples history slow_queries backups counters stale_texts "
    "forgotten discarded_logs replicas"
)
TYPES = {
    ("tasks", "parameters"): "JSON", ("tasks", "priority"): "INTEGER", ("tasks", "number"): "INTEGER", ("instances", "logs"): "TEXT",
    ("instances", "tags"): "JSON", ("pools", "total_cpu"): "FLOAT", ("pools", "used_memory"): "FLOAT", ("queues", "capacity"): "INTEGER",
    ("slas", "id"): "INTEGER", ("slas", "conditions"): "JSON", ("slas", "actions"): "JSON", ("templates", "schema"): "JSON",
}  # fmt: skip


@pytest.fixture
def file(database: Path) -> Iterator[sqlite3.Connection]:
    """The file, as any program sees it."""
    with closing(sqlite3.connect(database)) as opened:
        yield opened


def columns(file: sqlite3.Connection, table: str) -> dict[str, tuple[str, bool, int]]:
    """{name: (type, not null, place in the key)}."""
    return {row[1]: (row[2], bool(row[3]), row[5]) for row in file.execute(f"PRAGMA table_info({table})")}


@pytest.mark.parametrize("table", OWNERS)
def test_each_table_of_the_owner_has_its_columns_and_its_key(file: sqlite3.Connection, table: str):
    found = columns(file, table)

    assert set(OWNERS[table].split()) <= found.keys()
    assert [name for name, (_, _, place) in found.items() if place] == [KEYS[table]]


def test_columns_have_the_owners_types(file: sqlite3.Connection):
    assert {(table, name): columns(file, table)[name][0] for table, name in TYPES} == TYPES


def test_the_owners_relations_are_foreign_keys(file: sqlite3.Connection):
    found = {
        (table, row[3], row[2], row[4]) for table in OWNERS for row in file.execute(f"PRAGMA foreign_key_list({table})")
    }

    assert found >= RELATIONS


def test_the_owners_indexes_are_there_under_their_names_on_their_columns(file: sqlite3.Connection):
    found = {
        row[1]: (table, ",".join(part[2] for part in file.execute(f"PRAGMA index_info({row[1]})")), row[4])
        for table in OWNERS for row in file.execute(f"PRAGMA index_list({table})")
    }  # fmt: skip

    assert {name: found.get(name) for name in INDEXES} == {name: (*where, 0) for name, where in INDEXES.items()}


def test_every_table_says_when_its_rows_were_made_and_changed(file: sqlite3.Connection):
    for table in (*OWNERS, *OURS.split()):
        found = columns(file, table)
        assert found["created_at"][1] and found["updated_at"][1], table


def test_a_task_without_a_template_and_a_pool_without_an_sla_may_be(file: sqlite3.Connection):
    assert columns(file, "tasks")["template"][1] is False
    assert columns(file, "pools")["sla_id"][1] is False


def test_there_are_no_other_tables_than_the_design_names(file: sqlite3.Connection):
    tables = {
        row[0]
        for row in file.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    }

    assert tables == {*OWNERS, *OURS.split(), "alembic_version"}


def test_every_foreign_key_is_served_by_an_index(file: sqlite3.Connection):
    for table in metadata.tables:
        led = {
            next(iter(file.execute(f"PRAGMA index_info({row[1]})")))[2]
            for row in file.execute(f"PRAGMA index_list({table})")
        }
        for row in file.execute(f"PRAGMA foreign_key_list({table})"):
            assert row[3] in led, f"{table}.{row[3]}"


def test_constraints_follow_the_naming_convention():
    for table in metadata.tables.values():
        for rule in table.constraints:
            prefix = {CheckConstraint: "ck", UniqueConstraint: "uq"}.get(type(rule), "")
            assert prefix == "" or str(rule.name or f"{prefix}_").startswith(prefix), f"{table.name}: {rule.name}"


def test_the_file_is_ours_and_can_give_space_back(file: sqlite3.Connection):
    pragmas = {
        name: file.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "auto_vacuum", "journal_mode")
    }

    assert pragmas == {"application_id": APPLICATION_ID, "auto_vacuum": 2, "journal_mode": "wal"}


def test_the_file_is_private(database: Path):
    assert database.stat().st_mode & 0o777 == 0o600


def test_a_status_that_is_none_is_refused_by_the_database_itself(c: Connection, made: Made):
    uuid = made.task()
    with pytest.raises(IntegrityError, match="ck_tasks_status"):
        c.exec_driver_sql("UPDATE tasks SET status = 'done' WHERE uuid = ?", (uuid,))


def test_a_template_queue_or_pool_that_is_referred_to_cannot_be_deleted(c: Connection, made: Made):
    made.task()
    for table in ("queues", "pools"):
        with pytest.raises(IntegrityError, match="FOREIGN KEY"):
            c.exec_driver_sql(f"DELETE FROM {table}")


def test_the_triggers_of_the_file_are_those_of_the_schema(file: sqlite3.Connection):
    found = dict(file.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"))

    assert {name: " ".join(sql.split()) for name, sql in found.items()} == {
        name: " ".join(sql.split()) for name, sql in TRIGGERS.items()
    }
