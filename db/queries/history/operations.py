"""Operation log: who changed what, from where, with states before and after."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import reduce
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Select,
    Text,
    bindparam,
    cast,
    func,
    or_,
    select,
    type_coerce,
    update,
)

from db import raw_sql, schema, timestamps
from db.queries.value_lists import is_any_of
from db.rows import OperationRow

_O = schema.operations.c

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


def record_above(c: Connection, by: str, verb: str, obj: str, after: Any, min_id: int) -> None:
    """Record an operation with an id above `min_id`.

    Ids up to it belonged to operations that no longer exist here.
    """
    _insert(c, by, [(verb, obj, None, after, None)], min_id)


def record_all(c: Connection, by: str, verb: str, entries: Sequence[tuple[str, Any, Any]]) -> None:
    """Record an operation for each of many objects: (object, before, after)."""
    if isinstance(by, Actor) and by.undoing is not None:
        record_undone(c, by, [(by.undoing, before, after) for _, before, after in entries])
    else:
        _insert(c, by, [(verb, obj, before, after, None) for obj, before, after in entries])


def record_undone(c: Connection, by: str, entries: Sequence[tuple[OperationRow, Any, Any]]) -> None:
    """Record that operations were undone.

    Rows are (operation, state before the undo, state after).
    """
    rows = [
        (f"undo {row.verb}"[:MAX_VERB_LENGTH], row.object, before, after, row.id)
        for row, before, after in entries
    ]
    first = _insert(c, by, rows)
    back = [{"by_id": first + at, "key": row.id} for at, (row, _, _) in enumerate(entries)]
    marked = update(schema.operations).where(_O.id == bindparam("key"))
    c.execute(marked.values(undone_by=bindparam("by_id"), updated_at=timestamps.now()), back)


MAX_VERB_LENGTH = 64


def _insert(
    c: Connection,
    by: str,
    entries: Sequence[tuple[str, str, Any, Any, int | None]],
    min_id: int = 0,
) -> int:
    """Insert rows and return the first id.

    Rows are verb, object, before, after and the undone id.
    """
    first = max(find_last_id(c), min_id) + 1
    source, origin, batch = DUTY, None, first
    if isinstance(by, Actor):
        source, origin, batch = by.source, by.origin, (by.recorded or [first])[0]
        by.recorded += range(first, first + len(entries))
    now, texts = timestamps.now(), dict[int, str | None]()

    def encode(value: Any) -> str | None:
        """Return a state as JSON, made once for the many tasks that share it."""
        if id(value) not in texts:
            texts[id(value)] = _to_json(value)
        return texts[id(value)]

    alike: dict[tuple[str | None, ...], list[tuple[int, str, int | None]]] = {}
    for at, (verb, obj, before, after, undoes) in enumerate(entries, first):
        alike.setdefault((verb, encode(before), encode(after)), []).append((at, obj, undoes))
    shared = source, origin, batch, now, now
    groups = [(by, *states, *shared, json.dumps(rows)) for states, rows in alike.items()]
    raw_sql.execute_statements(c, _INSERT_ALIKE, groups)
    return first


# SQL text: each action of a user, on up to a million tasks, passes here.
_INSERT_ALIKE = (
    'INSERT INTO operations ("by", verb, before, after, source, origin, batch, created_at,'
    " updated_at, id, object, undoes) SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, value ->> 0, value ->> 1,"
    " value ->> 2 FROM json_each(?)"
)


def _to_json(value: Any) -> str | None:
    return None if value is None else json.dumps(value)


# --- reading --------------------------------------------------------------------------------

_DOCUMENTS = {name: type_coerce(_O[name], Text) for name in ("before", "after")}
"""The states as text. `parse_state` reads them, because one may be unreadable."""
_COLUMNS = [_DOCUMENTS.get(name, _O[name]) for name in OperationRow._fields]
_IN_EFFECT = _O.undoes.is_(None), _O.undone_by.is_(None)


def find_last_id(c: Connection) -> int:
    """Return the id of the last operation, or 0."""
    return raw_sql.fetch_value(c, "SELECT max(id) FROM operations") or 0


# `+object`, or SQLite would read all operations on definitions instead of the latest operations.
_CHANGED_DEFINITION = (
    "SELECT 1 FROM operations WHERE id > ? AND (+object GLOB 'queue *' OR +object GLOB 'pool *' OR"
    " +object GLOB 'template *' OR +object GLOB 'sla *' OR +object GLOB 'schedule *'"
    " OR +object GLOB 'calendar *' OR +object GLOB 'limit *' OR +object GLOB 'resource *'"
    " OR +object GLOB 'reservation *') LIMIT 1"
)


def has_changed_definition(c: Connection, after: int) -> bool:
    """Return True if an operation after this id changed a definition."""
    return raw_sql.fetch_value(c, _CHANGED_DEFINITION, (after,)) is not None


def list_by_id(c: Connection, ids: Sequence[int]) -> list[OperationRow]:
    """Return operations by id, oldest first."""
    return _query(c, select(*_COLUMNS).where(is_any_of(_O.id, ids)).order_by(_O.id))


class OperationFilter(NamedTuple):
    """Conditions on operations.

    `before` is an id above those wanted. `words` must occur, `!word` must not. `verb` may be the
    first words of the verbs. `since` is the earliest time. `without` is a verb that is left out.
    `batch` is the first operation of a call.
    """

    before: int | None = None
    words: tuple[str, ...] = ()
    by: str | None = None
    verb: str | None = None
    object: str | None = None
    since: str | None = None
    without: str | None = None
    batch: int | None = None


_TASK_NAME = (
    select(schema.tasks.c.name)
    .where(
        _O.object.startswith("task #"),
        schema.tasks.c.number == cast(func.substr(_O.object, len("task #") + 1), Integer),
    )
    .scalar_subquery()
)
_PARTS = (_O.verb, _O.object, _TASK_NAME, *_DOCUMENTS.values())
_TEXT = func.lower(reduce(lambda left, part: left + " " + func.coalesce(part, ""), _PARTS, _O.by))
"""Text searched for words, including the task's name. SQLite lowers ASCII letters only."""


def list_operations(c: Connection, filter_: OperationFilter, limit: int) -> list[OperationRow]:
    """Return operations, newest first. A limit of 0 means all."""
    chosen = select(*_COLUMNS).order_by(_O.id.desc()).limit(limit or None)
    if filter_.before is not None:
        chosen = chosen.where(_O.id < filter_.before)
    return _query(c, _add_conditions(chosen, filter_))


class Act(NamedTuple):
    """One call of one caller: its first operation, and the number of its operations."""

    first: OperationRow
    size: int


def list_acts(c: Connection, filter_: OperationFilter, limit: int) -> list[Act]:
    """Return the acts with a matching operation, newest first. A limit of 0 means all.

    An act is older than another if it began earlier. The index by batch gives that order, so the
    query reads no act beyond the limit.
    """
    batch = _O.batch
    chosen = select(batch).group_by(batch).order_by(batch.desc()).limit(limit or None)
    if filter_.before is not None:
        # An act whose first operations were deleted has the id of another.
        known = select(batch).where(_O.id == filter_.before).scalar_subquery()
        chosen = chosen.where(batch < func.coalesce(known, filter_.before))
    batches = c.execute(_add_conditions(chosen, filter_)).scalars().all()
    numbers = select(func.min(_O.id), func.count()).where(is_any_of(batch, batches))
    counts = {row[0]: row[1] for row in c.execute(numbers.group_by(batch))}
    return [Act(row, counts[row.id]) for row in reversed(list_by_id(c, [*counts]))]


def _add_conditions(chosen: Select[Any], filter_: OperationFilter) -> Select[Any]:
    """Add the conditions of a filter, other than `before`."""
    if filter_.batch is not None:
        chosen = chosen.where(_O.batch == filter_.batch)
    if filter_.by is not None:
        chosen = chosen.where(_O.by == filter_.by)
    if filter_.object is not None:
        chosen = chosen.where(_O.object == filter_.object)
    if filter_.since is not None:
        chosen = chosen.where(_O.created_at >= filter_.since)
    if filter_.verb is not None:
        first = f"{filter_.verb} "
        chosen = chosen.where(
            or_(_O.verb == filter_.verb, func.substr(_O.verb, 1, len(first)) == first)
        )
    if filter_.without is not None:
        chosen = chosen.where(_O.verb != filter_.without)
    for word in filter_.words:
        word_without_mark = word.removeprefix("!") if len(word) > 1 else word
        lowered = "".join(
            letter.lower() if letter.isascii() else letter for letter in word_without_mark
        )
        place = func.instr(_TEXT, lowered)
        chosen = chosen.where(place == 0 if word_without_mark != word else place > 0)
    return chosen


def list_batch(
    c: Connection, batch: int | None, limit: int = 0, *, in_effect: bool = False
) -> list[OperationRow]:
    """Return the operations of a call, oldest first. A limit of 0 means all.

    With `in_effect`, leave out those that were undone.
    """
    chosen = select(*_COLUMNS).where(_O.batch == batch).order_by(_O.id).limit(limit or None)
    return _query(c, chosen.where(_O.undone_by.is_(None)) if in_effect else chosen)


def count_tasks(c: Connection, batch: int | None) -> int:
    """Return the number of tasks that the operations of a call changed."""
    changed = select(func.count(_O.object.distinct())).where(_O.batch == batch)
    return c.execute(changed.where(_O.object.like("task #%"))).scalar_one()


def find_last_call(c: Connection, origin: str) -> OperationRow | None:
    """Return the first operation of a terminal's latest call.

    Skips undos and undone calls.
    """
    found = select(*_COLUMNS).where(*_is_call_of(origin)).order_by(_O.id.desc()).limit(1)
    return next(iter(_query(c, found)), None)


def _is_call_of(origin: str) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions for the first operation of a terminal's call that still has effect."""
    return _O.batch == _O.id, _O.origin == origin, *_IN_EFFECT


def map_later(c: Connection, rows: Sequence[OperationRow]) -> dict[str, list[OperationRow]]:
    """Return {object: later operations, oldest first}, without undos and undone ones."""
    oldest = min((row.id for row in rows), default=0)
    found: dict[str, list[OperationRow]] = {}
    later = select(*_COLUMNS).where(
        is_any_of(_O.object, (row.object for row in rows)), _O.id > oldest, *_IN_EFFECT
    )
    for row in _query(c, later.order_by(_O.id)):
        found.setdefault(row.object, []).append(row)
    return found


def _query(c: Connection, chosen: Select[Any]) -> list[OperationRow]:
    return [_make_row(row) for row in c.execute(chosen)]


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
