"""Named counters in the table `counters`, whose names form paths like `cleanup/runs`.

Each is one row, read and written by its key or by a range of keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from sqlalchemy import Connection

from db import raw_sql, schema, timestamps

# SQL text: duties of the runtime read and write counters every second.
_INSERT = "INSERT INTO counters (name, value, created_at, updated_at) VALUES (?, ?, ?, ?) "
_SET = (
    f"{_INSERT} ON CONFLICT (name) DO UPDATE SET value = excluded.value, updated_at ="
    " excluded.updated_at"
)
_ADD = (
    f"{_INSERT} ON CONFLICT (name) DO UPDATE SET value = value + excluded.value, updated_at ="
    " excluded.updated_at"
)


def read_value(c: Connection, name: str) -> int | None:
    """Return the value of a counter, or None if it does not exist."""
    return raw_sql.fetch_value(c, "SELECT value FROM counters WHERE name = ?", (name,))


def map_values(c: Connection, folder: str) -> dict[str, int]:
    """Return {name without `folder`: value} of the counters below `folder`, which ends in `/`."""
    found = "SELECT substr(name, ?), value FROM counters WHERE name >= ? AND name < ?"
    return dict(raw_sql.fetch_rows(c, found, (len(folder) + 1, *get_range(folder))))


def find_first_name(c: Connection, folder: str) -> str | None:
    """Return the first name below `folder`, which ends in `/`."""
    found = "SELECT name FROM counters WHERE name >= ? AND name < ? ORDER BY name LIMIT 1"
    return raw_sql.fetch_value(c, found, get_range(folder))


def set_value(c: Connection, name: str, value: int) -> None:
    """Set a counter, which need not exist yet."""
    now = timestamps.now()
    raw_sql.execute_statement(c, _SET, (name, value, now, now))


def create(c: Connection, name: str, value: int) -> None:
    """Create a counter. An existing one keeps its value."""
    now = timestamps.now()
    raw_sql.execute_statement(
        c, f"{_INSERT} ON CONFLICT (name) DO NOTHING", (name, value, now, now)
    )


def add_values(c: Connection, amounts: Mapping[str, int]) -> None:
    """Add {name: amount} to counters, which need not exist yet."""
    now = timestamps.now()
    raw_sql.execute_statements(
        c, _ADD, [(name, amount, now, now) for name, amount in amounts.items()]
    )


@contextmanager
def count_together(c: Connection, changes: Mapping[str, int]) -> Iterator[None]:
    """Add `changes` to the task counters for all tasks that the block inserts or moves.

    The triggers, which take 2 µs for each, skip these tasks. Without changes they count. An error
    of the block must end the transaction.
    """
    if changes:
        create(c, schema.COUNTED_TOGETHER, 1)
    yield
    if changes:
        delete(c, schema.COUNTED_TOGETHER)
        add_values(c, changes)


def delete(c: Connection, name: str) -> None:
    """Delete a counter, which need not exist."""
    raw_sql.execute_statement(c, "DELETE FROM counters WHERE name = ?", (name,))


def delete_below(c: Connection, folder: str) -> None:
    """Delete the counters below `folder`, which ends in `/`."""
    raw_sql.execute_statement(
        c, "DELETE FROM counters WHERE name >= ? AND name < ?", get_range(folder)
    )


def get_range(folder: str) -> tuple[str, str]:
    """Return the first name below `folder` and the first one behind it. `0` follows `/`."""
    return folder, f"{folder[:-1]}0"
