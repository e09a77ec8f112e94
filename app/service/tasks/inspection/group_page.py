"""Page of a group: its progress and its tasks with their parameters."""

from __future__ import annotations

from typing import Any

from app.errors import Usage
from app.service.context import Call
from app.service.tasks.inspection import group_views, pages
from db.engine import Connection
from db.queries.tasks import groups


async def list_tasks(call: Call, *, id: str, limit: int = 500) -> dict[str, Any]:
    """Return a group as `group.show`, and its first tasks in the form of `browse`.

    Tasks that failed come first, then active, waiting and other ended ones. `names` lists the swept
    parameters.
    """
    if not 1 <= limit <= pages.MAX_ROWS:
        raise Usage("limit must be 1 to {most:,}.", most=pages.MAX_ROWS)

    def read(c: Connection) -> dict[str, Any]:
        group = group_views.read_group(c, id)
        rows = pages.build_rows(
            c, call, groups.list_member_rowids(c, group["number"], limit), "number"
        )
        at = pages.COLUMNS.index("sweep")
        names = dict.fromkeys(name for row in rows for name in row[at] or ())
        return {"group": group, "names": [*names], "columns": pages.COLUMNS, "rows": rows}

    return await call.db.read(read)
