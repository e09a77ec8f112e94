"""The verb `logs`: the runs of several tasks or groups, in pages, for `taskdeck logs g12`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from app.errors import Usage
from app.service.context import Call
from app.service.tasks import lookup
from app.service.tasks.inspection import views
from db import timestamps
from db.engine import Connection
from db.queries import reads
from db.queries.tasks import groups
from db.rows import TaskRow
from db.states import ENDED

PAGE = 200
"""Ended tasks of one answer."""
OVERLAP = timedelta(seconds=5)
"""Time before `after` whose ends are returned again, since an end is stored later."""

_ROWID = re.compile("[0-9]{0,18}")


async def list_logs(
    call: Call, *, ids: Sequence[str | int], after: str | None = None
) -> dict[str, Any]:
    """Return the running tasks with their runs, and those that ended since an answer.

    `after` is the value in that answer: an end, and maybe a rowid. `more` is true if further tasks
    have ended, and `left` counts the tasks that have not. Tasks named by number are in each answer.
    """
    end, _, rowid = (after or "").partition(" ")
    if after is not None and not (timestamps.is_time(end) and _ROWID.fullmatch(rowid)):
        raise Usage("after must be that of the answer before.")
    return await call.db.read(_read_logs, call, ids, after)


def _read_logs(
    c: Connection, call: Call, ids: Sequence[str | int], after: str | None
) -> dict[str, Any]:
    found = {ident: lookup.find_group(c, ident) for ident in ids}
    numbers = [group.number for group in found.values() if group is not None]
    singles = lookup.find_tasks(c, [ident for ident, group in found.items() if group is None])
    end, _, rowid = (after or "").partition(" ")
    ended = groups.list_ended_after(c, numbers, (end, int(rowid or 0)), PAGE)
    uuids = [*(uuid for _, _, uuid in ended), *groups.list_started(c, numbers)]
    rows = reads.list_by_uuid(c, uuids) if uuids else []
    rows = {row.uuid: row for row in [*singles, *rows]}
    counts = groups.map_all_counts(c, numbers).values()
    left = sum(n for found in counts for status, n in found.items() if status not in ENDED)
    is_full = len(ended) == PAGE
    return {
        "tasks": [_build(c, call, rows[uuid]) for uuid in dict.fromkeys([*rows])],
        "after": _move_on(*ended[-1], is_full=is_full) if ended else after,
        "more": is_full,
        "left": left + sum(row.status not in ENDED for row in singles),
    }


def _move_on(end: str, rowid: int, _: str, *, is_full: bool) -> str:
    if is_full:
        return f"{end} {rowid}"
    return timestamps.format_time(timestamps.parse_time(end) - OVERLAP)


def _build(c: Connection, call: Call, row: TaskRow) -> dict[str, Any]:
    kept = reads.map_logs(c, row.uuid)
    runs = [
        views.format_run_log(call.home, run, kept[run.runid])
        for run in reads.list_runs(c, row.uuid)
    ]
    return {"number": row.number, "name": row.name, "status": row.status, "runs": runs}
