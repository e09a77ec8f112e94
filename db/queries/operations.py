"""Operation log: who changed what, from where, with states before and after."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from sqlalchemy import Connection

from db import raw_sql, timestamps
from db.rows import OperationRow

DUTY = "duty"
"""Source of operations by the runtime itself."""


class Actor(str):
    """The acting user and the origin of the call.

    `source` is cli or deck, `origin` the terminal as the client reported it. `recorded` lists the
    ids of the operations of this call, in order; the first names the batch.
    """

    source: str
    origin: str | None
    recorded: list[int]
    undoing: OperationRow | None

    def __new__(cls, name: str, source: str = "cli", origin: str | None = None) -> Actor:
        by = super().__new__(cls, name)
        by.source, by.origin, by.recorded, by.undoing = source, origin, [], None
        return by

    @classmethod
    def copy_actor(cls, by: str) -> Actor:
        """Return the same user and terminal, without recorded operations."""
        return cls(by, by.source, by.origin) if isinstance(by, Actor) else cls(by)


@contextmanager
def record_as_undo(by: Actor, operation: OperationRow) -> Iterator[None]:
    """Record operations in this context as the undo of `operation`."""
    by.undoing = operation
    try:
        yield
    finally:
        by.undoing = None


def record(
    c: Connection, by: str, verb: str, obj: str, before: Any = None, after: Any = None
) -> None:
    """Record an operation in the caller's transaction.

    `obj` looks like `task #12` or `queue media`; before and after are JSON values.
    """
    record_all(c, by, verb, [(obj, before, after)])


def record_above(c: Connection, by: str, verb: str, obj: str, after: Any, above: int) -> None:
    """Record an operation with an id above `above`.

    Ids up to it belonged to operations that no longer exist here.
    """
    _insert(c, by, [(verb, obj, None, after, None)], above)


def record_all(c: Connection, by: str, verb: str, done: Sequence[tuple[str, Any, Any]]) -> None:
    """Record an operation for each of many objects: (object, before, after)."""
    if isinstance(by, Actor) and by.undoing is not None:
        record_undone(c, by, [(by.undoing, before, after) for _, before, after in done])
    else:
        _insert(c, by, [(verb, obj, before, after, None) for obj, before, after in done])


def record_undone(c: Connection, by: str, done: Sequence[tuple[OperationRow, Any, Any]]) -> None:
    """Record that operations were undone.

    Rows are (operation, state before the undo, state after).
    """
    rows = [
        (f"undo {row.verb}"[:MAX_VERB_LENGTH], row.object, before, after, row.id)
        for row, before, after in done
    ]
    first = _insert(c, by, rows)
    back = [(first + at, row.id) for at, (row, _, _) in enumerate(done)]
    raw_sql.execute_statements(c, "UPDATE operations SET undone_by = ? WHERE id = ?", back)


MAX_VERB_LENGTH = 64


def _insert(
    c: Connection, by: str, done: Sequence[tuple[str, str, Any, Any, int | None]], above: int = 0
) -> int:
    """Insert rows and return the first id.

    Rows are verb, object, before, after and the undone id.
    """
    first = max(raw_sql.fetch_value(c, "SELECT max(id) FROM operations") or 0, above) + 1
    source, origin, batch = DUTY, None, first
    if isinstance(by, Actor):
        source, origin, batch = by.source, by.origin, (by.recorded or [first])[0]
        by.recorded += range(first, first + len(done))
    now = timestamps.now()
    raw_sql.execute_statements(
        c,
        'INSERT INTO operations (id, "by", verb, object, before, after, source, origin, batch,'
        " undoes, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                first + at,
                by,
                verb,
                obj,
                _to_json(before),
                _to_json(after),
                source,
                origin,
                batch,
                undoes,
                now,
                now,
            )
            for at, (verb, obj, before, after, undoes) in enumerate(done)
        ],
    )
    return first


def _to_json(value: Any) -> str | None:
    return None if value is None else json.dumps(value)


# --- reading --------------------------------------------------------------------------------

_COLUMNS = ", ".join(f'"{name}"' for name in OperationRow._fields)


def list_by_id(c: Connection, ids: Sequence[int]) -> list[OperationRow]:
    """Return operations by id, oldest first."""
    found = (
        f"SELECT {_COLUMNS} FROM operations WHERE id IN (SELECT value FROM json_each(?)) ORDER"
        " BY id"
    )
    return _query(c, found, (json.dumps(list(ids)),))


class OperationFilter(NamedTuple):
    """Filter of operations.

    Older than an id, with words (`!word`: without), by user, verb (or its first words), object and
    start time.
    """

    before: int | None = None
    words: tuple[str, ...] = ()
    by: str | None = None
    verb: str | None = None
    object: str | None = None
    since: str | None = None


_TASK_NAME = (
    "coalesce((SELECT t.name FROM tasks t WHERE operations.object LIKE 'task #%' "
    "AND t.number = CAST(substr(operations.object, 7) AS INTEGER)), '')"
)
_TEXTS = (
    f"""lower("by" || ' ' || verb || ' ' || object || ' ' || {_TASK_NAME}"""
    " || ' ' || coalesce(before, '') || ' ' || coalesce(after, ''))"
)
"""Text searched for words, including the task's name. SQLite lowers ASCII letters only."""


def list_operations(c: Connection, wanted: OperationFilter, limit: int) -> list[OperationRow]:
    """Return operations, newest first. A limit of 0 means all."""
    where, given = ["1"], []
    exact = {
        "id < ?": wanted.before,
        '"by" = ?': wanted.by,
        "object = ?": wanted.object,
        "created_at >= ?": wanted.since,
    }
    for test, value in exact.items():
        if value is not None:
            where.append(test)
            given.append(value)
    if wanted.verb is not None:
        where.append("(verb = ? OR substr(verb, 1, ?) = ?)")
        given += [wanted.verb, len(wanted.verb) + 1, f"{wanted.verb} "]
    for word in wanted.words:
        bare = word.removeprefix("!") if len(word) > 1 else word
        where.append(f"instr({_TEXTS}, ?) {'= 0' if bare != word else '> 0'}")
        given.append("".join(letter.lower() if letter.isascii() else letter for letter in bare))
    found = (
        f"SELECT {_COLUMNS} FROM operations WHERE {' AND '.join(where)} ORDER BY operations.id DESC"
        " LIMIT ?"
    )
    return _query(c, found, (*given, limit or -1))


def list_batch(c: Connection, first: int) -> list[OperationRow]:
    """Return the operations of the call that began with `first`, oldest first."""
    return _query(c, f"SELECT {_COLUMNS} FROM operations WHERE batch = ? ORDER BY id", (first,))


def find_last_call(c: Connection, origin: str) -> OperationRow | None:
    """Return the first operation of a terminal's latest call.

    Skips undos and undone calls.
    """
    found = (
        f"SELECT {_COLUMNS} FROM operations WHERE batch = id AND origin = ? AND undoes IS NULL AND"
        " undone_by IS NULL ORDER BY id DESC LIMIT 1"
    )
    return next(iter(_query(c, found, (origin,))), None)


def list_earlier_calls(c: Connection, origin: str, before: int, limit: int) -> list[int]:
    """Return the first operations of a terminal's calls before one, latest first.

    Skips undos and undone calls.
    """
    found = (
        "SELECT id FROM operations WHERE batch = id AND origin = ? AND undoes IS NULL AND undone_by"
        " IS NULL AND id < ? ORDER BY id DESC LIMIT ?"
    )
    return raw_sql.fetch_column(c, found, (origin, before, limit))


def map_later(c: Connection, rows: Sequence[OperationRow]) -> dict[str, list[OperationRow]]:
    """Return {object: later operations, oldest first}, without undos and undone ones."""
    oldest = min((row.id for row in rows), default=0)
    found: dict[str, list[OperationRow]] = {}
    for row in _query(c, _LATER, (json.dumps([row.object for row in rows]), oldest)):
        found.setdefault(row.object, []).append(row)
    return found


_LATER = (
    f"SELECT {_COLUMNS} FROM operations WHERE object IN (SELECT value FROM json_each(?)) AND id > ?"
    " AND undoes IS NULL AND undone_by IS NULL ORDER BY id"
)


def _query(c: Connection, statement: str, given: Sequence[Any]) -> list[OperationRow]:
    return [_make_row(row) for row in raw_sql.fetch_rows(c, statement, given)]


def _make_row(row: Any) -> OperationRow:
    found = OperationRow._make(row)
    at = next(
        (time for time in (found.created_at, found.updated_at) if timestamps.is_time(time)),
        timestamps.from_unix(0),
    )
    return found._replace(
        before=parse_state(found.before), after=parse_state(found.after), created_at=at
    )


def parse_state(text: str | None) -> Any:
    """Parse a stored state; return None if it is empty or unreadable.

    Operations are append-only and never repaired.
    """
    try:
        return None if text is None else json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return None
