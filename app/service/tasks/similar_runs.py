"""Which past runs are like a task, asked of the database."""

from __future__ import annotations

import re

from sqlalchemy import Connection

from app.core.scheduling.forecast import ENOUGH_RUNS
from app.core.scheduling.run_stats import Past, Run, learn
from db.queries import run_history
from db.rows import TaskRow

_DIGITS = re.compile(r"\d+")


def of(c: Connection, task: TaskRow) -> Past | None:
    """What past runs say of a task: those of its template, else of its name, else of names that differ in digits only."""
    if task.template is not None:
        return learn("template", [Run(*row) for row in run_history.of_template(c, task.template)])
    same = [Run(*row) for row in run_history.of_name(c, task.name)]
    lately = run_history.lately(c) if len(same) < ENOUGH_RUNS else []
    same = same if len(same) >= ENOUGH_RUNS else [Run(*row[1:]) for row in lately if row[0] == task.name]
    if len(same) >= ENOUGH_RUNS or not _DIGITS.search(task.name):
        return learn("name", same)
    alike = kind(task.name)
    return learn("like", [Run(*row[1:]) for row in lately if kind(row[0]) == alike])


def kind(name: str) -> str:
    """`encode S#E#.mkv`: a name without its digits."""
    return _DIGITS.sub("#", name)
