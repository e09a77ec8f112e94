"""New values of tasks. New named resources are added to those that a task has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.service.tasks.lookup import AnyTask
from db.engine import Connection
from db.queries.scheduling.resources import parse_named, to_text
from db.queries.tasks import task_fields


def join_resources(row: AnyTask, values: dict[str, Any]) -> dict[str, Any]:
    """Return new values as stored: the named resources of the task, changed by the new ones."""
    if "resources" not in values:
        return values
    joined = {**parse_named(row.resources), **values["resources"]}
    return values | {"resources": to_text(joined)}


def write_values(c: Connection, rows: Sequence[AnyTask], values: dict[str, Any]) -> None:
    """Store new values of tasks."""
    plain = {name: value for name, value in values.items() if name != "resources"}
    if plain:
        task_fields.update_tasks(c, [row.uuid for row in rows], plain)
    if "resources" in values:
        new = [
            {"at": row.uuid, "resources": join_resources(row, values)["resources"]} for row in rows
        ]
        task_fields.update_column(c, "resources", new)
