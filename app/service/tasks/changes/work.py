"""Changes of what a waiting task runs: command, directory and variables.

A task of a template keeps its command, which follows from its parameters.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from app.core.task_spec import TaskSpec, describe_error
from app.core.text.sanitize import MASK
from app.errors import Conflict, Usage
from app.service.tasks.changes.apply import RECORDED_FIELDS, format_number, get_uuids
from app.service.tasks.lookup import AnyTask
from app.service.tasks.submission import default_names
from app.service.tasks.submission.resolution import resolve_task
from db.engine import Connection
from db.queries import reads
from db.queries.tasks import task_fields
from db.states import ACTIVE

FIELDS = frozenset({"argv", "script", "cwd", "env"})
"""Settings that this module changes."""
COLUMNS = ("launch", "cwd", "env")
"""Columns that hold them; `type` follows from the launch."""
WORK_FIELDS = (*RECORDED_FIELDS, *COLUMNS)


def parse_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the new values by column: `launch`, `cwd` and the variables to add. Raise Usage."""
    given = {name: value for name, value in fields.items() if value is not None}
    if "argv" in given and "script" in given:
        raise Usage("give a command or a script, not both. Nothing was changed.")
    work = {} if given.keys() & {"argv", "script"} else {"argv": ["true"]}
    try:
        spec = TaskSpec.model_validate({**work, **given})
    except ValidationError as error:
        raise Usage("{error}. Nothing was changed.", error=describe_error(error)) from None
    if spec.cwd is not None and not os.path.isabs(spec.cwd):
        raise Usage("cwd must be an absolute path. Nothing was changed.")
    found: dict[str, Any] = {} if work else {"launch": resolve_task(spec, None).launch}
    found |= {} if spec.cwd is None else {"cwd": spec.cwd}
    return found | ({"env": spec.env} if spec.env else {})


def refuse_fixed_work(row: AnyTask, values: Mapping[str, Any]) -> None:
    """Raise Conflict for a task that has started, and for a command that a template makes."""
    if row.status in ACTIVE:
        raise Conflict(
            "{number} has started, so what it runs cannot change.",
            "To submit a changed copy: R in the deck. To end it: taskdeck cancel {word}",
            number=format_number(row),
            word=row.number,
        )
    if "launch" in values and row.template is not None:
        raise Conflict(
            "the template of {number} makes its command. It was not changed.",
            "To submit a copy with other parameters: R in the deck",
            number=format_number(row),
        )


def get_type(launch: Mapping[str, Any]) -> str:
    """Return the type of a task without a template."""
    return "shell" if "script" in launch else "exec"


def write_work(c: Connection, rows: Sequence[AnyTask], values: Mapping[str, Any]) -> None:
    """Write the new values. A name that Taskdeck made from the old command follows the new one."""
    uuids = get_uuids(rows)
    if "cwd" in values:
        task_fields.update_tasks(c, uuids, {"cwd": values["cwd"]})
    if "env" in values:
        new = [
            {"at": uuid, "env": {**reads.get_environment(c, uuid)[1], **values["env"]}}
            for uuid in uuids
        ]
        task_fields.update_column(c, "env", new)
    if "launch" in values:
        write_launches(c, [(row, values["launch"]) for row in rows])
        name = default_names.make_launch_name(values["launch"])
        named = [{"at": row.uuid, "name": name} for row in rows if _has_default_name(row)]
        task_fields.update_column(c, "name", named)


def write_launches(c: Connection, launches: Sequence[tuple[AnyTask, dict[str, Any]]]) -> None:
    """Write the commands of tasks without a template, with their types."""
    new = [{"at": row.uuid, "launch": launch} for row, launch in launches]
    task_fields.update_column(c, "launch", new)
    types = [{"at": row.uuid, "type": get_type(launch)} for row, launch in launches]
    task_fields.update_column(c, "type", types)
    task_fields.mark_text_changed(c, [row.uuid for row, _ in launches])


def _has_default_name(row: AnyTask) -> bool:
    launch = row.launch
    return bool(launch.get("argv")) and row.name == default_names.make_launch_name(launch)


def mask_variables(before: Any, after: Any) -> tuple[Any, Any]:
    """Return two recorded states whose variables show only which ones differ."""
    was, now = (value if isinstance(value, Mapping) else {} for value in (before, after))
    if "env" not in was and "env" not in now:
        return before, after
    old, new = (value.get("env") or {} for value in (was, now))
    changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    before = {**was, "env": {name: MASK for name in changed if name in old}}
    shown = {name: f"{MASK} (changed)" if name in old else MASK for name in changed if name in new}
    return before, {**now, "env": shown}
