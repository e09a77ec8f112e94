"""Tasks that their condition made needless, and what their dependents make of them.

Such a task is skipped: it is no failure of its group, and no failure handler runs for it. A task
that waits for it alone is skipped, too. A task that waits for others of its group ignores it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from typing import Any

from sqlalchemy import Connection

from db import raw_sql
from db.states import BREAKING, SATISFYING, SKIP_MARK, SKIPPED, TaskStatus


def _format_state(task: str) -> str:
    """Return the SQL of the status of a task by its alias, or `skipped`."""
    return (
        f"iif({task}.status = 'cancelled' AND {task}.reason GLOB '{SKIP_MARK}*', '{SKIPPED}',"
        f" {task}.status)"
    )


STATE = _format_state("p")
"""Status of the parent `p`, or `skipped`."""


def _match(kinds: Mapping[str, Set[str]]) -> str:
    """Return the condition that dependency `d` and its parent `p` are in a table of `db.states`."""
    parts = [
        "(d.kind = '{}' AND {} IN ({}))".format(
            kind, STATE, ", ".join(f"'{state}'" for state in sorted(states))
        )
        for kind, states in kinds.items()
    ]
    return f"({' OR '.join(parts)})"


_IGNORED = (
    f"(d.kind = 'success' AND {STATE} = '{SKIPPED}' AND p.group_number IS NOT (SELECT"
    " c.group_number FROM tasks c WHERE c.uuid = d.task_id) AND EXISTS (SELECT 1 FROM dependencies"
    " o JOIN tasks q ON q.uuid = o.parent_id WHERE o.task_id = d.task_id AND o.kind = 'success' AND"
    f" q.group_number = p.group_number AND {_format_state('q')} <> '{SKIPPED}'))"
)
UNMET = f"(NOT {_match(SATISFYING)} AND NOT {_IGNORED})"
"""Condition that a task still waits for a dependency `d` on parent `p`."""
BROKEN = f"({_match(BREAKING)} AND NOT {_IGNORED})"
"""Condition that a dependency `d` on parent `p` cannot be satisfied any more."""
NO_FAILURE = f"{STATE} IN ('succeeded', '{SKIPPED}')"
"""Condition that parent `p` has ended without a failure."""

MAX_READ = 2_000
"""Cancelled tasks of a group that are looked at, in some 3 ms; if all are skipped, the rest is."""
_COUNT = (
    "SELECT j.value, (SELECT count(*) FROM (SELECT reason FROM tasks INDEXED BY idx_tasks_group"
    " WHERE group_number = j.value AND status = 'cancelled' ORDER BY ended_at DESC LIMIT ?) WHERE"
    f" reason GLOB '{SKIP_MARK}*') FROM json_each(?) j"
)
_PAIRS = (
    f"SELECT j.value ->> 0, p.number, d.kind, {STATE} FROM json_each(?) j CROSS JOIN tasks p ON"
    " p.number = j.value ->> 1 CROSS JOIN dependencies d ON d.task_id = j.value ->> 0 AND"
    " d.parent_id = p.uuid"
)


def split_skipped(c: Connection, counts: Mapping[int, dict[str, int]]) -> None:
    """Move the skipped tasks in {group: {status: tasks}} from `cancelled` to `skipped`."""
    some = [number for number, of in counts.items() if of.get(TaskStatus.CANCELLED)]
    for number, skipped in (
        raw_sql.fetch_rows(c, _COUNT, (MAX_READ, json.dumps(some))) if some else ()
    ):
        of = counts[number]
        cancelled = of.pop(TaskStatus.CANCELLED)
        many = cancelled if skipped == min(cancelled, MAX_READ) else skipped
        if cancelled > many:
            of[TaskStatus.CANCELLED.value] = cancelled - many
        if many:
            of[SKIPPED] = many


def map_reasons(c: Connection, broken: Sequence[tuple[str, int]]) -> dict[str, str]:
    """Return {uuid: why it is cancelled} of tasks and the number of a parent that broke each."""
    rows = raw_sql.fetch_rows(c, _PAIRS, (json.dumps(list(broken)),))
    return {uuid: _describe(number, kind, state) for uuid, number, kind, state in rows}


def _describe(number: int, kind: str, state: str) -> str:
    if kind == "success" and state != SKIPPED:
        return f"parent #{number} {state.replace('_', ' ')}"
    if kind == "success":
        return f"{SKIP_MARK}parent #{number} was skipped"
    return f"{SKIP_MARK}only if #{number}{' or another' if kind == 'failures' else ''} fails"


def names_parent(reason: str | None, number: int) -> bool:
    """Return True if the reason of a cancelled task says that this parent ended wrongly."""
    parent = f"parent #{number} "
    starts = (parent, SKIP_MARK + parent, f"{SKIP_MARK}only if #{number} ")
    return (reason or "").startswith(starts)


def list_cancelled(c: Connection, first: str, last: str, limit: int) -> list[Any]:
    """Return the first cancelled tasks between two UUIDs, as rows of number, name and reason."""
    found = (
        "SELECT number, name, reason FROM tasks WHERE uuid BETWEEN ? AND ? AND +status ="
        " 'cancelled' ORDER BY uuid LIMIT ?"
    )
    return raw_sql.fetch_rows(c, found, (first, last, limit))
