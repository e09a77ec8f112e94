"""The documented tables, columns, keys and indexes, in a real database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import CheckConstraint, Connection, UniqueConstraint
from sqlalchemy.exc import IntegrityError

from db.schema import APPLICATION_ID, TRIGGERS, metadata
from tests.db.builders import TaskBuilder

DOCUMENT_COLUMNS = {
    "tasks": "uuid name template type status parameters priority timeout created_at updated_at",
    "instances": "runid task_id status start_time end_time logs tags",
    "templates": "name type engine template schema parameters created_at updated_at",
    "queues": "name capacity current_load status priority",
    "pools": "name total_cpu total_memory used_cpu used_memory status",
    "slas": "id name conditions actions priority",
}
KEYS = {
    "tasks": "uuid",
    "instances": "runid",
    "templates": "name",
    "queues": "name",
    "pools": "name",
    "slas": "id",
}
RELATIONS = {
    ("instances", "task_id", "tasks", "uuid"), ("tasks", "template", "templates", "name"),
    ("tasks", "queue", "queues", "name"),
    ("queues", "pool", "pools", "name"), ("pools", "sla_id", "slas", "id"),
}  # fmt: skip
INDEXES = {
    "idx_tasks_status": ("tasks", "status"), "idx_tasks_type": ("tasks", "type"),
    "idx_tasks_created": ("tasks", "created_at"),
    "idx_instances_task": ("instances", "task_id"), "idx_instances_status": ("instances", "status"),
    "idx_instances_time": ("instances", "start_time"), "idx_queues_status": ("queues", "status"),
    "idx_queues_priority": ("queues", "priority"),
}  # fmt: skip
EXTRA_TABLES = (
    "resources groups limits bookings start_forecasts environments dependencies home alerts"
    " silences operations events samples history slow_queries backups counters stale_texts"
    " forgotten discarded_logs replicas schedules fires calendars"
    " rule_states checkins deliveries due_times"
)
TYPES = {
    ("tasks", "parameters"): "JSON", ("tasks", "priority"): "INTEGER",
    ("tasks", "number"): "INTEGER", ("instances", "logs"): "TEXT",
    ("instances", "tags"): "JSON", ("pools", "total_cpu"): "FLOAT",
    ("pools", "used_memory"): "FLOAT", ("queues", "capacity"): "INTEGER",
    ("slas", "id"): "INTEGER", ("slas", "conditions"): "JSON", ("slas", "actions"): "JSON",
    ("templates", "schema"): "JSON",
}  # fmt: skip


@pytest.fixture
def sqlite_connection(database_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(database_path)) as opened:
        yield opened


def read_columns(file: sqlite3.Connection, table: str) -> dict[str, tuple[str, bool, int]]:
    """Return {name: (type, not null, position in the key)}."""
    return {
        row[1]: (row[2], bool(row[3]), row[5])
        for row in file.execute(f"PRAGMA table_info({table})")
    }


@pytest.mark.parametrize("table", DOCUMENT_COLUMNS)
def test_each_documented_table_has_its_columns_and_its_key(
    sqlite_connection: sqlite3.Connection, table: str
):
    found = read_columns(sqlite_connection, table)

    assert set(DOCUMENT_COLUMNS[table].split()) <= found.keys()
    assert [name for name, (_, _, place) in found.items() if place] == [KEYS[table]]


def test_columns_have_the_documented_types(sqlite_connection: sqlite3.Connection):
    assert {
        (table, name): read_columns(sqlite_connection, table)[name][0] for table, name in TYPES
    } == TYPES


def test_the_documented_relations_are_foreign_keys(sqlite_connection: sqlite3.Connection):
    found = {
        (table, row[3], row[2], row[4])
        for table in DOCUMENT_COLUMNS
        for row in sqlite_connection.execute(f"PRAGMA foreign_key_list({table})")
    }

    assert found >= RELATIONS


def test_the_documented_indexes_exist_under_their_names(sqlite_connection: sqlite3.Connection):
    found: dict[str, tuple[str, str, int]] = {}
    for table in DOCUMENT_COLUMNS:
        for row in sqlite_connection.execute(f"PRAGMA index_list({table})"):
            parts = sqlite_connection.execute(f"PRAGMA index_info({row[1]})")
            found[row[1]] = (table, ",".join(part[2] for part in parts), row[4])

    assert {name: found.get(name) for name in INDEXES} == {
        name: (*where, 0) for name, where in INDEXES.items()
    }


def test_every_table_records_creation_and_change_times(sqlite_connection: sqlite3.Connection):
    for table in (*DOCUMENT_COLUMNS, *EXTRA_TABLES.split()):
        found = read_columns(sqlite_connection, table)
        assert found["created_at"][1] and found["updated_at"][1], table


def test_template_of_a_task_and_sla_of_a_pool_are_optional(sqlite_connection: sqlite3.Connection):
    assert read_columns(sqlite_connection, "tasks")["template"][1] is False
    assert read_columns(sqlite_connection, "pools")["sla_id"][1] is False


def test_there_are_no_tables_outside_the_design(sqlite_connection: sqlite3.Connection):
    tables = {
        row[0]
        for row in sqlite_connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        )
    }

    assert tables == {*DOCUMENT_COLUMNS, *EXTRA_TABLES.split(), "alembic_version"}


def test_every_foreign_key_is_served_by_an_index(sqlite_connection: sqlite3.Connection):
    for table in metadata.tables:
        led = {
            next(iter(sqlite_connection.execute(f"PRAGMA index_info({row[1]})")))[2]
            for row in sqlite_connection.execute(f"PRAGMA index_list({table})")
        }
        for row in sqlite_connection.execute(f"PRAGMA foreign_key_list({table})"):
            assert row[3] in led, f"{table}.{row[3]}"


def test_constraints_follow_the_naming_convention():
    for table in metadata.tables.values():
        for rule in table.constraints:
            prefix = {CheckConstraint: "ck", UniqueConstraint: "uq"}.get(type(rule), "")
            assert prefix == "" or str(rule.name or f"{prefix}_").startswith(prefix), (
                f"{table.name}: {rule.name}"
            )


def test_the_file_has_our_application_id_and_can_shrink(sqlite_connection: sqlite3.Connection):
    pragmas = {
        name: sqlite_connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("application_id", "auto_vacuum", "journal_mode")
    }

    assert pragmas == {"application_id": APPLICATION_ID, "auto_vacuum": 2, "journal_mode": "wal"}


def test_the_file_is_private(database_path: Path):
    assert database_path.stat().st_mode & 0o777 == 0o600


def test_the_database_refuses_an_unknown_status(connection: Connection, builder: TaskBuilder):
    uuid = builder.submit_task()
    with pytest.raises(IntegrityError, match="ck_tasks_status"):
        connection.exec_driver_sql("UPDATE tasks SET status = 'done' WHERE uuid = ?", (uuid,))


def test_a_referenced_template_queue_or_pool_cannot_be_deleted(
    connection: Connection, builder: TaskBuilder
):
    builder.submit_task()
    for table in ("queues", "pools"):
        with pytest.raises(IntegrityError, match="FOREIGN KEY"):
            connection.exec_driver_sql(f"DELETE FROM {table}")


def test_the_triggers_of_the_file_match_the_schema(sqlite_connection: sqlite3.Connection):
    found = dict(
        sqlite_connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
    )

    assert {name: " ".join(sql.split()) for name, sql in found.items()} == {
        name: " ".join(sql.split()) for name, sql in TRIGGERS.items()
    }
