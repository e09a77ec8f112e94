"""Numbers of the first tasks of groups, for runs of batch scripts and names of files.

Only tasks that ask for the number cost a query.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from app.core.output_file import has_first
from app.core.slurm import variables
from db.engine import Connection
from db.queries.tasks import groups


def map_first_tasks(c: Connection, tasks: Iterable[Any]) -> dict[int | None, int]:
    """Return {group: number of its first task} for the rows of tasks that ask for it."""
    wanted = {
        task.group_number
        for task in tasks
        if task.group_number is not None
        and (variables.is_of_script(task.env) or has_first(task.output, task.error))
    }
    if not wanted:
        return {}
    return {number: row.first_number for number, row in groups.map_groups(c, wanted).items()}


def make_variables(run: Any) -> dict[str, str]:
    """Return the variables of Slurm for a claimed run, which only batch scripts have."""
    if not variables.is_of_script(run.task.env):
        return {}
    return variables.make_run_variables(
        run.task.number, run.queue, os.uname().nodename, run.first, run.task.group_index
    )
