"""Groups in a submission."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.core import task_groups
from app.core.sweeps import MAX_VALUE
from app.core.task_spec import MAX_CAPACITY, NameStr, OsStr, TaskSpec, describe_error
from app.errors import NOT_SUBMITTED, Usage
from app.service.tasks.submission import default_names
from app.translation import tr
from db.engine import Connection
from db.queries.tasks import groups

Index = Annotated[int, Field(ge=0, le=task_groups.MAX_INDEX)]
MaxRunning = Annotated[int, Field(ge=1, le=MAX_CAPACITY)]
Parameter = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=100)]
Value = Annotated[str, Field(max_length=MAX_VALUE)]


class SweepSpec(BaseModel):
    """Names of parameters, and their values for each task."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    names: list[Parameter]
    values: list[list[Value]]


class GroupSpec(BaseModel):
    """The group of a submission, with the unexpanded command for its name.

    `indexes` and the values of `sweep` follow the order of the tasks.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    name: NameStr | None = None
    argv: list[OsStr] | None = None
    script: OsStr | None = None
    template: str | None = None
    indexes: list[Index] | None = None
    sweep: SweepSpec | None = None
    max_running: MaxRunning | None = None


@dataclass(frozen=True, slots=True)
class NewGroup:
    """A group that is submitted: its name and, for each task, index and swept values (JSON)."""

    name: str
    indexes: Sequence[int]
    sweeps: Sequence[str] | None
    max_running: int | None = None

    def get_columns(self, at: int) -> dict[str, Any]:
        """Return the columns of the task at a position that tell its place in the group."""
        sweep = None if self.sweeps is None else self.sweeps[at]
        return {"group_index": self.indexes[at], "sweep": sweep}

    def create(self, c: Connection, first: str, by: str) -> int:
        """Store the group of the submission with the first uuid; return its number."""
        return groups.create(c, first, self.name, by, self.max_running)


def find_number(c: Connection, first: str) -> int | None:
    """Return the number of the group of a submission, or None."""
    return groups.find_number(c, first)


def parse_group(given: dict[str, Any] | None, count: int) -> NewGroup | None:
    """Return the group of `count` tasks, or None without one. Raise Usage."""
    if given is None:
        return None
    if count > task_groups.MAX_TASKS:
        most = tr("at most {max_tasks:,} are possible", max_tasks=task_groups.MAX_TASKS)
        raise Usage(
            "group: {n:,} tasks are too many; {most}. {not_submitted}",
            n=count,
            most=most,
            not_submitted=tr(NOT_SUBMITTED),
        )
    try:
        spec = GroupSpec.model_validate(given)
    except ValidationError as error:
        raise Usage(
            "group: {error}. {not_submitted}",
            error=describe_error(error),
            not_submitted=tr(NOT_SUBMITTED),
        ) from None
    indexes = spec.indexes or range(1, count + 1)
    rows = None if spec.sweep is None else spec.sweep.values
    names = [] if spec.sweep is None else spec.sweep.names
    if len(indexes) != count or len({*indexes}) != count:
        raise Usage(
            "group: indexes must be one of its own for each task. {not_submitted}",
            not_submitted=tr(NOT_SUBMITTED),
        )
    if rows is not None and (
        len(rows) != count
        or len({*names}) != len(names)
        or any(len(row) != len(names) for row in rows)
    ):
        raise Usage(
            "group: sweep must have each value of each task once. {not_submitted}",
            not_submitted=tr(NOT_SUBMITTED),
        )
    sweeps = (
        None if rows is None else [json.dumps(dict(zip(names, row, strict=True))) for row in rows]
    )
    return NewGroup(_make_name(spec), indexes, sweeps, spec.max_running)


def _make_name(spec: GroupSpec) -> str:
    if spec.name is not None:
        return spec.name
    try:
        task = TaskSpec(argv=spec.argv, script=spec.script, template=spec.template)
    except ValidationError as error:
        raise Usage(
            "group: {error}. {not_submitted}",
            error=describe_error(error),
            not_submitted=tr(NOT_SUBMITTED),
        ) from None
    launch = {"script": task.script} if task.script is not None else {"argv": task.argv}
    return default_names.make_default_name(task, launch)
