"""Keyset-paginated task lists, and the review of a selection before an action."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from app.core.schema import secrets as schema_secrets
from app.core.text.sanitize import find_nearest
from app.errors import Usage
from app.service import outer
from app.service.context import Call
from app.service.scheduling import dispatch_view
from app.service.tasks import lookup
from app.service.tasks.inspection import group_views
from app.service.tasks.inspection.views import get_halt_reason
from db.engine import Connection
from db.queries import reads
from db.queries.rules import sla_cursor
from db.queries.scheduling.resources import parse_named
from db.queries.tasks import groups
from db.rows import ActiveRunRow
from db.search import folded, fts
from db.search import pagination as pages
from db.search.pagination import ORDERS, PagePosition
from db.states import WAITING

TASK_COLUMNS = (
    "uuid", "number", "name", "status", "queue", "template", "priority", "front", "cpu", "memory",
    "resources", "timeout", "retries", "attempts",
    "created_at", "started_at", "ended_at", "not_before", "submitted_by", "tags", "reason",
    "group_number", "group_index", "sweep",
)  # fmt: skip
_REASON_COLUMNS = ("hold", "held_by", "retry_at", "failures")
"""Extra columns for the reasons for waiting."""
COLUMNS = (*TASK_COLUMNS, "run", "run_reason", "why", "expected", "expected_in", "run_limit", "at")
"""Columns of a row of `browse`.

`run` and `run_reason` belong to the active run. `why` and `expected` (seconds) belong to a waiting
task. `at` and the number form the cursor of a page.
"""

DIRECTIONS = ("after", "before", "from")
MAX_ROWS = 1000
"""Maximum number of rows of a page."""
DEFAULT_NAMED = 8
"""Default number of tasks that a review names."""
MAX_NAMED = 500


async def browse(
    call: Call, *, filter: str = "", order: str = "number", down: bool = True,
    at: Sequence[Any] | None = None, way: str = "after",
    limit: int = 200, fold: bool = False, unfold: Sequence[int] = (),
) -> dict[str, Any]:  # fmt: skip
    """Return a page of the tasks that match a filter.

    `at` is a row's [at, number]: the page holds the rows after it, before it, or (`from`) the row
    itself and those after it. Without `at` it holds the first rows, or with `before` the last.
    `total` is None if counting would take too long. If `complete` is false, the search stopped
    early: the rows are correct, and the next page may begin at `stopped`.

    With `fold`, and without a filter, each group is one row of `groups`, at the place of its first
    task; `unfold` names groups that come with their first tasks.
    """
    position = _check_arguments(order, at, way, limit)
    if fold and order == "number" and not filter.strip():
        found = await call.db.read(_read_folded, call, down, position, way, limit, unfold)
        if found is not None:
            return found
    return await call.db.read(_read_page, call, filter, order, down, position, way, limit)


def _check_arguments(
    order: str, at: Sequence[Any] | None, direction: str, limit: int
) -> PagePosition | None:
    """Check the arguments and return the cursor. Raise Usage."""
    if order not in ORDERS:
        near = find_nearest(order, ORDERS)
        raise Usage(
            f"tasks have no such order; choose {', '.join(ORDERS)}."
            + (f" Nearest: {near}." if near else "")
        )
    if direction not in DIRECTIONS or not 1 <= limit <= MAX_ROWS:
        raise Usage(
            "way must be after, before or from, and limit 1 to {max_rows:,}.", max_rows=MAX_ROWS
        )
    if at is None:
        return None
    kind = int if order in ("number", "priority") else str
    match at:
        case [value, int(number)] if abs(number) < 2**62 and (
            value is None or isinstance(value, kind)
        ):
            return PagePosition(value, number)
    raise Usage("at must be the place of a row, [at, number].")


def _read_page(
    c: Connection,
    call: Call,
    filter: str,
    order: str,
    down: bool,
    at: PagePosition | None,
    direction: str,
    limit: int,
) -> dict[str, Any]:
    selection = lookup.parse_filter(c, filter)
    if direction == "from" and at is not None:
        at = PagePosition(at.value, at.number + (1 if down else -1))
    page = pages.read_page(c, selection, order, down, at, direction == "before", limit)
    return {
        "columns": COLUMNS, "rows": build_rows(c, call, page.rowids, ORDERS[order].column),
        "more_before": page.before,
        "more_after": page.after, "total": page.total, "of": sum(reads.count_by_status(c).values()),
        "lag": fts.count_unindexed(c),
        "complete": page.stopped is None, "stopped": page.stopped,
    }  # fmt: skip


MAX_UNFOLDED = 100
"""Maximum number of tasks of a group that are shown in its place."""


def _read_folded(
    c: Connection,
    call: Call,
    down: bool,
    at: PagePosition | None,
    way: str,
    limit: int,
    unfold: Sequence[int],
) -> dict[str, Any] | None:
    """Return a page with groups as rows, or None if there is no group."""
    if not groups.has_any(c):
        return None
    number = None if at is None else at.number
    if way == "from" and number is not None:
        number += 1 if down else -1
    page = folded.read_page(c, number, down, way == "before", limit)
    rows = group_views.list_groups(c, page.groups)
    for row in rows:
        if row["number"] in unfold:
            members = groups.list_member_rowids(c, row["number"], MAX_UNFOLDED)
            row["rows"] = build_rows(c, call, members, "number")
    return {
        "columns": COLUMNS, "rows": build_rows(c, call, page.rowids, "number"), "groups": rows,
        "more_before": page.before, "more_after": page.after, "total": None,
        "of": sum(reads.count_by_status(c).values()), "lag": fts.count_unindexed(c),
        "complete": True, "stopped": None,
    }  # fmt: skip


def build_rows(c: Connection, call: Call, rowids: Sequence[int], order: str) -> list[list[Any]]:
    """Return tasks in the form of `COLUMNS`; `at` is the value of the column `order`."""
    found = {
        row.place: row
        for row in pages.fetch_columns(
            c, ("rowid AS place", *TASK_COLUMNS, *_REASON_COLUMNS), rowids
        )
    }
    rows = [found[rowid] for rowid in rowids]
    runs = (
        {run.task_id: run for run in reads.list_running(c)}
        if any(row.status == "running" for row in rows)
        else {}
    )
    why = _read_reasons(c, call, [row for row in rows if row.status in WAITING])
    return [
        _build_row(row, runs.get(row.uuid), why.get(row.uuid, _NOT_WAITING), order) for row in rows
    ]


def _build_row(row: Any, run: ActiveRunRow | None, why: WaitNote, order: str) -> list[Any]:
    parsed = {
        "tags": json.loads(row.tags) if row.tags != "{}" else {},
        "resources": dict(parse_named(row.resources)),
        "sweep": schema_secrets.mask_value(json.loads(row.sweep)) if row.sweep else None,
    }
    return [
        *(parsed[name] if name in parsed else getattr(row, name) for name in TASK_COLUMNS),
        *(
            (outer.get_shown_status(run), outer.describe_wait(run) or run.reason)
            if run
            else (None, None)
        ),
        *why,
        run.timeout if run else None,
        getattr(row, order),
    ]


WaitNote = tuple[str | None, float | None, tuple[float, float] | None]
"""Reason for waiting, begin and range of the expected start in seconds."""
_NOT_WAITING: WaitNote = (None, None, None)


def _read_reasons(c: Connection, call: Call, waiting: Sequence[Any]) -> dict[str, WaitNote]:
    """Return {uuid: note} of waiting tasks.

    All rows of the page need a reason, as the user may select any of them.
    """
    if not waiting:
        return {}
    found = dispatch_view.explain_waiting(
        c, dispatch_view.get_cache(c), waiting, get_halt_reason(call)
    )
    return {
        uuid: (why.reasons[0].short if why.reasons else None, why.starts_in, why.expected_in)
        for uuid, why in found.items()
    }


async def review(
    call: Call,
    *,
    filter: str | None = None,
    ids: Sequence[str | int] | None = None,
    first: int = DEFAULT_NAMED,
) -> dict[str, Any]:
    """Summarize a selection before an action.

    Return the number of tasks, their states, the names of the `first` tasks, and the number of
    other tasks that depend on their success. `as_of` is the last known event: an action with this
    number in its `select` skips tasks that have changed since.
    """
    first = min(first, MAX_NAMED)
    return await (
        call.db.read(_review_ids, ids, first)
        if filter is None
        else call.db.read(_review_filter, filter, first)
    )


def _review_filter(c: Connection, filter: str, most: int) -> dict[str, Any]:
    selection, as_of = lookup.parse_selection_filter(c, filter), sla_cursor.find_last_event(c)
    first = pages.list_uuids(
        c, pages.read_page(c, selection, "number", True, None, False, most).rowids
    )
    return _build_review(
        c,
        pages.count_states(c, selection),
        first,
        pages.list_matching(c, pages.exclude_ended(selection)),
        [],
    ) | {"as_of": as_of}


def _review_ids(c: Connection, ids: Sequence[str | int] | None, most: int) -> dict[str, Any]:
    as_of = sla_cursor.find_last_event(c)
    uuids, refused = lookup.resolve_uuids(c, ids, None)
    places = pages.find_rowids(c, uuids)
    return _build_review(
        c, pages.count_states_of_rows(c, places), uuids[:most], places, refused
    ) | {"as_of": as_of}


def _build_review(
    c: Connection,
    states: dict[str, int],
    first: Sequence[str],
    places: Sequence[int],
    refused: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    rows = {row.uuid: row for row in reads.list_by_uuid(c, first)}
    runs = {run.task_id: run.status for run in reads.list_running(c)}
    return {
        "total": sum(states.values()),
        "statuses": dict(sorted(states.items(), key=lambda found: -found[1])),
        "first": [_format_brief(rows[uuid], runs.get(uuid)) for uuid in first],
        "dependents": pages.count_dependents(c, places),
        "refused": list(refused),
    }


def _format_brief(row: Any, run: str | None) -> dict[str, Any]:
    told = (
        "uuid",
        "number",
        "name",
        "status",
        "queue",
        "timeout",
        "started_at",
        "created_at",
        "ended_at",
    )
    return {name: getattr(row, name) for name in told} | {"run": run}
