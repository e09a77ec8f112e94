"""Task numbers: the counter that gives them, and the numbers of a submission."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from db import raw_sql, timestamps
from db.errors import Storage


def is_known(c: Connection, first: str, last: str) -> bool:
    """Return True if a task, even a deleted one, has a uuid from `first` to `last`."""
    found = "SELECT 1 FROM tasks WHERE uuid BETWEEN ? AND ? LIMIT 1"
    return raw_sql.fetch_value(c, found, (first, last)) is not None


def find_numbers(c: Connection, uuids: Sequence[str]) -> list[int]:
    """Return the numbers of the tasks that exist, in the order of `uuids`."""
    known = find_known(c, uuids)
    return [known[uuid] for uuid in uuids if uuid in known]


def find_uuid(c: Connection, number: int) -> str | None:
    """Return the uuid of a task, even of a deleted one, or None."""
    return raw_sql.fetch_value(c, "SELECT uuid FROM tasks WHERE number = ?", (number,))


def find_last_number(c: Connection) -> int:
    """Return the number of the last task, or 0."""
    return raw_sql.fetch_value(c, "SELECT max(number) FROM tasks") or 0


def find_number_limits(c: Connection, first: str, last: str) -> tuple[int, int]:
    """Return the numbers of the first and the last existing task between two uuids, or 0."""
    found = "SELECT number FROM tasks WHERE uuid BETWEEN ? AND ? ORDER BY uuid {} LIMIT 1"
    low, high = (
        raw_sql.fetch_value(c, found.format(order), (first, last)) for order in ("ASC", "DESC")
    )
    return low or 0, high or 0


def summarize_numbers(c: Connection, first: str, last: str) -> tuple[int, int, int]:
    """Return lowest and highest number and the count of the tasks between two uuids."""
    found = "SELECT min(number), max(number), count(*) FROM tasks WHERE uuid BETWEEN ? AND ?"
    low, high, count = raw_sql.fetch_rows(c, found, (first, last))[0]
    return low or 0, high or 0, count


def list_numbers(c: Connection, after: str, last: str, limit: int) -> list[tuple[str, int]]:
    """Return at most `limit` (uuid, number), above the uuid `after` and up to `last`."""
    found = "SELECT uuid, number FROM tasks WHERE uuid > ? AND uuid <= ? ORDER BY uuid LIMIT ?"
    return raw_sql.fetch_rows(c, found, (after, last, limit))


class SubmissionTask(NamedTuple):
    """Task of a submission, with its status and the number of its runs."""

    uuid: str
    number: int
    status: str
    attempts: int


def list_states(c: Connection, first: str, last: str) -> list[SubmissionTask]:
    """Return the tasks between two uuids, without deleted ones."""
    found = (
        "SELECT uuid, number, status, attempts FROM tasks WHERE uuid BETWEEN ? AND ?"
        " AND deleted_at IS NULL ORDER BY uuid"
    )
    return [SubmissionTask(*row) for row in raw_sql.fetch_rows(c, found, (first, last))]


def find_known(c: Connection, uuids: Sequence[str]) -> dict[str, int]:
    """Return {uuid: number} of the tasks that exist.

    The uuids of one submission follow one another, so one range of the index holds them.
    """
    if not uuids:
        return {}
    between = "SELECT uuid, number FROM tasks WHERE uuid BETWEEN ? AND ?"
    found = raw_sql.fetch_rows(c, between, (min(uuids), max(uuids)))
    wanted = set(uuids) if found else ()
    return {uuid: number for uuid, number in found if uuid in wanted}


SUBMISSIONS = "submission/"
"""Prefix of counters, one for each submission being stored: file name and position in the file."""
MAX_NUMBER = 2**62
"""Highest task number. SQLite integers reach twice as far; beyond them SQLite counts in floats."""


def take_numbers(c: Connection, many: int, now: str) -> int:
    """Reserve `many` consecutive task numbers and return the first.

    Numbers are never reused. Raise Storage if the counter is damaged or exhausted.
    """
    take = (
        "INSERT INTO counters (name, value, created_at, updated_at) VALUES ('task-number', :many,"
        " :now, :now) ON CONFLICT (name) DO UPDATE SET value = value + :many, updated_at = :now"
        f" WHERE typeof(value) = 'integer' AND value + :many <= {MAX_NUMBER} RETURNING value"
    )
    last = raw_sql.fetch_value(c, take, {"many": many, "now": now})
    if last is None:
        said = "the task number counter is exhausted or damaged. Nothing was stored."
        raise Storage(said, "Reset it to the highest known number: taskdeck db check --repair")
    return last - many + 1


def take_number(c: Connection) -> int:
    """Reserve a task number. Raise Storage."""
    return take_numbers(c, 1, timestamps.now())


def skip_numbers(c: Connection, last: int) -> None:
    """Skip all task numbers up to `last`."""
    now = timestamps.now()
    raw_sql.execute_statement(
        c,
        "INSERT INTO counters (name, value, created_at, updated_at) VALUES ('task-number', :last,"
        " :now, :now) ON CONFLICT (name) DO UPDATE SET value = :last, updated_at = :now WHERE value"
        " < :last",
        {"last": last, "now": now},
    )
