"""Dependency tree of a task in both directions, limited in size."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from db.engine import Connection
from db.queries.tasks import dependencies

MAX_TASKS, MAX_LEVELS = 100, 12
"""Maximum number of tasks and of levels in each direction."""


def read_tree(c: Connection, uuid: str) -> dict[str, list[dict[str, Any]]]:
    """Return {"parents": lines, "children": lines}, in tree order."""
    return {
        "parents": _build_lines(c, dependencies.PARENTS, uuid),
        "children": _build_lines(c, dependencies.CHILDREN, uuid),
    }


def _build_lines(c: Connection, direction: dict[str, str], uuid: str) -> list[dict[str, Any]]:
    found, truncated = _read_levels(c, direction, uuid)
    more = {
        via: dependencies.count_related(c, direction, via) - len(found[via]) for via in truncated
    }
    return list(_walk(uuid, found, more, 0, set()))


def _read_levels(
    c: Connection, direction: dict[str, str], uuid: str
) -> tuple[dict[str, list[dependencies.RelatedTask]], set[str]]:
    """Read the relatives of each visited task, and the tasks that may have more."""
    found: defaultdict[str, list[dependencies.RelatedTask]] = defaultdict(list)
    seen, level, room = {uuid}, [uuid], MAX_TASKS
    for _ in range(MAX_LEVELS):
        if not level or room <= 0:
            break
        rows = dependencies.list_related(c, direction, level, room + 1)
        for row in sorted(rows[:room], key=lambda row: row.number):
            found[row.via].append(row)
        truncated = set(level) if len(rows) > room else set[str]()
        room -= len(rows)
        level = [one for one in dict.fromkeys(row.uuid for row in rows) if one not in seen]
        seen.update(level)
        if truncated:
            return found, truncated | set(level)
    return found, set(level)


def _walk(
    uuid: str,
    found: dict[str, list[dependencies.RelatedTask]],
    more: dict[str, int],
    depth: int,
    shown: set[str],
) -> Iterator[dict[str, Any]]:
    """Yield the tree as {depth, uuid, number, name, status, kind, again, more}.

    `again` marks a task listed further up, `more` the number of omitted relatives.
    """
    for row in found.get(uuid, ()):
        is_repeated = row.uuid in shown
        shown.add(row.uuid)
        status = "removed" if row.deleted_at else row.status
        yield {"depth": depth, "uuid": row.uuid, "number": row.number, "name": row.name,
        "status": status, "kind": row.kind,
               "again": is_repeated and bool(found.get(row.uuid)), "more": 0}  # fmt: skip
        if not is_repeated:
            yield from _walk(row.uuid, found, more, depth + 1, shown)
    if more.get(uuid, 0) > 0:
        yield {"depth": depth, "more": more[uuid]}
